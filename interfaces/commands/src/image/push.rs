//! `dhow push`.

use super::{inspect, transfer};
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, credentials, trust};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NAME[:TAG]",
    about: "Upload an image to a registry",
    aliases: "image push, push",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        flag("all-tags", 'a', Kind::Bool, "", "", "Push all tags of an image to the repository"),
        flag("disable-content-trust", '\0', Kind::Bool, "", "true", "Skip image signing"),
        flag("platform", '\0', Kind::Text, "string", "", "Push a platform-specific manifest as a single-platform image to the registry.\nImage index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)"),
        flag("quiet", 'q', Kind::Bool, "", "", "Suppress verbose output"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = args.arg(0);
    let (all, quiet) = (args.on("all-tags"), args.on("quiet"));
    if name.contains('@') {
        return Err(Failure::new("cannot push a digest reference"));
    }
    let (repository, tag) = transfer::repository_and_tag(name, all, quiet)?;
    let trusted = credentials::trust_demanded(args);
    if trusted && all {
        return Err(Failure::new(
            "--all-tags cannot be combined with content trust: push tag by tag",
        ));
    }
    let platform = match args.text("platform") {
        "" => String::new(),
        text => inspect::platform(text),
    };
    let login = credentials::header_for(app, repository)?;
    let reply = app
        .client()?
        .image_push(repository, tag, &platform, &login)
        .await?;
    transfer::show(reply, quiet, transfer::Output::Out).await?;
    if quiet {
        console::line(transfer::canonical(repository, tag));
    }
    if trusted {
        trust::sign(app, &format!("{repository}:{tag}"), "").await?;
    }
    Ok(())
}
