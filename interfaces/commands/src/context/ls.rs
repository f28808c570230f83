//! `dhow context ls`.

use super::store;
use crate::app::App;
use crate::console;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "List contexts",
    aliases: "context ls, context list",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        recurring::FORMAT_LIST,
        flag("quiet", 'q', Kind::Bool, "", "", "Only show context names"),
    ],
    run: run!(execute),
};

const LAYOUT: Layout = Layout {
    table: "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    headers: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
    ],
    row: "*formatter.clientContextContext",
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let current = app.context_name();
    let format = if args.on("quiet") && args.text("format").is_empty() {
        "{{.Name}}"
    } else {
        args.text("format")
    };
    let all = store::all(app)?;
    let mut rows: Vec<Value> = Vec::new();
    for context in &all {
        let description = match (context.name.as_str(), context.description.as_str()) {
            (super::DEFAULT, "") => "Current DOCKER_HOST based configuration",
            (_, text) => text,
        };
        let description = if args.text("format").is_empty() {
            units::ellipsis(description, 60)
        } else {
            description.to_owned()
        };
        rows.push(list::row(vec![
            ("Name", context.name.as_str().into()),
            ("Current", (context.name == current).into()),
            ("Description", description.into()),
            ("DockerEndpoint", context.host.as_str().into()),
            ("Error", "".into()),
        ]));
    }
    list::print(format, &LAYOUT, &rows)?;
    if !all.iter().any(|c| c.name == current) {
        console::error(format!("context {current:?} does not exist"));
    }
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    if !host.is_empty() && !args.on("quiet") {
        console::error(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.",
        );
    }
    Ok(())
}
