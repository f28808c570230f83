//! `dhow volume rm`.

use crate::app::App;
use crate::console;
use crate::failure::{Outcome, Problems};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    aliases: "volume rm, volume remove",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[flag(
        "force",
        'f',
        Kind::Bool,
        "",
        "",
        "Force the removal of one or more volumes",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let mut problems = Problems::default();
    for name in &args.args {
        match client.volume_remove(name, args.on("force")).await {
            Ok(()) => console::line(name),
            Err(error) => problems.note(error),
        }
    }
    problems.outcome()
}
