//! `dhow builder prune`.

use client::Query;
use serde::Deserialize;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::tree::{Command, Count, run};
use crate::{console, units};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "",
    about: "Remove build cache",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        flag("all", 'a', Kind::Bool, "", "", "Remove all unused build cache, not just dangling ones"),
        flag("filter", '\0', Kind::List, "filter", "", "Provide filter values (e.g. \"until=24h\")"),
        recurring::FORCE_PRUNE,
        flag("keep-storage", '\0', Kind::Bytes, "bytes", "", "Amount of disk space to keep for cache"),
    ],
    run: run!(execute),
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Report {
    caches_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let filters = match args.filters()? {
        filters if filters.is_empty() => String::new(),
        filters => filters.to_json(),
    };
    let keep = match args.bytes("keep-storage") {
        0 => String::new(),
        bytes => bytes.to_string(),
    };
    // A cache mount that no step uses is all that is kept, and nothing of it dangles.
    let what = if args.on("all") {
        "all build cache"
    } else {
        "all build cache mounts that are not in use"
    };
    let question = format!("WARNING! This will remove {what}. Are you sure you want to continue?");
    if !args.on("force") && !console::confirm(&question) {
        return Err(Failure::new("builder prune has been cancelled"));
    }
    let reply = app
        .client()?
        .build_prune(
            Query::new()
                .with_flag("all", args.on("all"))
                .with_some("filters", &filters)
                .with_some("keep-storage", &keep),
        )
        .await?;
    let report: Report = serde_json::from_slice(&reply)
        .map_err(|error| Failure::new(format!("the reply is broken: {error}")))?;
    if let Some(deleted) = report.caches_deleted.filter(|deleted| !deleted.is_empty()) {
        console::line("Deleted build cache objects:");
        deleted.iter().for_each(console::line);
        console::line("");
    }
    console::line(format!(
        "Total reclaimed space: {}",
        units::decimal(report.space_reclaimed as f64)
    ));
    Ok(())
}
