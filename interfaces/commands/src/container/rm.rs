//! `dhow rm`.

use client::ClientError;

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    aliases: "container rm, container remove, rm",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        flag(
            "force",
            'f',
            Kind::Bool,
            "",
            "",
            "Force the removal of a running container (uses SIGKILL)",
        ),
        flag("link", 'l', Kind::Bool, "", "", "Remove the specified link"),
        flag(
            "volumes",
            'v',
            Kind::Bool,
            "",
            "",
            "Remove anonymous volumes associated with the container",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let (volumes, link, force) = (args.on("volumes"), args.on("link"), args.on("force"));
    super::for_each_silent(&args.args, |name| async move {
        // `/name` is how the API writes names.
        let name = name.trim_matches('/');
        if name.is_empty() {
            return Err(ClientError::NoContainerName);
        }
        match client.container_remove(name, volumes, link, force).await {
            Ok(()) => Ok(true),
            Err(error) if force && error.is_not_found() => {
                crate::console::error(error.to_string());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    })
    .await
}
