//! `dhow rename`.

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTAINER NEW_NAME",
    about: "Rename a container",
    aliases: "container rename, rename",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (old, new) = (args.arg(0).trim(), args.arg(1).trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty"));
    }
    app.client()?
        .container_rename(old, new)
        .await
        .map_err(|error| Failure::new(format!("{error}\nError: failed to rename container named {old}")))
}
