//! `dhow history`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    aliases: "image history, history",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        recurring::FORMAT_LIST,
        flag(
            "human",
            'H',
            Kind::Bool,
            "",
            "true",
            "Print sizes and dates in human readable format",
        ),
        recurring::NO_TRUNC,
        flag(
            "platform",
            '\0',
            Kind::Text,
            "string",
            "",
            "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
        flag("quiet", 'q', Kind::Bool, "", "", "Only show image IDs"),
    ],
    run: run!(execute),
};

const LAYOUT: Layout = Layout {
    table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    headers: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    row: "*formatter.historyContext",
};

const EXACT: Layout = Layout {
    table: "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    ..LAYOUT
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let platform = super::inspect::platform(args.text("platform"));
    let history = App::json(&app.client()?.image_history(args.arg(0), &platform).await?)?;
    let (full, human) = (args.on("no-trunc"), args.on("human"));
    let rows: Vec<Value> = history
        .items()
        .iter()
        .map(|layer| row(layer, full, human))
        .collect();
    let format = if args.on("quiet") && args.text("format").is_empty() {
        "{{.ID}}"
    } else {
        args.text("format")
    };
    list::print(format, if human { &LAYOUT } else { &EXACT }, &rows)
}

fn row(layer: &Value, full: bool, human: bool) -> Value {
    let (id, created, size) = (layer.str_at("Id"), layer.int_at("Created"), layer.int_at("Size"));
    let mut by = layer.str_at("CreatedBy").replace('\t', " ");
    if !full {
        by = units::ellipsis(&by, 45);
    }
    let since = if created <= -62_135_596_800 {
        "N/A".to_owned()
    } else {
        units::ago(created)
    };
    list::row(vec![
        (
            "ID",
            if full {
                id.into()
            } else {
                units::short_id(id).into()
            },
        ),
        ("CreatedSince", since.into()),
        ("CreatedAt", units::rfc3339(created).into()),
        ("CreatedBy", by.into()),
        (
            "Size",
            if human {
                units::decimal3(size as f64).into()
            } else {
                size.to_string().into()
            },
        ),
        ("Comment", layer.str_at("Comment").into()),
    ])
}
