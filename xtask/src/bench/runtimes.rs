//! The OCI runtimes alone, with the same bundles: `run`, `create` + `start` + `delete`, `exec`, memory.
//!
//! crun takes a machine with both cgroup versions for one with version 2, unless that tree is out of its sight. So all of
//! them run in one mount namespace from which it was taken away; to enter it is no part of what is measured.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use linux::namespace::{Flags, on_unshared_thread};
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::PAUSE;
use super::table::{Aim, Line, Table, duration, median};
use crate::packages;

/// Measurements of memory differ by a page or two; the largest counts.
const MEMORY_RUNS: usize = 3;

/// One runtime.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    /// The engine that uses it.
    pub(super) column: &'static str,
    program: PathBuf,
}

/// One work that is measured.
pub(super) struct Row {
    /// For `--list` and to be chosen by.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) what: &'static str,
    seccomp: bool,
    work: Work,
    aims: &'static [Aim],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Run,
    Create,
    Exec,
    Memory,
}

/// All of them.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "runtime-run",
        what: "OCI runtime alone, `run` of a bundle",
        seccomp: false,
        work: Work::Run,
        aims: &[Aim::Times(4.0), Aim::TimesPodman(1.6)],
    },
    Row {
        name: "runtime-run-seccomp",
        what: "the same with Docker's default seccomp profile",
        seccomp: true,
        work: Work::Run,
        aims: &[Aim::Times(4.0), Aim::TimesPodman(1.6)],
    },
    Row {
        name: "runtime-create",
        what: "OCI runtime, `create` + `start` + `delete`",
        seccomp: false,
        work: Work::Create,
        aims: &[Aim::Times(4.0), Aim::TimesPodman(1.6)],
    },
    Row {
        name: "runtime-create-seccomp",
        what: "the same with Docker's default seccomp profile",
        seccomp: true,
        work: Work::Create,
        aims: &[Aim::Times(4.0), Aim::TimesPodman(1.6)],
    },
    Row {
        name: "runtime-exec",
        what: "OCI runtime, `exec` in a running container",
        seccomp: false,
        work: Work::Exec,
        aims: &[Aim::TimesPodman(2.0)],
    },
    Row {
        name: "runtime-exec-seccomp",
        what: "the same with Docker's default seccomp profile",
        seccomp: true,
        work: Work::Exec,
        aims: &[Aim::TimesPodman(2.0)],
    },
    Row {
        name: "runtime-memory",
        what: "OCI runtime, largest memory (RSS) of `run`",
        seccomp: false,
        work: Work::Memory,
        aims: &[Aim::Most(2e6)],
    },
];

/// dhow's, runc and crun.
pub(super) fn subjects(binaries: &Path) -> Vec<Runtime> {
    let runtime = |column, program| Runtime { column, program };
    vec![
        runtime("dhow", binaries.join("dhow-runtime")),
        runtime("docker", PathBuf::from("runc")),
        runtime("podman", PathBuf::from("crun")),
    ]
}

impl Runtime {
    /// Its name.
    pub(super) fn name(&self) -> String {
        self.program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Its name and version.
    pub(super) fn title(&self) -> String {
        let output = Command::new(&self.program).arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version = text
            .unwrap_or_default()
            .lines()
            .next()
            .and_then(|line| line.split(' ').next_back().map(str::to_owned));
        format!("{} {}", self.name(), version.unwrap_or_default())
    }
}

/// The bundles, and where state and complaints go.
struct Place {
    work: PathBuf,
}

impl Place {
    fn bundle(&self, row: &Row) -> PathBuf {
        let kind = if row.work == Work::Exec { "sleep" } else { "true" };
        let filter = if row.seccomp { "-seccomp" } else { "" };
        self.work.join(format!("bundle-{kind}{filter}"))
    }

    fn command(&self, runtime: &Runtime) -> Command {
        let mut command = Command::new(&runtime.program);
        self.arguments(&mut command, runtime);
        command
    }

    fn arguments(&self, command: &mut Command, runtime: &Runtime) {
        let state = self.work.join(format!("state-{}", runtime.column));
        command.arg("--root").arg(state);
    }

    /// Runs it to its end. Nothing is piped: what stays in the background would keep a pipe open.
    fn finish(&self, command: &mut Command) -> Result<()> {
        let said = self.work.join("said");
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .status()?;
        let text = || fs::read_to_string(&said).unwrap_or_default().trim().to_owned();
        ensure!(status.success(), "{command:?}: {}", text());
        Ok(())
    }

    /// Seconds of time, or bytes.
    fn measure(&self, row: &Row, runtime: &Runtime, id: &str) -> Result<f64> {
        let bundle = self.bundle(row);
        let verb = |name: &str| {
            let mut command = self.command(runtime);
            command.arg(name);
            command
        };
        let start = Instant::now();
        match row.work {
            Work::Run => self.finish(verb("run").arg("--bundle").arg(bundle).arg(id))?,
            Work::Create => {
                self.finish(verb("create").arg("--bundle").arg(bundle).arg(id))?;
                self.finish(verb("start").arg(id))?;
                self.finish(verb("delete").arg("--force").arg(id))?;
            }
            Work::Exec => self.finish(verb("exec").args([&exec_id(runtime), "/bin/busybox", "true"]))?,
            Work::Memory => return self.memory(runtime, &bundle, id),
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// By time(1), which is small: what a program is started from counts with it.
    fn memory(&self, runtime: &Runtime, bundle: &Path, id: &str) -> Result<f64> {
        let file = self.work.join("memory");
        let mut command = Command::new("/usr/bin/time");
        command
            .args(["--format", "%M", "--output"])
            .arg(&file)
            .arg(&runtime.program);
        self.arguments(&mut command, runtime);
        self.finish(command.arg("run").arg("--bundle").arg(bundle).arg(id))?;
        let text = fs::read_to_string(&file)?;
        let kilobytes: f64 = text
            .trim()
            .parse()
            .with_context(|| format!("time(1) says {text:?}"))?;
        Ok(kilobytes * 1024.0)
    }
}

fn exec_id(runtime: &Runtime) -> String {
    format!("dhow-bench-{}-exec-{}", std::process::id(), runtime.column)
}

/// Adds the lines of the rows that are wanted; each runtime stands in the column of the engine that uses it.
pub(super) fn measure(
    runtimes: &[Runtime],
    work: &Path,
    runs: usize,
    wants: impl Fn(&str) -> bool,
    table: &mut Table,
) -> Result<()> {
    packages::ensure(&["busybox-static", "crun", "runc", "time"])?;
    make_bundles(work)?;
    let place = Place {
        work: work.to_owned(),
    };
    let rows: Vec<&Row> = ROWS.iter().filter(|row| wants(row.name)).collect();
    let lines = on_unshared_thread(Flags::MOUNT, || -> Result<Vec<Line>> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private)?;
        // Not there on a machine with one version.
        let _ = rustix::mount::unmount("/sys/fs/cgroup/unified", UnmountFlags::DETACH);
        Ok(rows.iter().map(|row| line(row, runtimes, &place, runs)).collect())
    });
    lines
        .context("a mount namespace")??
        .into_iter()
        .for_each(|line| table.add(line));
    Ok(())
}

fn line(row: &Row, runtimes: &[Runtime], place: &Place, runs: usize) -> Line {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut broken: Vec<&str> = Vec::new();
    let mut say = |runtime: &Runtime, error: &anyhow::Error| {
        println!("  {}: {}: {error:#}", row.name, runtime.name());
        broken.push(runtime.column);
    };
    let mut whole = runtimes.to_vec();
    if row.work == Work::Exec {
        whole.retain(|runtime| {
            let bundle = place.bundle(row);
            let mut command = place.command(runtime);
            command
                .args(["run", "--detach", "--bundle"])
                .arg(bundle)
                .arg(exec_id(runtime));
            place
                .finish(&mut command)
                .inspect_err(|error| say(runtime, error))
                .is_ok()
        });
    }
    let runs = if row.work == Work::Memory {
        MEMORY_RUNS
    } else {
        runs
    };
    for round in 0..=runs {
        for turn in 0..whole.len() {
            let runtime = &whole[(turn + round) % whole.len()];
            std::thread::sleep(PAUSE);
            let id = format!("dhow-bench-{}-{}-{round}", std::process::id(), runtime.column);
            match place.measure(row, runtime, &id) {
                // The first round warms caches.
                Ok(value) if round > 0 => values.entry(runtime.column).or_default().push(value),
                Ok(_) => {}
                Err(error) => say(runtime, &error),
            }
        }
    }
    if row.work == Work::Exec {
        for runtime in &whole {
            let mut command = place.command(runtime);
            command.args(["delete", "--force"]).arg(exec_id(runtime));
            let _ = place
                .finish(&mut command)
                .inspect_err(|error| say(runtime, error));
        }
    }
    values.retain(|column, _| !broken.contains(column));
    show(row, &values)
}

fn show(row: &Row, values: &BTreeMap<&str, Vec<f64>>) -> Line {
    let least = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
    let middle = |all: &[f64]| median(all.iter().copied().map(Duration::from_secs_f64).collect());
    let owned = |value: fn(&[f64]) -> f64| {
        values
            .iter()
            .map(move |(k, v)| ((*k).to_owned(), value(v)))
            .collect()
    };
    let line = if row.work == Work::Memory {
        Line::bytes(row.what, owned(|all| all.iter().copied().fold(0.0, f64::max)))
    } else {
        let text = values.iter().map(|(column, all)| {
            let (middle, least) = (duration(middle(all)), duration(least(all)));
            format!("{column} {middle} (least {least})")
        });
        println!("{:<22} {}", row.name, text.collect::<Vec<_>>().join(", "));
        Line::times(
            row.what,
            values.iter().map(|(k, v)| ((*k).to_owned(), middle(v))).collect(),
        )
    };
    line.aim(row.aims.iter().copied())
}

/// Bundles that end at once and that sleep, without and with Docker's profile.
pub(crate) fn make_bundles(work: &Path) -> Result<()> {
    let root = work.join("runtime-root");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy("/bin/busybox", root.join("bin/busybox"))
        .or_else(|_| fs::copy("/usr/bin/busybox", root.join("bin/busybox")))?;
    for name in ["proc", "dev", "sys"] {
        fs::create_dir_all(root.join(name))?;
    }
    let first = work.join("bundle-true");
    fs::create_dir_all(&first)?;
    let made = Command::new("runc")
        .args(["spec", "--bundle"])
        .arg(&first)
        .status();
    ensure!(
        made.is_ok_and(|status| status.success()),
        "runc spec (package runc)"
    );
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(first.join("config.json"))?)?;
    spec["root"]["path"] = root.display().to_string().into();
    spec["process"]["terminal"] = false.into();
    // What a machine without CAP_SYS_RESOURCE allows.
    spec["process"]["rlimits"] = serde_json::json!([]);
    let names = spec["process"]["capabilities"]["bounding"]
        .as_array()
        .into_iter()
        .flatten();
    let names: Vec<&str> = names.filter_map(serde_json::Value::as_str).collect();
    let capabilities = security::capabilities::CapabilitySet::from_names(&names)?;
    let context = security::seccomp::Context::native(capabilities);
    let profile = serde_json::to_value(security::seccomp::default_profile(&context))?;
    for (kind, arguments) in [
        ("true", serde_json::json!(["/bin/busybox", "true"])),
        ("sleep", serde_json::json!(["/bin/busybox", "sleep", "10000"])),
    ] {
        for (filter, profile) in [("", serde_json::Value::Null), ("-seccomp", profile.clone())] {
            let bundle = work.join(format!("bundle-{kind}{filter}"));
            fs::create_dir_all(&bundle)?;
            spec["process"]["args"] = arguments.clone();
            spec["linux"]["seccomp"] = profile;
            fs::write(bundle.join("config.json"), spec.to_string())?;
        }
    }
    Ok(())
}
