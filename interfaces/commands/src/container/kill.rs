//! `dhow kill`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    aliases: "container kill, kill",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[flag(
        "signal",
        's',
        Kind::Text,
        "string",
        "",
        "Signal to send to the container",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    super::for_each(&args.args, |name| {
        client.container_kill(name, args.text("signal"))
    })
    .await
}
