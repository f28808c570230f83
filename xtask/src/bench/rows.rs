//! The works that are measured.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::engines::Engine;
use super::images;
use super::table::Aim;

type Prepare = fn(&Engine, &Path) -> Result<()>;
type Measure = fn(&Engine, &Path, usize) -> Result<Duration>;

/// A line of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Most runs: long rows need fewer.
    pub(super) most: usize,
    /// The engines that take part; none means all.
    pub(super) only: &'static [&'static str],
    /// What the plan asks for.
    pub(super) aim: Option<Aim>,
    pub(super) prepare: Prepare,
    pub(super) measure: Measure,
}

const SLEEP: [&str; 3] = ["busybox", "sleep", "100000"];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "run",
        what: "`run --rm busybox true`, bridge network",
        most: 99,
        only: &[],
        aim: Some(Aim::Times(12.0)),
        prepare: nothing,
        measure: |engine, _, _| engine.time(&["run", "--rm", "busybox", "true"]),
    },
    Row {
        name: "run-none",
        what: "the same with `--network none`",
        most: 99,
        only: &[],
        aim: None,
        prepare: nothing,
        measure: |engine, _, _| engine.time(&["run", "--rm", "--network", "none", "busybox", "true"]),
    },
    Row {
        name: "run-d",
        what: "`run -d`",
        most: 99,
        only: &[],
        aim: None,
        prepare: nothing,
        measure: |engine, _, round| {
            let name = format!("d{round}");
            let time = engine.time(&[&["run", "-d", "--name", &name], &SLEEP[..]].concat())?;
            engine.ok(&["rm", "-f", &name])?;
            Ok(time)
        },
    },
    Row {
        name: "exec",
        what: "`exec CONTAINER true`",
        most: 99,
        only: &[],
        aim: Some(Aim::Times(10.0)),
        prepare: |engine, _| {
            engine
                .ok(&[&["run", "-d", "--name", "ex"], &SLEEP[..]].concat())
                .map(drop)
        },
        measure: |engine, _, _| engine.time(&["exec", "ex", "true"]),
    },
    Row {
        name: "rm-f",
        what: "`rm -f` of a running container",
        most: 99,
        only: &[],
        aim: Some(Aim::Times(10.0)),
        prepare: nothing,
        measure: |engine, _, round| {
            let name = format!("r{round}");
            engine.ok(&[&["run", "-d", "--name", &name], &SLEEP[..]].concat())?;
            engine.time(&["rm", "-f", &name])
        },
    },
    Row {
        name: "parallel",
        what: "20 × `run -d` in parallel",
        most: 5,
        only: &[],
        aim: Some(Aim::Times(15.0)),
        prepare: nothing,
        measure: parallel,
    },
    Row {
        name: "port",
        what: "`run -d -p`",
        most: 20,
        only: &[],
        aim: None,
        prepare: nothing,
        measure: |engine, _, round| {
            let publish = format!("{}:80", 20_000 + round);
            engine.time(&[&["run", "-d", "-p", &publish], &SLEEP[..]].concat())
        },
    },
    Row {
        name: "cp",
        what: "100 MB file, `cp` into a container",
        most: 5,
        only: &[],
        aim: None,
        prepare: |engine, work| {
            let file = work.join("100mb");
            if !file.exists() {
                fs::write(&file, vec![7_u8; 100 << 20])?;
            }
            engine
                .ok(&[&["run", "-d", "--name", "cp"], &SLEEP[..]].concat())
                .map(drop)
        },
        measure: |engine, work, _| {
            engine.time(&["cp", &work.join("100mb").display().to_string(), "cp:/tmp/file"])
        },
    },
    Row {
        name: "commit",
        what: "`commit` of one changed file",
        most: 9,
        only: &[],
        aim: None,
        prepare: |engine, _| {
            engine
                .ok(&["run", "--name", "cm", "busybox", "sh", "-c", "echo 1 > /tmp/a"])
                .map(drop)
        },
        measure: |engine, _, round| {
            let image = format!("committed{round}");
            let time = engine.time(&["commit", "cm", &image])?;
            engine.ok(&["rmi", &image])?;
            Ok(time)
        },
    },
    Row {
        name: "ps",
        what: "`ps -a` with 100 containers",
        most: 20,
        only: &[],
        aim: None,
        prepare: |engine, _| create(engine, 100),
        measure: |engine, _, _| engine.time(&["ps", "-a"]),
    },
    Row {
        name: "output",
        what: "a container printing 200 MB to an attached command, log kept",
        most: 3,
        only: &[],
        aim: Some(Aim::Times(5.0)),
        prepare: lines,
        measure: |engine, work, round| {
            let name = format!("o{round}");
            let volume = format!("{}:/lines:ro", work.join("lines").display());
            let start = Instant::now();
            let mut command =
                engine.command(&["run", "--name", &name, "-v", &volume, "busybox", "cat", "/lines"]);
            let mut child = command.stdout(Stdio::piped()).spawn()?;
            let mut output = child.stdout.take().context("pipe")?;
            let bytes = std::io::copy(&mut output, &mut std::io::sink())?;
            ensure!(
                child.wait()?.success() && bytes == 200_000_000,
                "{} printed {bytes} bytes",
                engine.name
            );
            let time = start.elapsed();
            engine.ok(&["rm", &name])?;
            Ok(time)
        },
    },
    Row {
        name: "load",
        what: "`load` of a 320 MB image, 4,000 files, one layer",
        most: 3,
        only: &[],
        aim: Some(Aim::Times(4.0)),
        prepare: large,
        measure: |engine, work, _| {
            let _ = engine.ok(&["rmi", "-f", "large"]);
            engine.time(&["load", "--input", &work.join("large.tar").display().to_string()])
        },
    },
    Row {
        name: "save",
        what: "`save` of the same",
        most: 3,
        only: &[],
        aim: Some(Aim::Times(4.0)),
        prepare: |engine, work| {
            large(engine, work)?;
            engine
                .ok(&["load", "--input", &work.join("large.tar").display().to_string()])
                .map(drop)
        },
        measure: |engine, work, _| {
            let file = work.join("saved.tar");
            let time = engine.time(&["save", "--output", &file.display().to_string(), "large"])?;
            fs::remove_file(file)?;
            Ok(time)
        },
    },
    Row {
        name: "ps-1000",
        what: "`ps -a` with 1,000 stopped containers",
        most: 9,
        only: &["dhow", "docker"],
        aim: Some(Aim::Most(0.03)),
        prepare: |engine, _| create(engine, 1000),
        measure: |engine, _, _| engine.time(&["ps", "-a"]),
    },
];

fn nothing(_: &Engine, _: &Path) -> Result<()> {
    Ok(())
}

/// 200 MB of lines of 65 bytes, in a file: what prints them must not be slower than the engine.
fn lines(_: &Engine, work: &Path) -> Result<()> {
    let file = work.join("lines");
    if !file.exists() {
        let line = [b"0123456789".repeat(6), b"0123\n".to_vec()].concat();
        let mut text = line.repeat(200_000_000 / line.len() + 1);
        text.truncate(200_000_000);
        fs::write(file, text)?;
    }
    Ok(())
}

/// Makes containers that never run, some at a time.
fn create(engine: &Engine, count: usize) -> Result<()> {
    const AT_ONCE: usize = 4;
    let part = |_| (0..count / AT_ONCE).try_for_each(|_| engine.ok(&["create", "busybox", "true"]).map(drop));
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..AT_ONCE).map(|n| scope.spawn(move || part(n))).collect();
        parts.into_iter().try_for_each(|part| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

pub(super) fn large(_: &Engine, work: &Path) -> Result<()> {
    let archive = work.join("large.tar");
    if archive.exists() {
        Ok(())
    } else {
        images::large(&archive, work)
    }
}

fn parallel(engine: &Engine, _: &Path, _: usize) -> Result<Duration> {
    let start = Instant::now();
    let children: Vec<_> = (0..20)
        .map(|_| {
            engine
                .command(&[&["run", "-d"], &SLEEP[..]].concat())
                .stdout(Stdio::null())
                .spawn()
        })
        .collect::<std::io::Result<_>>()?;
    for mut child in children {
        ensure!(child.wait()?.success(), "{}: one of 20 failed", engine.name);
    }
    let time = start.elapsed();
    engine.clear();
    Ok(time)
}
