//! The rows of `build`. docker means its classic builder; podman's builder is buildah.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::engines::Engine;
use super::rows::Row;
use super::table::Aim;

const FILES: usize = 5_000;
const MANY_FILES: usize = 50_000;
const STEPS: usize = 8;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "build-cold",
        what: "`build`: COPY of 5,000 files (10 MB) + 8 × RUN, no cache",
        most: 5,
        only: &[],
        aim: Some(Aim::Times(10.0)),
        prepare: |engine, work| steps(engine, work).map(drop),
        measure: |engine, work, _| build(engine, &steps(engine, work)?, &["--no-cache"]),
    },
    Row {
        name: "build-cached",
        what: "the same, all cached",
        most: 9,
        only: &[],
        aim: Some(Aim::Times(12.0)),
        prepare: |engine, work| build(engine, &steps(engine, work)?, &[]).map(drop),
        measure: |engine, work, _| build(engine, &steps(engine, work)?, &[]),
    },
    Row {
        name: "build-one",
        what: "`build`: one changed file among 50,000, all copied",
        most: 3,
        only: &[],
        aim: Some(Aim::Most(0.5)),
        prepare: |engine, work| build(engine, &many(engine, work)?, &[]).map(drop),
        measure: |engine, work, round| {
            let context = many(engine, work)?;
            fs::write(context.join("d7/f7"), format!("changed in round {round}\n"))?;
            build(engine, &context, &[])
        },
    },
    Row {
        name: "build-stages",
        what: "`build`: eight independent stages, each a second of one processor, no cache",
        most: 3,
        only: &[],
        aim: None,
        prepare: |engine, work| stages(engine, work).map(drop),
        measure: |engine, work, _| build(engine, &stages(engine, work)?, &["--no-cache"]),
    },
];

/// A build, timed.
fn build(engine: &Engine, context: &Path, flags: &[&str]) -> Result<Duration> {
    let place = context.display().to_string();
    let time = engine.time(&[&["build"], flags, &["--quiet", "--tag", "built", &place]].concat())?;
    ensure!(
        engine.ok(&["images", "--quiet", "built"])?.lines().count() == 1,
        "{} built nothing",
        engine.name
    );
    Ok(time)
}

/// The context of the cold and the cached build; each engine has a copy of its own.
pub(super) fn steps(engine: &Engine, work: &Path) -> Result<PathBuf> {
    let runs: String = (0..STEPS)
        .map(|step| format!("RUN echo {step} > /step{step}\n"))
        .collect();
    let text = format!("FROM busybox\nCOPY . /files\n{runs}CMD [\"true\"]\n");
    context(&work.join(format!("build-{}", engine.name)), FILES, 2_000, &text)
}

fn many(engine: &Engine, work: &Path) -> Result<PathBuf> {
    let text = "FROM busybox\nCOPY . /files\nCMD [\"true\"]\n";
    context(
        &work.join(format!("build-many-{}", engine.name)),
        MANY_FILES,
        400,
        text,
    )
}

fn stages(engine: &Engine, work: &Path) -> Result<PathBuf> {
    let stage = |number| {
        let count = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";
        format!("FROM busybox AS s{number}\nRUN {count}; echo {number} > /made{number}\n")
    };
    let copies: String = (0..STEPS)
        .map(|number| format!("COPY --from=s{number} /made{number} /\n"))
        .collect();
    let stages: String = (0..STEPS).map(stage).collect();
    let text = format!("{stages}FROM busybox\n{copies}");
    context(&work.join(format!("build-stages-{}", engine.name)), 1, 1, &text)
}

/// Makes a context unless it is there: files that differ, a hundred in a folder.
fn context(folder: &Path, files: usize, bytes: usize, dockerfile: &str) -> Result<PathBuf> {
    let file = folder.join("Dockerfile");
    if file.exists() {
        return Ok(folder.to_owned());
    }
    for number in 0..files {
        let place = folder.join(format!("d{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&place)?;
        }
        let mut text = format!("file {number}\n").repeat(bytes / 12 + 1);
        text.truncate(bytes);
        fs::write(place.join(format!("f{}", number % 100)), text)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(file, dockerfile)?;
    Ok(folder.to_owned())
}
