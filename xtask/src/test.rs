//! Every suite, one line each, and the total.
//!
//! A test that cannot run prints a line that begins with `skipped:` and returns; it counts as skipped, not as passed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::{Metadata, cargo};
use crate::{build, fuzz, packages, vm_test};

/// What the suites themselves use: an image's content, the oracle for filters, readers of what we write, the engines
/// that must work with `dhow-runtime` as it is, the clients that must work with `dhow-registry`.
const PACKAGES: [&str; 19] = [
    "btrfs-progs",
    "busybox-static",
    "conmon",
    "crun",
    "docker.io",
    "docker-registry",
    "git",
    "openssh-client",
    "podman",
    "python3-seccomp",
    "iproute2",
    "iptables",
    "nftables",
    "openssl",
    "procps",
    "skopeo",
    "xz-utils",
    "uidmap",
    "zstd",
];
/// With --full also what only the long tests use.
const PACKAGES_FULL: [&str; 1] = ["debootstrap"];

/// The suites once more, on another kernel.
const VIRTUAL_MACHINE: &str = "tests/vm";
/// Every fuzz target for some seconds.
const FUZZING: &str = "tests/fuzzing";
const FUZZING_SECONDS: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also the long tests, and those against other engines' commands
    #[arg(long)]
    full: bool,
    /// Only suites whose name contains this word: a folder such as kernel/cgroups, e2e or vm
    #[arg(long)]
    suite: Option<String>,
    /// Only tests whose name contains this word
    #[arg(long)]
    name: Option<String>,
}

#[derive(Default, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    packages::ensure(&PACKAGES)?;
    if arguments.full {
        packages::ensure(&PACKAGES_FULL)?;
    }
    let metadata = Metadata::read()?;
    let mut suites: Vec<(String, String)> = metadata
        .members()
        .iter()
        .map(|package| (package.folder(), package.name.clone()))
        .collect();
    suites.push((VIRTUAL_MACHINE.to_owned(), String::new()));
    if arguments.full {
        suites.push((FUZZING.to_owned(), String::new()));
    }
    // From the ground floor up; what needs the built binaries comes last.
    suites.sort_by_key(|(folder, _)| (folder.starts_with("tests/"), folder.clone()));
    suites.retain(|(folder, _)| {
        arguments
            .suite
            .as_ref()
            .is_none_or(|word| folder.contains(word.as_str()))
    });
    if suites.iter().any(|(folder, _)| folder.starts_with("tests/")) {
        build::for_tests()?;
    }
    fs::create_dir_all("target/test-logs")?;
    let mut total = Count::default();
    for (folder, package) in &suites {
        let start = Instant::now();
        let log = format!("target/test-logs/{}.log", folder.replace('/', "-"));
        let count = match folder.as_str() {
            VIRTUAL_MACHINE => vm_test::suite(arguments.full, arguments.name.as_deref(), Path::new(&log))?,
            FUZZING => fuzz::suite(FUZZING_SECONDS, Path::new(&log))?,
            _ => suite(package, arguments, Path::new(&log))?,
        };
        total.add(count);
        let verdict = if count.failed > 0 { "FAILED" } else { "ok" };
        let seconds = start.elapsed().as_secs_f32();
        print!("{verdict:<7} {folder:<26} {:>4} passed", count.passed);
        if count.failed > 0 {
            print!(", {} failed", count.failed);
        }
        if count.skipped > 0 {
            print!(", {} skipped", count.skipped);
        }
        println!("  ({seconds:.1} s)");
        report(count, Path::new(&log));
    }
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    if total.failed > 0 {
        bail!("see target/test-logs");
    }
    Ok(())
}

/// Runs all tests of a package; its whole output is in the log.
fn suite(package: &str, arguments: &Arguments, log: &Path) -> Result<Count> {
    let file = fs::File::create(log).with_context(|| log.display().to_string())?;
    let mut command: Command = cargo();
    command.args([
        "test",
        "--quiet",
        "--no-fail-fast",
        "--package",
        package,
        "--",
        "--show-output",
    ]);
    command.args(&arguments.name);
    command.env(
        "DHOW_TEST_BINARIES",
        Path::new("target/e2e").canonicalize().unwrap_or_default(),
    );
    if arguments.full {
        command.env("DHOW_TEST_FULL", "1");
    }
    let status = command
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file)
        .status()?;
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let mut count = count(&text);
    if !status.success() && count.failed == 0 {
        // It did not compile, or a test took the whole process with it.
        count.failed = 1;
    }
    Ok(count)
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
pub(crate) fn count(text: &str) -> Count {
    let mut total = Count::default();
    for line in text.lines() {
        if line.starts_with("skipped:") {
            total.skipped += 1;
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            continue;
        };
        let number = |what: &str| {
            let part = result
                .split([';', '.'])
                .find(|part| part.trim_end().ends_with(what));
            part.and_then(|part| part.split_whitespace().next()?.parse::<usize>().ok())
                .unwrap_or(0)
        };
        total.passed += number("passed");
        total.failed += number("failed");
        total.skipped += number("ignored");
    }
    // Those that said so themselves are among the passed ones.
    let said = text.lines().filter(|line| line.starts_with("skipped:")).count();
    total.passed = total.passed.saturating_sub(said);
    total
}

/// Names what failed, and why others did not run.
pub(crate) fn report(count: Count, log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    if count.failed > 0 {
        for name in failures(&text) {
            println!("        {name}");
            last_words(&text, name).for_each(|line| println!("            {line}"));
        }
        for line in text.lines().filter(|line| line.starts_with("error")) {
            println!("        {line}");
        }
        println!("        all of it: {}", log.display());
    }
    let mut reasons: Vec<&str> = text.lines().filter(|line| line.starts_with("skipped:")).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons.iter().for_each(|line| println!("        {line}"));
}

/// The names below the last heading `failures:` in front of each result.
fn failures(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut latest = Vec::new();
    for line in text.lines() {
        if line == "failures:" || line == "successes:" {
            latest.clear();
        } else if line.starts_with("test result: ") {
            // After a run without failures these are its successes.
            if line.contains("FAILED") {
                all.append(&mut latest);
            }
            latest.clear();
        } else if let Some(name) = line.strip_prefix("    ").filter(|name| !name.contains(' ')) {
            latest.push(name);
        }
    }
    all
}

/// What a failed test said at last, without the backtrace that may follow: whoever has only these lines shall see why
/// it failed.
fn last_words<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    const LINES: usize = 12;
    let heading = format!("---- {name} stdout ----");
    let said = text.lines().skip_while(move |line| *line != heading).skip(1);
    let mut traced = false;
    let said: Vec<&str> = said
        .take_while(|line| !line.starts_with("---- ") && *line != "failures:")
        .filter(|line| !line.trim().is_empty())
        .filter(|line| {
            traced = *line == "stack backtrace:" || traced && !line.starts_with("note:");
            !traced
        })
        .collect();
    let skipped = said.len().saturating_sub(LINES);
    said.into_iter().skip(skipped)
}

impl Count {
    pub(crate) fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_are_added_up() {
        let text = "\nrunning 3 tests\n...\nskipped: no root\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let count = count(text);
        assert_eq!((count.passed, count.failed, count.skipped), (4, 4, 2));
    }

    #[test]
    fn only_what_failed_is_named() {
        let text = "successes:\n\n    a::good\n\nfailures:\n\n---- a::bad stdout ----\nleft: 1\nstack backtrace:\n   0: main\n    at there\n\
            note: shortened\n    at here\n\n\n\
            failures:\n    a::bad\n    worse\n\ntest result: FAILED. 1 passed; 2 failed\n\
            successes:\n    b::good\n\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(failures(text), ["a::bad", "worse"]);
        let said = ["left: 1", "note: shortened", "    at here"];
        assert_eq!(last_words(text, "a::bad").collect::<Vec<_>>(), said);
        assert_eq!(last_words(text, "worse").count(), 0);
    }
}
