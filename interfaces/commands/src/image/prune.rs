//! `dhow image prune`.

use crate::app::App;
use crate::console;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::prune;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove unused images",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        flag(
            "all",
            'a',
            Kind::Bool,
            "",
            "",
            "Remove all unused images, not just dangling ones",
        ),
        recurring::FILTER_PRUNE,
        recurring::FORCE_PRUNE,
    ],
    run: run!(execute),
};

const DANGLING: &str = "WARNING! This will remove all dangling images.\nAre you sure you want to continue?";
const ALL: &str = "WARNING! This will remove all images without at least one container associated to them.\nAre you sure you want to continue?";

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let all = args.on("all");
    if !args.on("force") && !console::confirm(if all { ALL } else { DANGLING }) {
        return Err(prune::cancelled());
    }
    let mut filters = prune::filters(app, args)?;
    filters.add("dangling", if all { "false" } else { "true" });
    let report = prune::call(app, "images", &filters).await?;
    prune::show_images(&report);
    prune::reclaimed(report.int_at("SpaceReclaimed"));
    Ok(())
}
