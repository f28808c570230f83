//! `dhow builder prune`.

use client::Query;
use serde::Deserialize;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, units};

pub(crate) static COMMAND: Command = Command {
    usage: "",
    about: "Remove build cache",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[flag(
        "force",
        'f',
        Kind::Bool,
        "",
        "",
        "Do not prompt for confirmation",
    )],
    run: run!(execute),
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Report {
    caches_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let question = "WARNING! This will remove all build cache mounts that are not in use. Are you sure you want to continue?";
    if !args.on("force") && !console::confirm(question) {
        return Err(Failure::new("builder prune has been cancelled"));
    }
    let reply = app.client()?.build_prune(Query::new()).await?;
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
