//! `dhow context show`.

use crate::app::App;
use crate::console;
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "",
    about: "Print the name of the current context",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, _args: &Parsed) -> Outcome {
    console::line(app.context_name());
    Ok(())
}
