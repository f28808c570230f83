//! `dhow stats`.

use std::collections::BTreeMap;

use api_types::Filters;
use api_types::container::Stats;
use client::Client;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Format, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::{console, units};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [CONTAINER...]",
    about: "Display a live stream of container(s) resource usage statistics",
    aliases: "container stats, stats",
    count: Count::AtLeast(0),
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
        recurring::FORMAT_LIST,
        flag(
            "no-stream",
            '\0',
            Kind::Bool,
            "",
            "",
            "Disable streaming stats and only pull the first result",
        ),
        flag("no-trunc", '\0', Kind::Bool, "", "", "Do not truncate output"),
    ],
    run: run!(execute),
};

const LAYOUT: Layout = Layout {
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    headers: &[
        ("ID", "CONTAINER ID"),
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    row: "*formatter.statsContext",
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let text = app.format(args.text("format"), "statsFormat");
    let format = Format::parse(text, LAYOUT.table)?;
    let full = args.on("no-trunc");
    let once = args.on("no-stream");
    let named = !args.args.is_empty();
    if named {
        // A name that does not exist is said before anything is shown.
        for name in &args.args {
            client.container_inspect(name, false).await?;
        }
    }
    loop {
        let begun = tokio::time::Instant::now();
        let names = if named {
            args.args.clone()
        } else {
            running(client, args.on("all")).await?
        };
        let mut tasks: FuturesUnordered<_> = names
            .iter()
            .map(|name| async move { (name.clone(), sample(client, name).await) })
            .collect();
        let mut samples = BTreeMap::new();
        while let Some((name, sample)) = tasks.next().await {
            samples.insert(name, sample);
        }
        let rows: Vec<Value> = names
            .iter()
            .filter_map(|n| Some(row(n, samples.get(n)?.as_ref(), full)))
            .collect();
        let shown = format.render(&LAYOUT, &rows)?;
        if once {
            console::print(shown);
            return Ok(());
        }
        // Home, the lines each cleared to their end, then everything below.
        let screen: String = shown.lines().map(|line| format!("{line}\x1b[K\n")).collect();
        console::print(format!("\x1b[H{screen}\x1b[J"));
        tokio::time::sleep_until(begun + std::time::Duration::from_millis(500)).await;
    }
}

async fn running(client: &Client, all: bool) -> Result<Vec<String>, Failure> {
    let list = App::json(&client.container_list(all, false, 0, &Filters::default()).await?)?;
    Ok(list
        .items()
        .iter()
        .map(|c| units::short_id(c.str_at("Id")).to_owned())
        .collect())
}

async fn sample(client: &Client, name: &str) -> Option<Stats> {
    client
        .container_stats(name, false)
        .await
        .ok()?
        .json(client)
        .await
        .ok()
}

/// Share of all CPUs that was used between the two readings of one sample.
fn cpu_percent(stats: &Stats) -> f64 {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = now.cpu_usage.total_usage as f64 - before.cpu_usage.total_usage as f64;
    let whole = now.system_cpu_usage as f64 - before.system_cpu_usage as f64;
    let mut cpus = f64::from(now.online_cpus);
    if cpus == 0.0 {
        cpus = now.cpu_usage.percpu_usage.as_ref().map_or(0, Vec::len) as f64;
    }
    if used > 0.0 && whole > 0.0 {
        used / whole * cpus * 100.0
    } else {
        0.0
    }
}

/// Memory without the pages that the kernel gives back first.
fn memory(stats: &Stats) -> f64 {
    let usage = stats.memory_stats.usage;
    let detail = stats.memory_stats.stats.as_ref();
    let of = |key: &str| detail.and_then(|d| d.get(key)).copied().unwrap_or(0);
    let v1 = of("total_inactive_file");
    let idle = if v1 > 0 { v1 } else { of("inactive_file") };
    if idle < usage {
        (usage - idle) as f64
    } else {
        usage as f64
    }
}

fn row(name: &str, stats: Option<&Stats>, full: bool) -> Value {
    let Some(stats) = stats else {
        let none = || Value::from("--");
        return list::row(vec![
            ("Container", name.into()),
            ("ID", name.into()),
            ("Name", none()),
            ("CPUPerc", none()),
            ("MemUsage", "-- / --".into()),
            ("MemPerc", none()),
            ("NetIO", none()),
            ("BlockIO", none()),
            ("PIDs", none()),
        ]);
    };
    let (used, limit) = (memory(stats), stats.memory_stats.limit as f64);
    let share = if limit > 0.0 { used / limit * 100.0 } else { 0.0 };
    let networks = stats.networks.iter().flatten();
    let (received, sent) = networks.fold((0.0, 0.0), |(r, s), (_, n)| {
        (r + n.rx_bytes as f64, s + n.tx_bytes as f64)
    });
    let (mut read, mut written) = (0.0, 0.0);
    for entry in stats.blkio_stats.io_service_bytes_recursive.iter().flatten() {
        match entry.op.bytes().next() {
            Some(b'r' | b'R') => read += entry.value as f64,
            Some(b'w' | b'W') => written += entry.value as f64,
            _ => {}
        }
    }
    let id = stats.id.as_str();
    list::row(vec![
        ("Container", name.into()),
        (
            "ID",
            if full {
                id.into()
            } else {
                units::short_id(id).into()
            },
        ),
        ("Name", stats.name.trim_start_matches('/').into()),
        ("CPUPerc", format!("{:.2}%", cpu_percent(stats)).into()),
        (
            "MemUsage",
            format!("{} / {}", units::binary(used), units::binary(limit)).into(),
        ),
        ("MemPerc", format!("{share:.2}%").into()),
        (
            "NetIO",
            format!("{} / {}", units::decimal3(received), units::decimal3(sent)).into(),
        ),
        (
            "BlockIO",
            format!("{} / {}", units::decimal3(read), units::decimal3(written)).into(),
        ),
        ("PIDs", stats.pids_stats.current.to_string().into()),
    ])
}
