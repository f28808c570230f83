//! `dhow restart`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Restart one or more containers",
    aliases: "container restart, restart",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: super::stop::FLAGS,
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let restart = |name| client.container_stop(name, true, args.text("signal"), args.int("timeout"));
    super::for_each(&args.args, restart).await
}
