//! `dhow volume prune`.

use api_types::ApiVersion;

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::prune;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove unused local volumes",
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
            "Remove all unused volumes, not just anonymous ones",
        ),
        flag(
            "filter",
            '\0',
            Kind::List,
            "filter",
            "",
            "Provide filter values (e.g. \"label=<label>\")",
        ),
        recurring::FORCE_PRUNE,
    ],
    run: run!(execute),
};

const UNNAMED: &str = "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue?";
const ALL: &str = "WARNING! This will remove all local volumes not used by at least one container.\nAre you sure you want to continue?";

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let all = args.on("all");
    let mut filters = prune::filters(app, args)?;
    // Before 1.42 there is no choice: every volume that is not used goes.
    let old = client.version().await? < ApiVersion::new(1, 42);
    if all {
        if filters.contains("all") {
            return Err(Failure::new(
                "conflicting options: cannot specify both --all and --filter all=1",
            ));
        }
        if old {
            client.require(ApiVersion::new(1, 42), "--all").await?;
        }
        filters.add("all", "true");
    }
    if !args.on("force") && !console::confirm(if all || old { ALL } else { UNNAMED }) {
        return Err(prune::cancelled());
    }
    let report = prune::call(app, "volumes", &filters).await?;
    prune::show(&report, "VolumesDeleted", "Deleted Volumes:");
    prune::reclaimed(report.int_at("SpaceReclaimed"));
    Ok(())
}
