//! `dhow diff`.

use api_types::container::Change;

use crate::app::App;
use crate::console;
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTAINER",
    about: "Inspect changes to files or directories on a container's filesystem",
    aliases: "container diff, diff",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let changes = app.client()?.container_changes(args.arg(0)).await?;
    console::print(listing(&changes));
    Ok(())
}

/// One line per change: what became of the path, and the path.
pub(crate) fn listing(changes: &[Change]) -> String {
    let line = |change: &Change| {
        let kind = ["C", "A", "D"].get(usize::from(change.kind)).unwrap_or(&"?");
        format!("{kind} {}\n", change.path)
    };
    changes.iter().map(line).collect()
}
