//! Memory and bytes on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::engines::Engine;

/// Names for `--list`.
pub(super) const ROWS: [(&str, &str); 4] = [
    ("runtime", "OCI runtime alone, `run` of a bundle"),
    ("memory", "memory of the engine with 20 running containers (PSS)"),
    (
        "monitor",
        "memory of each running container's parent process (PSS)",
    ),
    ("size", "size of all binaries"),
];

const CONTAINERS: usize = 20;

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

/// Lines of the table, bytes by engine.
pub(super) fn memory(engines: &[Engine]) -> Result<Vec<(String, BTreeMap<String, f64>)>> {
    let mut whole = BTreeMap::new();
    let mut each = BTreeMap::new();
    for engine in engines {
        let before = processes();
        for _ in 0..CONTAINERS {
            engine.ok(&["run", "-d", "busybox", "sleep", "100000"])?;
        }
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
    Ok(vec![
        (
            format!("memory: engine with {CONTAINERS} running containers (PSS)"),
            whole,
        ),
        (
            "memory: each running container's parent process (PSS)".to_owned(),
            each,
        ),
    ])
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
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes * 1024)
}

/// Bytes of the programs that an engine needs to run a container.
pub(super) fn size(engine: &Engine, binaries: &Path) -> f64 {
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
