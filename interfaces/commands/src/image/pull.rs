//! `dhow pull`.

use super::transfer;
use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, credentials};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    about: "Download an image from a registry",
    aliases: "image pull, pull",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        flag("all-tags", 'a', Kind::Bool, "", "", "Download all tagged images in the repository"),
        flag("disable-content-trust", '\0', Kind::Bool, "", "true", "Skip image verification"),
        flag("platform", '\0', Kind::Text, "string", "", "Set platform if server is multi-platform capable"),
        flag("quiet", 'q', Kind::Bool, "", "", "Suppress verbose output"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    credentials::check_trust(args)?;
    let name = args.arg(0);
    let (all, quiet) = (args.on("all-tags"), args.on("quiet"));
    let (repository, tag) = transfer::repository_and_tag(name, all, quiet)?;
    let platform = match args.text("platform") {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        platform => platform.to_owned(),
    };
    let login = credentials::header_for(app, repository)?;
    let reply = app
        .client()?
        .image_pull(repository, tag, &platform, &login)
        .await?;
    transfer::show(reply, quiet, transfer::Output::Out).await?;
    console::line(transfer::canonical(repository, tag));
    Ok(())
}
