//! `dhow ps`.

use super::ports::{self, Port};
use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "List containers",
    aliases: "container ls, container list, container ps, ps",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        flag(
            "all",
            'a',
            Kind::Bool,
            "",
            "",
            "Show all containers (default shows just running)",
        ),
        recurring::FILTER,
        recurring::FORMAT_LIST,
        flag(
            "last",
            'n',
            Kind::Int,
            "int",
            "-1",
            "Show n last created containers (includes all states)",
        ),
        flag(
            "latest",
            'l',
            Kind::Bool,
            "",
            "",
            "Show the latest created container (includes all states)",
        ),
        recurring::NO_TRUNC,
        flag("quiet", 'q', Kind::Bool, "", "", "Only display container IDs"),
        flag("size", 's', Kind::Bool, "", "", "Display total file sizes"),
    ],
    run: run!(execute),
};

const TABLE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const TABLE_SIZE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

fn layout(size: bool) -> Layout {
    Layout {
        table: if size { TABLE_SIZE } else { TABLE },
        headers: &[
            ("ID", "CONTAINER ID"),
            ("Names", "NAMES"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("CreatedAt", "CREATED AT"),
            ("RunningFor", "CREATED"),
            ("Ports", "PORTS"),
            ("State", "STATE"),
            ("Status", "STATUS"),
            ("Size", "SIZE"),
            ("Labels", "LABELS"),
            ("Mounts", "MOUNTS"),
            ("LocalVolumes", "LOCAL VOLUMES"),
            ("Networks", "NETWORKS"),
            ("Platform", "PLATFORM"),
        ],
        row: "*formatter.ContainerContext",
    }
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let quiet = args.on("quiet");
    let format = if quiet && args.text("format").is_empty() {
        "{{.ID}}"
    } else {
        app.format(args.text("format"), "psFormat")
    };
    // Sizes are dear to compute: only when they are shown.
    let size = args.on("size") || (!quiet && format.contains(".Size"));
    let limit = if args.on("latest") {
        1
    } else {
        args.int("last").unwrap_or(-1)
    };
    let reply = app
        .client()?
        .container_list(args.on("all"), size, limit, &args.filters()?)
        .await?;
    let full = args.on("no-trunc");
    let containers = App::json_items(&reply)?;
    // A reply that was split into items is JSON throughout.
    let rows = containers
        .iter()
        .filter_map(|json| Value::from_json(json.get().as_bytes()).ok())
        .map(|container| row(&container, full));
    list::print(format, &layout(size), rows)
}

/// The row of one container.
pub(crate) fn row(container: &Value, full: bool) -> Value {
    let id = container.str_at("Id");
    let names: Vec<&str> = container
        .items_at("Names")
        .iter()
        .filter_map(Value::as_str)
        .map(|n| n.strip_prefix('/').unwrap_or(n))
        // A link is a name with another container's in front.
        .filter(|n| full || !n.contains('/'))
        .collect();
    let mut command = container.str_at("Command").to_owned();
    if !full {
        command = units::ellipsis(&command, 20);
    }
    let created = container.int_at("Created");
    let ports: Vec<Port> = container
        .items_at("Ports")
        .iter()
        .map(|p| Port {
            private: p.int_at("PrivatePort"),
            ip: p.str_at("IP").to_owned(),
            public: p.int_at("PublicPort"),
            protocol: p.str_at("Type").to_owned(),
        })
        .collect();
    let mounts: Vec<String> = container
        .items_at("Mounts")
        .iter()
        .map(|m| {
            let name = if m.str_at("Name").is_empty() {
                m.str_at("Source")
            } else {
                m.str_at("Name")
            };
            if full {
                name.to_owned()
            } else {
                units::ellipsis(name, 15)
            }
        })
        .collect();
    let local = container
        .items_at("Mounts")
        .iter()
        .filter(|m| m.str_at("Driver") == "local")
        .count();
    let networks: Vec<&str> = container
        .at(&["NetworkSettings", "Networks"])
        .members()
        .iter()
        .map(|(k, _)| &**k)
        .collect();
    let mut size = units::decimal3(container.int_at("SizeRw") as f64);
    let whole = container.int_at("SizeRootFs");
    if whole > 0 {
        size = format!("{size} (virtual {})", units::decimal3(whole as f64));
    }
    let labels = container.get("Labels").cloned().unwrap_or(Value::Nil);
    let label_map = if let Value::Map(_) = labels {
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
            ("Names", names.join(",").into()),
            ("Image", image(container, full).into()),
            ("Command", crate::template::quote(&command).into()),
            ("CreatedAt", units::stamp(created).into()),
            ("RunningFor", units::ago(created).into()),
            ("Ports", ports::show(&ports).into()),
            ("State", container.str_at("State").into()),
            ("Status", container.str_at("Status").into()),
            ("Size", size.into()),
            ("Labels", list::labels(&labels).into()),
            ("Mounts", mounts.join(",").into()),
            ("LocalVolumes", local.to_string().into()),
            ("Networks", networks.join(",").into()),
            ("Platform", Value::Nil),
        ],
        "Label",
        label_map,
    )
}

/// The image as it was named; shortened if it is an id or has a digest.
fn image(container: &Value, full: bool) -> String {
    let name = container.str_at("Image");
    if name.is_empty() {
        return "<no image>".to_owned();
    }
    if full {
        return name.to_owned();
    }
    let id = units::short_id(container.str_at("ImageID"));
    if !id.is_empty() && id == units::short_id(name) {
        return id.to_owned();
    }
    match name.split_once("@sha256:") {
        Some((before, _)) => before.to_owned(),
        None => name.to_owned(),
    }
}
