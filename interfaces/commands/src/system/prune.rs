//! `dhow system prune`.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::prune;
use crate::template::Value;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove unused data",
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
            "Remove all unused images not just dangling ones",
        ),
        flag(
            "filter",
            '\0',
            Kind::List,
            "filter",
            "",
            "Provide filter values (e.g. \"label=<key>=<value>\")",
        ),
        recurring::FORCE_PRUNE,
        flag("volumes", '\0', Kind::Bool, "", "", "Prune anonymous volumes"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (all, volumes) = (args.on("all"), args.on("volumes"));
    let filters = prune::filters(app, args)?;
    if volumes && filters.contains("until") {
        return Err(Failure::new(
            "ERROR: The \"until\" filter is not supported with \"--volumes\"",
        ));
    }
    if !args.on("force") && !console::confirm(&warning(all, volumes, &filters)) {
        return Err(prune::cancelled());
    }
    let mut won = 0;
    let report = prune::call(app, "containers", &filters).await?;
    prune::show(&report, "ContainersDeleted", "Deleted Containers:");
    won += report.int_at("SpaceReclaimed");
    let report = prune::call(app, "networks", &filters).await?;
    prune::show(&report, "NetworksDeleted", "Deleted Networks:");
    if volumes {
        let report = prune::call(app, "volumes", &filters).await?;
        prune::show(&report, "VolumesDeleted", "Deleted Volumes:");
        won += report.int_at("SpaceReclaimed");
    }
    let mut images = filters.clone();
    images.add("dangling", if all { "false" } else { "true" });
    let report = prune::call(app, "images", &images).await?;
    prune::show_images(&report);
    won += report.int_at("SpaceReclaimed");
    // A daemon without a builder has no cache of one.
    match app.client()?.prune("build", &filters).await {
        Ok(reply) => {
            let report: Value = App::json(&reply)?;
            prune::show(&report, "CachesDeleted", "Deleted build cache objects:");
            won += report.int_at("SpaceReclaimed");
        }
        Err(error) if error.is_not_found() || error.status() == Some(501) => {}
        Err(error) => return Err(error.into()),
    }
    prune::reclaimed(won);
    Ok(())
}

fn warning(all: bool, volumes: bool, filters: &api_types::Filters) -> String {
    let mut what = vec![
        "all stopped containers",
        "all networks not used by at least one container",
    ];
    if volumes {
        what.push("all anonymous volumes not used by at least one container");
    }
    what.push(if all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    });
    what.push(if all {
        "all build cache"
    } else {
        "unused build cache"
    });
    let mut text = String::from("WARNING! This will remove:\n");
    for item in what {
        text.push_str(&format!("  - {item}\n"));
    }
    let names = ["label", "label!", "until"];
    let given: Vec<String> = names
        .iter()
        .flat_map(|n| filters.values(n).map(move |v| format!("{n}={v}")))
        .collect();
    if !given.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for item in given {
            text.push_str(&format!("  - {item}\n"));
        }
    }
    format!("{text}\nAre you sure you want to continue?")
}
