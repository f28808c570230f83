//! dhow beside docker, podman, runc and crun, in one run on one machine.
//!
//! The runs of the engines are interleaved, and each round begins with another engine, so that a busy moment of the machine
//! and the aftermath of a neighbour's run hit all of them; medians are compared. Each engine has roots and a network
//! namespace of its own and is ended afterwards. `engines` starts them, `rows` and `builds` are the works that are measured,
//! `runtimes` the OCI runtimes alone, `resources` counts memory and bytes, `table` prints.

mod builds;
mod engines;
mod images;
mod registry;
mod resources;
mod rows;
mod runtimes;
mod table;

pub(crate) use runtimes::make_bundles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::{build, packages};
use engines::Engine;
use table::{Line, Table, median};

/// An engine that has spent this on one row has been measured enough (if at least once).
const PATIENCE: Duration = Duration::from_secs(7);
/// Between two runs, so that what an engine does after its answer is not the next one's loss.
const PAUSE: Duration = Duration::from_millis(40);
/// A first run that takes longer than this has nothing to warm up: it counts.
const LONG: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each row; the median counts
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Only rows whose name contains one of these words (see --list)
    rows: Vec<String>,
    /// Only these engines: dhow, docker, podman
    #[arg(long, value_delimiter = ',', default_value = "dhow,docker,podman")]
    engines: Vec<String>,
    /// Use the binaries of this folder, without building
    #[arg(long, num_args = 0..=1, default_missing_value = "target/release")]
    built: Option<PathBuf>,
    /// Print the names of the rows
    #[arg(long)]
    list: bool,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|word| name.contains(word.as_str()))
    }

    /// The folder of the binaries that are measured; they are built if none was named.
    fn binaries(&self) -> Result<PathBuf> {
        match &self.built {
            Some(folder) => Ok(folder.canonicalize()?),
            None => build::release(),
        }
    }
}

fn workplace() -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("dhow-bench-")
        .tempdir_in("/tmp")?;
    Ok(folder)
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        let timed = rows::ROWS
            .iter()
            .chain(builds::ROWS)
            .map(|row| (row.name, row.what));
        timed
            .chain(runtimes::ROWS.iter().map(|row| (row.name, row.what)))
            .chain(resources::ROWS)
            .for_each(|(name, what)| println!("{name:<12} {what}"));
        println!(
            "{:<12} dhow-registry beside docker-registry: a table of its own",
            "registry"
        );
        return Ok(());
    }
    if arguments.rows.iter().any(|word| word == "registry") {
        return registries(arguments);
    }
    if !arguments.rows.is_empty() && arguments.rows.iter().all(|word| word.starts_with("runtime")) {
        return only_runtimes(arguments);
    }
    packages::ensure(&[
        "busybox-static",
        "docker.io",
        "podman",
        "crun",
        "runc",
        "iproute2",
    ])?;
    let binaries = arguments.binaries()?;
    let begun = Instant::now();
    let work = workplace()?;
    let engines = start(arguments, &binaries, work.path())?;
    let mut table = Table::new(&engines);
    let timed = rows::ROWS.iter().chain(builds::ROWS);
    for row in timed.filter(|row| arguments.wants(row.name)) {
        let medians = measure(row, &engines, arguments.runs.min(row.most), work.path());
        table.add(Line::times(row.what, medians).aim(row.aim));
    }
    let wants = |name: &str| arguments.wants(name);
    if runtimes::ROWS.iter().any(|row| wants(row.name)) {
        let subjects = runtimes::subjects(&binaries);
        runtimes::measure(&subjects, work.path(), arguments.runs, wants, &mut table)?;
    }
    resources::measure(&engines, &binaries, work.path(), &mut table, wants)?;
    drop(engines);
    println!("\n{table}");
    println!("measured in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn start(arguments: &Arguments, binaries: &Path, work: &Path) -> Result<Vec<Engine>> {
    let archive = work.join("busybox.tar");
    e2e::image::busybox(&archive);
    let mut engines = Vec::new();
    for name in &arguments.engines {
        let started = Engine::start(name, binaries, work).and_then(|engine| {
            engine.ok(&["load", "--input", &archive.display().to_string()])?;
            engine.ok(&["run", "--rm", "busybox", "true"])?;
            Ok(engine)
        });
        match started {
            Ok(engine) => engines.push(engine),
            Err(error) => println!("{name} is left out: {error:#}"),
        }
    }
    ensure!(!engines.is_empty(), "no engine could be started");
    Ok(engines)
}

/// The table of the OCI runtimes, which needs no engine.
fn only_runtimes(arguments: &Arguments) -> Result<()> {
    let binaries = arguments.binaries()?;
    let work = workplace()?;
    let subjects = runtimes::subjects(&binaries);
    let mut table = Table::of_runtimes(&subjects);
    let wants = |name: &str| arguments.wants(name);
    runtimes::measure(&subjects, work.path(), arguments.runs, wants, &mut table)?;
    println!("\n{table}");
    Ok(())
}

/// The table of the registries, which needs no engine.
fn registries(arguments: &Arguments) -> Result<()> {
    let binaries = arguments.binaries()?;
    let work = workplace()?;
    let table = registry::run(&binaries, work.path(), arguments.runs.min(5))?;
    println!("\n{}", table.join("\n"));
    Ok(())
}

/// Medians in seconds by engine; one that cannot do the row is missing.
fn measure(row: &rows::Row, engines: &[Engine], runs: usize, work: &Path) -> BTreeMap<String, f64> {
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let mut broken: Vec<&str> = Vec::new();
    let say = |engine: &str, error: &anyhow::Error| println!("  {}: {engine}: {error:#}", row.name);
    let takes_part = |engine: &&Engine| row.only.is_empty() || row.only.contains(&engine.name.as_str());
    let engines: Vec<&Engine> = engines.iter().filter(takes_part).collect();
    for engine in &engines {
        if let Err(error) = (row.prepare)(engine, work) {
            say(&engine.name, &error);
            broken.push(&engine.name);
        }
    }
    for round in 0..=runs {
        for turn in 0..engines.len() {
            let engine = engines[(turn + round) % engines.len()];
            let name = engine.name.as_str();
            let spent: Duration = times.get(name).into_iter().flatten().sum();
            if broken.contains(&name) || spent > PATIENCE {
                continue;
            }
            std::thread::sleep(PAUSE);
            match (row.measure)(engine, work, round) {
                // The first round warms caches.
                Ok(time) if round > 0 || time > LONG => times.entry(name).or_default().push(time),
                Ok(_) => {}
                Err(error) => {
                    say(name, &error);
                    broken.push(name);
                }
            }
        }
    }
    engines.iter().for_each(|engine| engine.clear());
    let finished = times.into_iter().filter(|(name, _)| !broken.contains(name));
    let medians = finished.map(|(name, times)| {
        let least = times.iter().min().copied().unwrap_or_default().as_secs_f64();
        (name.to_owned(), median(times), least)
    });
    let medians: Vec<_> = medians.collect();
    let text: Vec<String> = medians
        .iter()
        .map(|(name, median, least)| {
            format!(
                "{name} {} (least {})",
                table::duration(*median),
                table::duration(*least)
            )
        })
        .collect();
    println!("{:<12} {}", row.name, text.join(", "));
    medians
        .into_iter()
        .map(|(name, median, _)| (name, median))
        .collect()
}
