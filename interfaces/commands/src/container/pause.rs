//! `dhow pause`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTAINER [CONTAINER...]",
    about: "Pause all processes within one or more containers",
    aliases: "container pause, pause",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    super::for_each(&args.args, |name| client.container_pause(name, true)).await
}
