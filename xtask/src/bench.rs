//! dhow beside docker, podman, runc and crun, in one run on one machine.
//!
//! The runs of the engines are interleaved, so that a busy moment of the machine hits all of them; medians are compared.
//! Each daemon has roots and a network namespace of its own and is ended afterwards. `engines` starts them, `rows` are
//! the works that are measured, `resources` counts memory and bytes.

mod engines;
mod images;
mod resources;
mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{build, packages};
use engines::Engine;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each row; the median counts
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Only rows whose name contains one of these words (see --list)
    rows: Vec<String>,
    /// Only these engines: dhow, docker, podman
    #[arg(long, value_delimiter = ',', default_value = "dhow,docker,podman")]
    engines: Vec<String>,
    /// Use the binaries that are in target/release, without building
    #[arg(long)]
    built: bool,
    /// Print the names of the rows
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let rows: Vec<&rows::Row> = rows::ROWS
        .iter()
        .filter(|row| {
            arguments.rows.is_empty() || arguments.rows.iter().any(|word| row.name.contains(word.as_str()))
        })
        .collect();
    if arguments.list {
        rows.iter()
            .for_each(|row| println!("{:<12} {}", row.name, row.what));
        resources::ROWS
            .iter()
            .for_each(|(name, what)| println!("{name:<12} {what}"));
        return Ok(());
    }
    let resource = |name: &str| {
        arguments.rows.is_empty() || arguments.rows.iter().any(|word| name.contains(word.as_str()))
    };
    packages::ensure(&[
        "busybox-static",
        "docker.io",
        "podman",
        "crun",
        "runc",
        "iproute2",
    ])?;
    let binaries = match arguments.built {
        true => std::path::Path::new("target/release").canonicalize()?,
        false => build::release()?,
    };
    let work = tempfile::Builder::new()
        .prefix("dhow-bench-")
        .tempdir_in("/tmp")?;
    let archive = work.path().join("busybox.tar");
    e2e::image::busybox(&archive);
    let mut engines = Vec::new();
    for name in &arguments.engines {
        match Engine::start(name, &binaries, work.path()) {
            Ok(engine) => {
                engine.ok(&["load", "--input", &archive.display().to_string()])?;
                println!("{}: {}", engine.name, engine.version());
                engines.push(engine);
            }
            Err(error) => println!("{name} is left out: {error:#}"),
        }
    }
    ensure!(!engines.is_empty(), "no engine could be started");

    let names: Vec<String> = engines.iter().map(|engine| engine.name.clone()).collect();
    let mut table = vec![heading(&names)];
    for row in &rows {
        let medians = measure(row, &engines, arguments.runs.min(row.most), work.path());
        let line = line(row.what, &names, &medians, duration);
        println!("{line}");
        table.push(line);
    }
    if resource("runtime") {
        table.extend(rows::runtimes(&binaries, work.path(), arguments.runs)?);
    }
    if resource("memory") || resource("monitor") {
        for (what, values) in resources::memory(&engines)? {
            table.push(line(&what, &names, &values, |bytes| {
                format!("{:.2} MB", bytes / 1e6)
            }));
        }
    }
    if resource("size") {
        let values = engines
            .iter()
            .map(|engine| (engine.name.clone(), resources::size(engine, &binaries)))
            .collect();
        table.push(line("size of all binaries", &names, &values, |bytes| {
            format!("{:.1} MB", bytes / 1e6)
        }));
    }
    println!("\n{}", table.join("\n"));
    Ok(())
}

/// Medians in seconds by engine; one that cannot do the row is missing.
fn measure(
    row: &rows::Row,
    engines: &[Engine],
    runs: usize,
    work: &std::path::Path,
) -> BTreeMap<String, f64> {
    let mut times: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    let mut broken = Vec::new();
    for engine in engines {
        if let Err(error) = (row.prepare)(engine, work) {
            println!("  {}: {}: {error:#}", row.name, engine.name);
            broken.push(engine.name.clone());
        }
    }
    // The first round warms caches and does not count.
    for round in 0..=runs {
        for engine in engines
            .iter()
            .filter(|engine| !broken.contains(&engine.name))
            .collect::<Vec<_>>()
        {
            match (row.measure)(engine, work, round) {
                Ok(time) if round > 0 => times.entry(engine.name.clone()).or_default().push(time),
                Ok(_) => {}
                Err(error) => {
                    println!("  {}: {}: {error:#}", row.name, engine.name);
                    broken.push(engine.name.clone());
                }
            }
        }
    }
    engines.iter().for_each(Engine::clear);
    let finished = times.into_iter().filter(|(name, _)| !broken.contains(name));
    finished.map(|(name, times)| (name, median(times))).collect()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn heading(names: &[String]) -> String {
    let columns: String = names.iter().map(|name| format!(" {name} |")).collect();
    let lines = "---|".repeat(names.len());
    format!("| work |{columns} × docker |\n|---|{lines}---|")
}

/// One line of the table; the last column says how many times better dhow is than docker.
fn line(
    what: &str,
    names: &[String],
    values: &BTreeMap<String, f64>,
    show: impl Fn(f64) -> String,
) -> String {
    let cells: String = names
        .iter()
        .map(|name| format!(" {} |", values.get(name).map_or("–".to_owned(), |v| show(*v))))
        .collect();
    let times = match (values.get("dhow"), values.get("docker")) {
        (Some(own), Some(docker)) if *own > 0.0 => format!("{:.1}", docker / own),
        _ => "–".to_owned(),
    };
    format!("| {what} |{cells} {times} |")
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_compares_with_docker() {
        let names = ["dhow".to_owned(), "docker".to_owned(), "podman".to_owned()];
        let values = BTreeMap::from([("dhow".to_owned(), 0.008), ("docker".to_owned(), 0.2)]);
        assert_eq!(
            line("run", &names, &values, duration),
            "| run | 8.0 ms | 200 ms | – | 25.0 |"
        );
    }
}
