//! `dhow export`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::streams;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Export a container's filesystem as a tar archive",
    aliases: "container export, export",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[flag(
        "output",
        'o',
        Kind::Text,
        "string",
        "",
        "Write to a file, instead of STDOUT",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let sink = streams::Sink::open(args.text("output"), "failed to export container")?;
    let reply = app.client()?.container_export(args.arg(0)).await?;
    sink.fill(reply).await
}
