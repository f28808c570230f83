//! `dhow volume ls`.

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "List volumes",
    aliases: "volume ls, volume list",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        flag(
            "cluster",
            '\0',
            Kind::Bool,
            "",
            "",
            "Display only cluster volumes, and use cluster volume list formatting",
        ),
        flag(
            "filter",
            'f',
            Kind::List,
            "filter",
            "",
            "Provide filter values (e.g. \"dangling=true\")",
        ),
        recurring::FORMAT_LIST,
        flag("quiet", 'q', Kind::Bool, "", "", "Only display volume names"),
    ],
    run: run!(execute),
};

const LAYOUT: Layout = Layout {
    table: "{{.Driver}}\t{{.Name}}",
    headers: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Group", "GROUP"),
        ("Availability", "AVAILABILITY"),
        ("Status", "STATUS"),
    ],
    row: "*formatter.volumeContext",
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if args.on("cluster") {
        return Err(Failure::new(
            "flag --cluster is not available in this version of dhow",
        ));
    }
    let format = if args.on("quiet") && args.text("format").is_empty() {
        "{{.Name}}"
    } else {
        app.format(args.text("format"), "volumesFormat")
    };
    let list = App::json(&app.client()?.volume_list(&args.filters()?).await?)?;
    let mut volumes: Vec<Value> = list.items_at("Volumes").to_vec();
    volumes.sort_by(|a, b| a.str_at("Name").cmp(b.str_at("Name")));
    let rows: Vec<Value> = volumes.iter().map(row).collect();
    list::print(format, &LAYOUT, &rows)
}

/// The row of one volume.
pub(crate) fn row(volume: &Value) -> Value {
    let labels = volume.get("Labels").cloned().unwrap_or(Value::Nil);
    let usage = volume.get("UsageData");
    let number = |name: &str| usage.and_then(|u| u.get(name)).map(Value::as_int);
    let links = number("RefCount").map_or("N/A".to_owned(), |n| n.to_string());
    let size = number("Size").map_or("N/A".to_owned(), |n| units::decimal(n as f64));
    let map = if let Value::Map(_) = labels {
        labels.clone()
    } else {
        Value::map([] as [(&str, Value); 0])
    };
    list::row_with(
        vec![
            ("Name", volume.str_at("Name").into()),
            ("Driver", volume.str_at("Driver").into()),
            ("Scope", volume.str_at("Scope").into()),
            ("Mountpoint", volume.str_at("Mountpoint").into()),
            ("Labels", list::labels(&labels).into()),
            ("Links", links.into()),
            ("Size", size.into()),
            ("Group", "N/A".into()),
            ("Availability", "N/A".into()),
            ("Status", "N/A".into()),
        ],
        "Label",
        map,
    )
}
