//! Which functions of `dhow-runtime` an ordinary container uses, and the linker script that puts them side by side.
//!
//! Why this is worth a verb: `docs/decisions/runtime-speed.md`. The script changes no behaviour, and one that is out of
//! date costs memory and time only; make it anew when the bench's row `runtime-memory` says so.

mod map;
mod trace;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::bench::make_bundles;
use crate::workspace::run as run_command;
use crate::{build, packages};

/// The script, as `bin/dhow-runtime/build.rs` names it to the linker.
const SCRIPT: &str = "bin/dhow-runtime/layout.ld";
/// What is built for this stays apart.
const FOLDER: &str = "target/layout";
/// An ordinary life of containers without a daemon.
const BUNDLES: &str = include_str!("layout/bundles.sh");
/// The same under one.
const DAEMON: &str = include_str!("layout/daemon.sh");

#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<()> {
    packages::ensure(&["busybox-static", "runc"])?;
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let others = build::for_tests()?;
    let map = folder.join("map");
    let program = build::runtime_with_map(&folder, &map)?;
    let sections = map::read(&fs::read_to_string(&map)?)?;

    let work = tempfile::tempdir()?;
    make_bundles(work.path())?;
    // The daemon takes the runtime that lies beside it.
    let binaries = work.path().join("bin");
    fs::create_dir(&binaries)?;
    for name in ["dhow", "dhowd"] {
        fs::copy(others.join(name), binaries.join(name))?;
    }
    let runtime = binaries.join("dhow-runtime");
    fs::copy(&program, &runtime)?;
    let used = |life: &str, arguments: [&Path; 2]| -> Result<BTreeSet<String>> {
        let mut shell = Command::new("unshare");
        shell
            .args(["--net", "--mount", "sh", "-e", "-c", life, "sh"])
            .args(arguments);
        let used = trace::used(&mut shell, &runtime, &sections)?;
        ensure!(!used.is_empty(), "no function of {} ran", runtime.display());
        Ok(used.iter().map(|at| sections[*at].pattern()).collect())
    };
    let run = used(BUNDLES, [&runtime, work.path()])?;
    let supervise = &used(DAEMON, [&binaries, work.path()])? - &run;
    fs::write(SCRIPT, script(&run, &supervise)).context(SCRIPT)?;
    println!(
        "{SCRIPT}: of {} functions {} are used, and {} more under a daemon",
        sections.len(),
        run.len(),
        supervise.len()
    );
    run_command(Command::new("git").args(["diff", "--stat", "--", SCRIPT]))
}

fn script(run: &BTreeSet<String>, supervise: &BTreeSet<String>) -> String {
    let lines = |patterns: &BTreeSet<String>| -> String {
        let lines = patterns.iter().map(|pattern| format!("    {pattern}\n"));
        lines.collect()
    };
    format!(
        // All of the crates that are small and about nothing else (3: runtime::cli), so that fewer functions are missed.
        "/* Written by `cargo xtask layout`: what an ordinary container uses of dhow-runtime, in a segment of its own in front of
   the constants; behind them, what a daemon's container uses beside that, and then the rest.
   See docs/decisions/runtime-speed.md. */
SECTIONS
{{
  .text.run :
  {{
    KEEP(*(SORT_NONE(.init)))
    KEEP(*(SORT_NONE(.fini)))
    *(.iplt)
    *(.text._ZN5linux* .text._ZN7runtime[^3]*)
{}  }}
}}
INSERT BEFORE .rodata;
SECTIONS
{{
  .text.supervise :
  {{
{}  }}
}}
INSERT BEFORE .text;
",
        lines(run),
        lines(supervise)
    )
}
