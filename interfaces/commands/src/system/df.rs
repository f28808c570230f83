//! `dhow system df`.

use crate::app::App;
use crate::console;
use crate::container;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::image;
use crate::list::{self, Format, Layout};
use crate::template::{MissingKey, Template, Value};
use crate::tree::{Command, Count, run};
use crate::units;
use crate::volume;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Show docker disk usage",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        recurring::FORMAT_LIST,
        flag(
            "verbose",
            'v',
            Kind::Bool,
            "",
            "",
            "Show detailed information on space usage",
        ),
    ],
    run: run!(execute),
};

const LAYOUT: Layout = Layout {
    table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    headers: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    row: "*formatter.diskUsageContext",
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let usage = App::json(&app.client()?.disk_usage().await?)?;
    match (args.on("verbose"), args.text("format")) {
        (true, "" | "table") => return verbose(&usage),
        (true, "json") => return in_full("{{json .}}", &usage),
        (true, format) => return in_full(format, &usage),
        (false, _) => {}
    }
    list::print(args.text("format"), &LAYOUT, rows(&usage))
}

fn rows(usage: &Value) -> Vec<Value> {
    let sum = |items: &[Value], of: &dyn Fn(&Value) -> i64| items.iter().map(of).sum::<i64>();
    let images = usage.items_at("Images");
    let used = |i: &&Value| i.int_at("Containers") > 0;
    let size = usage.int_at("LayersSize");
    // What only images in use hold stays.
    let held: i64 = images
        .iter()
        .filter(used)
        .filter(|i| i.int_at("Size") != -1 && i.int_at("SharedSize") != -1)
        .map(|i| i.int_at("Size") - i.int_at("SharedSize"))
        .sum();
    let containers = usage.items_at("Containers");
    let running = |c: &&Value| matches!(c.str_at("State"), "running" | "paused" | "restarting");
    let rw = |c: &Value| c.int_at("SizeRw");
    let all_rw = sum(containers, &rw);
    let idle_rw: i64 = containers.iter().filter(|c| !running(c)).map(rw).sum();
    let volumes = usage.items_at("Volumes");
    let data = |v: &Value, name: &str| v.get("UsageData").map_or(0, |u| u.int_at(name));
    let volume_size = |v: &Value| data(v, "Size").max(0);
    let all_volumes = sum(volumes, &volume_size);
    let idle_volumes: i64 = volumes
        .iter()
        .filter(|v| data(v, "RefCount") == 0)
        .map(volume_size)
        .sum();
    let cache = usage.items_at("BuildCache");
    let unshared = |c: &&Value| !c.bool_at("Shared");
    let cache_size: i64 = cache.iter().filter(unshared).map(|c| c.int_at("Size")).sum();
    let cache_idle: i64 = cache
        .iter()
        .filter(unshared)
        .filter(|c| !c.bool_at("InUse"))
        .map(|c| c.int_at("Size"))
        .sum();
    let row = |name: &str, total: usize, active: usize, size: i64, free: i64, percent: bool| {
        let free_text = units::decimal(free as f64);
        let free_text = if percent && size > 0 {
            format!("{free_text} ({}%)", free * 100 / size)
        } else {
            free_text
        };
        list::row(vec![
            ("Type", name.into()),
            ("TotalCount", total.to_string().into()),
            ("Active", active.to_string().into()),
            ("Size", units::decimal(size as f64).into()),
            ("Reclaimable", free_text.into()),
        ])
    };
    let volumes_used = volumes.iter().filter(|v| data(v, "RefCount") > 0).count();
    vec![
        row(
            "Images",
            images.len(),
            images.iter().filter(used).count(),
            size,
            size - held,
            true,
        ),
        row(
            "Containers",
            containers.len(),
            containers.iter().filter(running).count(),
            all_rw,
            idle_rw,
            true,
        ),
        row(
            "Local Volumes",
            volumes.len(),
            volumes_used,
            all_volumes,
            idle_volumes,
            true,
        ),
        row(
            "Build Cache",
            cache.len(),
            cache.iter().filter(|c| c.bool_at("InUse")).count(),
            cache_size,
            cache_idle,
            false,
        ),
    ]
}

/// Everything as one object, for a template.
fn in_full(format: &str, usage: &Value) -> Outcome {
    let template = Template::parse(format)?;
    let images = usage.items_at("Images").iter();
    let containers = usage.items_at("Containers").iter();
    let object = list::row(vec![
        (
            "Images",
            Value::list(images.flat_map(|i| image::ls::rows(i, true, false)).collect()),
        ),
        (
            "Containers",
            Value::list(
                containers
                    .map(|c| container::ls::row(&without_root(c), true))
                    .collect(),
            ),
        ),
        (
            "Volumes",
            Value::list(usage.items_at("Volumes").iter().map(volume::ls::row).collect()),
        ),
        (
            "BuildCache",
            Value::list(usage.items_at("BuildCache").iter().map(cache_row).collect()),
        ),
    ]);
    console::print(template.execute(&object, MissingKey::Error)?);
    Ok(())
}

/// What a table or a template sees of one step of a build.
fn cache_row(step: &Value) -> Value {
    let since = |name: &str| units::parse_rfc3339(step.str_at(name)).map_or(String::new(), units::ago);
    list::row(vec![
        ("ID", units::short_id(step.str_at("ID")).into()),
        ("CacheType", step.str_at("Type").into()),
        ("Size", units::decimal3(step.int_at("Size") as f64).into()),
        ("CreatedSince", since("CreatedAt").into()),
        ("LastUsedSince", since("LastUsedAt").into()),
        ("UsageCount", step.int_at("UsageCount").to_string().into()),
        ("Shared", step.bool_at("Shared").to_string().into()),
    ])
}

fn verbose(usage: &Value) -> Outcome {
    let section = |title: &str, layout: &Layout, rows: Vec<Value>| {
        let text = Format::parse("", layout.table)?.render(layout, &rows)?;
        console::print(format!("{title}\n\n{text}"));
        Ok::<(), Failure>(())
    };
    let images = Layout {
        table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
        headers: &[
            ("Repository", "REPOSITORY"),
            ("Tag", "TAG"),
            ("ID", "IMAGE ID"),
            ("CreatedSince", "CREATED"),
            ("Size", "SIZE"),
            ("SharedSize", "SHARED SIZE"),
            ("UniqueSize", "UNIQUE SIZE"),
            ("Containers", "CONTAINERS"),
        ],
        row: "*formatter.imageContext",
    };
    let rows = usage
        .items_at("Images")
        .iter()
        .flat_map(|i| image::ls::rows(i, false, false))
        .collect();
    section("Images space usage:", &images, rows)?;
    let containers = Layout {
        table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
        headers: &[
            ("ID", "CONTAINER ID"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("LocalVolumes", "LOCAL VOLUMES"),
            ("Size", "SIZE"),
            ("RunningFor", "CREATED"),
            ("Status", "STATUS"),
            ("Names", "NAMES"),
        ],
        row: "*formatter.ContainerContext",
    };
    let rows = usage
        .items_at("Containers")
        .iter()
        .map(|c| container::ls::row(&without_root(c), false))
        .collect();
    section("\nContainers space usage:", &containers, rows)?;
    let volumes = Layout {
        table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
        headers: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
        row: "*formatter.volumeContext",
    };
    let rows = usage.items_at("Volumes").iter().map(volume::ls::row).collect();
    section("\nLocal Volumes space usage:", &volumes, rows)?;
    let cache = usage.items_at("BuildCache");
    let size: i64 = cache
        .iter()
        .filter(|c| !c.bool_at("Shared"))
        .map(|c| c.int_at("Size"))
        .sum();
    let layout = Layout {
        table: "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
        headers: &[
            ("ID", "CACHE ID"),
            ("CacheType", "CACHE TYPE"),
            ("Size", "SIZE"),
            ("CreatedSince", "CREATED"),
            ("LastUsedSince", "LAST USED"),
            ("UsageCount", "USAGE"),
            ("Shared", "SHARED"),
        ],
        row: "*formatter.buildCacheContext",
    };
    let rows = cache.iter().map(cache_row).collect();
    section(
        &format!("\nBuild cache usage: {}", units::decimal(size as f64)),
        &layout,
        rows,
    )
}

/// The container without the size of its image, which is shown elsewhere.
fn without_root(container: &Value) -> Value {
    let kept = container.members().iter().filter(|(k, _)| &**k != "SizeRootFs");
    Value::map(kept.map(|(k, v)| (k, v.clone())))
}
