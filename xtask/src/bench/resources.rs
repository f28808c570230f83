//! Memory and bytes on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::builds;
use super::engines::Engine;
use super::rows;
use super::table::{Aim, Line, Table};

/// Names for `--list`.
pub(super) const ROWS: [(&str, &str); 5] = [
    ("memory", "memory of the engine with 20 running containers (PSS)"),
    (
        "monitor",
        "memory of each running container's parent process (PSS)",
    ),
    (
        "peak",
        "most memory of the engine while it loads the 320 MB (RSS)",
    ),
    (
        "build-peak",
        "most memory of the engine while it builds from 5,000 files (RSS)",
    ),
    ("size", "size of all binaries"),
];

const CONTAINERS: usize = 20;
/// Memory is measured at rest.
const REST: std::time::Duration = std::time::Duration::from_secs(3);

/// Adds the lines that are wanted.
pub(super) fn measure(
    engines: &[Engine],
    binaries: &Path,
    work: &Path,
    table: &mut Table,
    wants: impl Fn(&str) -> bool,
) -> Result<()> {
    if wants("memory") || wants("monitor") {
        let (whole, each) = memory(engines)?;
        let what = format!("memory: engine with {CONTAINERS} running containers (PSS)");
        table.add(Line::bytes(&what, whole).aim(Some(Aim::Most(15e6))));
        let what = "memory: each running container's parent process (PSS)";
        table.add(Line::bytes(what, each).aim(Some(Aim::Most(0.3e6))));
    }
    if wants("peak") {
        let most = engines
            .iter()
            .filter_map(|engine| Some((engine.name.clone(), peak(engine, "peak", || load(engine, work))?)));
        let what = "memory: most while the 320 MB image is loaded (RSS)";
        table.add(Line::bytes(what, most.collect()));
    }
    if wants("build-peak") {
        let most = engines.iter().filter_map(|engine| {
            let peak = peak(engine, "build-peak", || build(engine, work))?;
            Some((engine.name.clone(), peak))
        });
        let what = "memory: most while an image of 5,000 files and 8 × RUN is built (RSS)";
        table.add(Line::bytes(what, most.collect()).aim(Some(Aim::Most(40e6))));
    }
    if wants("size") {
        let sizes = engines
            .iter()
            .map(|engine| (engine.name.clone(), size(engine, binaries)));
        table.add(Line::bytes("size of all binaries", sizes.collect()).aim(Some(Aim::Most(30e6))));
    }
    Ok(())
}

/// Programs that belong to an engine itself, and those that stand beside each container.
fn programs(engine: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match engine {
        "dhow" => (&["dhowd"], &["dhow-runtime", "dhow-monitor"]),
        "docker" => (
            &["dockerd", "containerd"],
            &["containerd-shim", "containerd-shim-runc-v2", "docker-proxy"],
        ),
        _ => (&[], &["conmon"]),
    }
}

type ByEngine = BTreeMap<String, f64>;

/// Bytes of each engine's daemons, and of what stands beside each container.
fn memory(engines: &[Engine]) -> Result<(ByEngine, ByEngine)> {
    let mut whole = BTreeMap::new();
    let mut each = BTreeMap::new();
    for engine in engines {
        let before = processes();
        for _ in 0..CONTAINERS {
            engine.ok(&["run", "-d", "busybox", "sleep", "100000"])?;
        }
        std::thread::sleep(REST);
        let (own, beside) = programs(&engine.name);
        let now = processes();
        let sum = |names: &[&str], new_only: bool| {
            let mine = now.iter().filter(|p| names.contains(&p.name.as_str()));
            // An engine's daemons are told from others of that name by the folder in their command lines.
            let folder = engine.folder().display().to_string();
            let mine = mine.filter(|p| {
                if new_only {
                    !before.iter().any(|b| b.pid == p.pid)
                } else {
                    p.line.contains(&folder)
                }
            });
            mine.filter_map(|p| pss(p.pid)).sum::<u64>() as f64
        };
        if !own.is_empty() {
            whole.insert(engine.name.clone(), sum(own, false));
        }
        each.insert(engine.name.clone(), sum(beside, true) / CONTAINERS as f64);
        engine.clear();
    }
    Ok((whole, each))
}

/// The high water mark of the daemons' resident memory during some work; nothing for an engine without a daemon.
fn peak(engine: &Engine, row: &str, work: impl FnOnce() -> Result<()>) -> Option<f64> {
    let (own, _) = programs(&engine.name);
    let folder = engine.folder().display().to_string();
    let mine: Vec<u32> = processes()
        .into_iter()
        .filter(|p| own.contains(&p.name.as_str()) && p.line.contains(&folder))
        .map(|p| p.pid)
        .collect();
    if mine.is_empty() {
        return None;
    }
    let measured = || -> Result<f64> {
        // proc(5): 5 resets the peak.
        mine.iter()
            .try_for_each(|pid| fs::write(format!("/proc/{pid}/clear_refs"), "5"))?;
        work()?;
        let peaks = mine
            .iter()
            .map(|pid| field(&format!("/proc/{pid}/status"), "VmHWM:"));
        Ok(peaks.sum::<Option<u64>>().context("VmHWM")? as f64)
    };
    measured()
        .inspect_err(|error| println!("  {row}: {}: {error:#}", engine.name))
        .ok()
}

fn load(engine: &Engine, work: &Path) -> Result<()> {
    rows::large(engine, work)?;
    let _ = engine.ok(&["rmi", "-f", "large"]);
    engine.ok(&["load", "--input", &work.join("large.tar").display().to_string()])?;
    let _ = engine.ok(&["rmi", "-f", "large"]);
    Ok(())
}

fn build(engine: &Engine, work: &Path) -> Result<()> {
    let context = builds::steps(engine, work)?.display().to_string();
    engine.ok(&["build", "--no-cache", "--quiet", &context]).map(drop)
}

struct Process {
    pid: u32,
    name: String,
    line: String,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let read = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let first = line.split(' ').next().unwrap_or_default();
        let name = Path::new(first).file_name()?.to_string_lossy().into_owned();
        Some(Process { pid, name, line })
    };
    pids.filter_map(read).collect()
}

/// Proportional set size in bytes.
fn pss(pid: u32) -> Option<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// A number of kilobytes, as bytes.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Bytes of the programs that an engine needs to run a container.
fn size(engine: &Engine, binaries: &Path) -> f64 {
    let own = ["dhow", "dhowd", "dhow-runtime", "dhow-registry"];
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let found = |name: &str| {
        let folders = ["/usr/bin", "/usr/sbin", "/usr/libexec/podman", "/usr/lib/podman"];
        folders
            .iter()
            .map(|folder| bytes(&Path::new(folder).join(name)))
            .max()
            .unwrap_or(0)
    };
    let total: u64 = match engine.name.as_str() {
        "dhow" => own.iter().map(|name| bytes(&binaries.join(name))).sum(),
        "docker" => {
            let names = [
                "docker",
                "dockerd",
                "containerd",
                "containerd-shim-runc-v2",
                "runc",
                "docker-proxy",
                "docker-init",
            ];
            names.iter().map(|name| found(name)).sum()
        }
        _ => ["podman", "conmon", "crun", "netavark", "aardvark-dns"]
            .iter()
            .map(|name| found(name))
            .sum(),
    };
    total as f64
}
