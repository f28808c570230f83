//! `dhow pull`.

use super::transfer;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, credentials, trust};

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
    let name = args.arg(0);
    let (all, quiet) = (args.on("all-tags"), args.on("quiet"));
    let (repository, tag) = transfer::repository_and_tag(name, all, quiet)?;
    let platform = match args.text("platform") {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        platform => platform.to_owned(),
    };
    if credentials::trust_demanded(args) {
        if all {
            return Err(Failure::new(
                "--all-tags cannot be combined with content trust: pull tag by tag",
            ));
        }
        trusted(app, name, &platform, quiet, transfer::Output::Out).await?;
        console::line(transfer::canonical(repository, tag));
        return Ok(());
    }
    let login = credentials::header_for(app, repository)?;
    let reply = app
        .client()?
        .image_pull(repository, tag, &platform, &login)
        .await?;
    transfer::show(reply, quiet, transfer::Output::Out).await?;
    console::line(transfer::canonical(repository, tag));
    Ok(())
}

/// Pulls what somebody signed whom we trust for it: by its digest, so that it is the same that was checked. Then it gets the
/// name that was asked for.
pub(crate) async fn trusted(
    app: &App,
    name: &str,
    platform: &str,
    quiet: bool,
    output: transfer::Output,
) -> Outcome {
    let name = trust::reference(name)?;
    let digest = trust::resolve(app, &name).await?;
    let exact = name.without_tag_and_digest().with_digest(digest.clone());
    if !quiet {
        output.print(&format!("Pull (1 of 1): {}@{digest}\n", name.familiar()));
    }
    let login = credentials::header_for(app, &name.name())?;
    let client = app.client()?;
    let reply = client
        .image_pull(&name.name(), &digest.to_string(), platform, &login)
        .await?;
    transfer::show(reply, quiet, output).await?;
    let Some(tag) = name.tag() else { return Ok(()) };
    if !quiet {
        output.print(&format!("Tagging {} as {}\n", exact.familiar(), name.familiar()));
    }
    client.image_tag(&exact.to_string(), &name.name(), tag).await?;
    Ok(())
}
