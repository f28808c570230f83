//! `dhow stop`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Flag, Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

/// How a container is told to end; `restart` has the same.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        "signal",
        's',
        Kind::Text,
        "string",
        "",
        "Signal to send to the container",
    ),
    flag(
        "timeout",
        't',
        Kind::Int,
        "int",
        "",
        "Seconds to wait before killing the container",
    ),
];

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    aliases: "container stop, stop",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: FLAGS,
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let stop = |name| client.container_stop(name, false, args.text("signal"), args.int("timeout"));
    super::for_each(&args.args, stop).await
}
