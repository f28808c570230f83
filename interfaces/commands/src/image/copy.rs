//! `dhow image copy`.

use oci::reference::Reference;

use super::transfer;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::manifest::remote;
use crate::tree::{Command, Count, run};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] SOURCE DESTINATION",
    about: "Copy an image from one registry to another, with all its platforms",
    aliases: "",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[
        recurring::INSECURE,
        flag("platform", '\0', Kind::Text, "string", "", "Copy the image of this platform only, without the list"),
        flag("quiet", 'q', Kind::Bool, "", "", "Suppress verbose output"),
        flag("referrers", '\0', Kind::Bool, "", "", "Copy signatures, attestations and whatever else refers to the image, too"),
    ],
    run: run!(execute),
};

fn name(text: &str) -> Result<Reference, Failure> {
    Reference::parse_docker(text).map_err(|error| Failure::new(format!("{text:?}: {error}")))
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (from, to) = (name(args.arg(0))?, name(args.arg(1))?);
    let insecure = args.on("insecure");
    let (source, target) = (remote(app, &from, insecure)?, remote(app, &to, insecure)?);
    let reply = app
        .client()?
        .copy_remote(&source, &target, args.text("platform"), args.on("referrers"))
        .await?;
    transfer::show(reply, args.on("quiet"), transfer::Output::Out).await
}
