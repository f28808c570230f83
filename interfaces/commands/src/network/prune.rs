//! `dhow network prune`.

use crate::app::App;
use crate::console;
use crate::failure::Outcome;
use crate::flags::{Parsed, recurring};
use crate::prune;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove all unused networks",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[recurring::FILTER_PRUNE, recurring::FORCE_PRUNE],
    run: run!(execute),
};

const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?";

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if !args.on("force") && !console::confirm(WARNING) {
        return Err(prune::cancelled());
    }
    let report = prune::call(app, "networks", &prune::filters(app, args)?).await?;
    prune::show(&report, "NetworksDeleted", "Deleted Networks:");
    Ok(())
}
