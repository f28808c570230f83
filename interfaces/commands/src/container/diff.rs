//! `dhow diff`.

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
    let mut out = String::new();
    for change in app.client()?.container_changes(args.arg(0)).await? {
        let kind = ["C", "A", "D"].get(usize::from(change.kind)).unwrap_or(&"?");
        out.push_str(&format!("{kind} {}\n", change.path));
    }
    console::print(out);
    Ok(())
}
