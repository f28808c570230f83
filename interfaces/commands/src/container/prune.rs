//! `dhow container prune`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Parsed, recurring};
use crate::prune;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove all stopped containers",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[recurring::FILTER_PRUNE, recurring::FORCE_PRUNE],
    run: run!(execute),
};

const WARNING: &str = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if !args.on("force") && !crate::console::confirm(WARNING) {
        return Err(prune::cancelled());
    }
    let report = prune::call(app, "containers", &prune::filters(app, args)?).await?;
    prune::show(&report, "ContainersDeleted", "Deleted Containers:");
    prune::reclaimed(report.int_at("SpaceReclaimed"));
    Ok(())
}
