//! Fuzzing with libFuzzer on stable cargo.
//!
//! The sanitizer-coverage pass of LLVM is reached by code generation options that stable rustc has; the C++ part of
//! libFuzzer comes with the crate `libfuzzer-sys`. What is built lies in `target/fuzz`, apart from everything else, and
//! what the fuzzer has learned in `target/fuzz/corpus`; guide: `docs/guides/fuzzing.md`.

mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{cargo, output, run as run_command};
use crate::{packages, test};
use report::Report;

/// The one architecture that is built so far; naming it keeps the options away from build scripts.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Counters of edges, their places in the program, and comparisons with their operands.
const OPTIONS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
];
const FOLDER: &str = "target/fuzz";
/// libFuzzer is C++.
const PACKAGES: [&str; 1] = ["g++"];
/// One input that takes longer counts as a hang, in seconds; a loaded machine is slow.
const SLOWEST: u32 = 30;
/// Memory of the fuzzer in MB; what a target holds on to is found this way.
const MEMORY: u32 = 2048;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this target
    target: Option<String>,
    /// For how long, each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Print the targets and what each asserts
    #[arg(long)]
    list: bool,
}

/// A target, as the program names it.
struct Target {
    name: String,
    longest: String,
    about: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = build()?;
    let mut targets = targets(&program)?;
    if let Some(name) = &arguments.target {
        targets.retain(|target| target.name == *name);
        ensure!(
            !targets.is_empty(),
            "no target is called {name:?} (cargo xtask fuzz --list)"
        );
    }
    if arguments.list {
        for target in targets {
            println!("{:<16} {}", target.name, target.about);
        }
        return Ok(());
    }
    println!("{}", Report::HEAD);
    let mut broken = Vec::new();
    for target in &targets {
        let log = format!("{FOLDER}/{}.log", target.name);
        let report = fuzz(&program, target, arguments.seconds, Path::new(&log))?;
        println!("{}", report.row(&target.name));
        if let Some(why) = &report.broken {
            println!("        {why}\n        all of it: {log}");
            broken.push(target.name.as_str());
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}", broken.join(", "));
    }
    Ok(())
}

/// Each target for some seconds, as a part of `cargo xtask test --full`.
pub(crate) fn suite(seconds: u32, log: &Path) -> Result<test::Count> {
    let program = build()?;
    let mut count = test::Count::default();
    let mut text = format!("{}\n", Report::HEAD);
    for target in targets(&program)? {
        let report = fuzz(&program, &target, seconds, &log.with_extension(&target.name))?;
        text += &format!("{}\n", report.row(&target.name));
        match &report.broken {
            None => count.passed += 1,
            Some(why) => {
                count.failed += 1;
                let name = &target.name;
                text += &format!("failures:\n    {name}\nerror: {why}\ntest result: FAILED. {name}\n");
            }
        }
    }
    fs::write(log, text).with_context(|| log.display().to_string())?;
    Ok(count)
}

/// The program that holds all targets.
fn build() -> Result<PathBuf> {
    ensure!(
        packages::ensure(&PACKAGES)?,
        "libFuzzer cannot be built without a C++ compiler"
    );
    println!("building (fuzz)");
    let mut command = cargo();
    command.args(["build", "--quiet", "--profile", "fuzz", "--package", "fuzz"]);
    command.args(["--bin", "fuzz", "--features", "fuzz/libfuzzer"]);
    command.args(["--target", PLATFORM, "--target-dir", FOLDER]);
    command.env_remove("RUSTFLAGS");
    command.env("CARGO_ENCODED_RUSTFLAGS", OPTIONS.join("\x1f"));
    run_command(&mut command)?;
    let program = Path::new(FOLDER).join(PLATFORM).join("fuzz/fuzz");
    program.canonicalize().context("the fuzzer's program")
}

fn targets(program: &Path) -> Result<Vec<Target>> {
    let text = output(Command::new(program).env_remove("DHOW_FUZZ_TARGET"))?;
    let lines = text.lines().map(|line| {
        let mut parts = line.split('\t').map(str::to_owned);
        Some(Target {
            name: parts.next()?,
            longest: parts.next()?,
            about: parts.next()?,
        })
    });
    lines
        .collect::<Option<Vec<_>>>()
        .context("the fuzzer's list of targets")
}

fn fuzz(program: &Path, target: &Target, seconds: u32, log: &Path) -> Result<Report> {
    let folder = |kind: &str| -> Result<PathBuf> {
        let path = Path::new(FOLDER).join(kind).join(&target.name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    let (corpus, seeds, found) = (folder("corpus")?, folder("seeds")?, folder("found")?);
    let file = fs::File::create(log).with_context(|| log.display().to_string())?;
    let start = Instant::now();
    let status = Command::new(program)
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-timeout={SLOWEST}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-print_final_stats=1", "-detect_leaks=0"])
        .env("DHOW_FUZZ_TARGET", &target.name)
        .env("DHOW_FUZZ_SEEDS", &seeds)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("starting the fuzzer")?;
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let mut report = Report::read(&text, start.elapsed());
    if !status.success() && report.broken.is_none() {
        report.broken = Some(format!("the fuzzer ended: {status}"));
    }
    Ok(report)
}
