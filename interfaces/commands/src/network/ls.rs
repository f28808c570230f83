//! `dhow network ls`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "List networks",
    aliases: "network ls, network list",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        flag(
            "filter",
            'f',
            Kind::List,
            "filter",
            "",
            "Provide filter values (e.g. \"driver=bridge\")",
        ),
        recurring::FORMAT_LIST,
        flag("no-trunc", '\0', Kind::Bool, "", "", "Do not truncate the output"),
        flag("quiet", 'q', Kind::Bool, "", "", "Only display network IDs"),
    ],
    run: run!(execute),
};

const LAYOUT: Layout = Layout {
    table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    headers: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    row: "*formatter.networkContext",
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let format = if args.on("quiet") && args.text("format").is_empty() {
        "{{.ID}}"
    } else {
        app.format(args.text("format"), "networksFormat")
    };
    let list = App::json(&app.client()?.network_list(&args.filters()?).await?)?;
    let mut networks: Vec<Value> = list.items().to_vec();
    networks.sort_by(|a, b| a.str_at("Name").cmp(b.str_at("Name")));
    let full = args.on("no-trunc");
    let rows: Vec<Value> = networks.iter().map(|n| row(n, full)).collect();
    list::print(format, &LAYOUT, &rows)
}

fn row(network: &Value, full: bool) -> Value {
    let id = network.str_at("Id");
    let labels = network.get("Labels").cloned().unwrap_or(Value::Nil);
    let created = network.str_at("Created");
    let created = match created.parse::<jiff::Timestamp>() {
        Ok(t) => go_time(t),
        Err(_) => created.to_owned(),
    };
    let map = if let Value::Map(_) = labels {
        labels.clone()
    } else {
        Value::map([] as [(&str, Value); 0])
    };
    list::row_with(
        vec![
            (
                "ID",
                if full {
                    id.into()
                } else {
                    units::short_id(id).into()
                },
            ),
            ("Name", network.str_at("Name").into()),
            ("Driver", network.str_at("Driver").into()),
            ("Scope", network.str_at("Scope").into()),
            ("IPv4", network.bool_at("EnableIPv4").to_string().into()),
            ("IPv6", network.bool_at("EnableIPv6").to_string().into()),
            ("Internal", network.bool_at("Internal").to_string().into()),
            ("Labels", list::labels(&labels).into()),
            ("CreatedAt", created.into()),
        ],
        "Label",
        map,
    )
}

/// Go's `Time.String`, with as many decimals as there are.
fn go_time(t: jiff::Timestamp) -> String {
    let fraction = format!("{:09}", t.subsec_nanosecond());
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction} +0000 UTC", t.strftime("%Y-%m-%d %H:%M:%S"))
}
