//! What runs in the machine, and what its console says about it.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::machine::End;
use crate::test::{self, Count};

/// A test program of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    /// Its package.
    pub(crate) package: &'static str,
    /// The name of its file below `tests/`.
    pub(crate) file: &'static str,
    /// Only with --full.
    long: bool,
}

const fn smoke(package: &'static str, file: &'static str) -> Suite {
    Suite {
        package,
        file,
        long: false,
    }
}

const fn long(package: &'static str, file: &'static str) -> Suite {
    Suite {
        package,
        file,
        long: true,
    }
}

const SUITES: [Suite; 18] = [
    smoke("cgroups", "privileged"),
    smoke("runtime", "bundles"),
    smoke("e2e", "cgroup_v2"),
    smoke("e2e", "apparmor"),
    long("dhow-runtime", "surroundings"),
    long("dhow-runtime", "checkpoint"),
    long("e2e", "limits"),
    long("e2e", "runtimes"),
    long("e2e", "run"),
    long("e2e", "exec"),
    long("e2e", "lifecycle"),
    long("e2e", "survival"),
    long("e2e", "monitor"),
    long("e2e", "flags"),
    long("e2e", "files"),
    long("e2e", "images"),
    long("e2e", "health"),
    long("e2e", "network"),
];

/// What runs on the machine with SELinux.
pub(crate) const SELINUX: Suite = long("dhow-runtime", "selinux");

/// What runs on the machine with systemd.
pub(crate) const SYSTEMD: Suite = long("e2e", "systemd");

/// Those that are wanted.
pub(crate) fn chosen(full: bool) -> Vec<Suite> {
    SUITES.into_iter().filter(|suite| full || !suite.long).collect()
}

impl Suite {
    /// What it is called on the console.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.package, self.file)
    }
}

/// Adds up what the suites said. A suite that does not say how it ended has failed, and so has a machine that does not
/// say that it has run them all.
pub(crate) fn judge(suites: &[Suite], console: &str, end: End, log: &Path) -> Result<Count> {
    ensure!(!suites.is_empty(), "no suite for the virtual machine");
    let mut total = Count::default();
    let mut verdicts = String::new();
    let mut fail = |text: String, count: &mut Count| {
        count.failed += 1;
        verdicts.push_str(&format!("failures:\n    {text}\ntest result: FAILED. {text}\n"));
    };
    for suite in suites {
        let (count, ended) = one(&suite.name(), console);
        total.add(count);
        match ended {
            None => fail(format!("{}-did-not-end", suite.name()), &mut total),
            Some(code) if code != 0 && count.failed == 0 => {
                fail(format!("{}-ended-with-{code}", suite.name()), &mut total);
            }
            Some(_) => {}
        }
    }
    let finished = console.lines().any(|line| line == "vm: finished");
    match end {
        End::Late(limit) => fail(
            format!("the-machine-did-not-finish-within-{}-s", limit.as_secs()),
            &mut total,
        ),
        End::Off if !finished => fail("the-machine-died".to_owned(), &mut total),
        End::Off => {}
    }
    fs::write(log, format!("{console}{verdicts}"))?;
    Ok(total)
}

/// The results of one suite, and its exit code if it came to its end.
fn one(name: &str, console: &str) -> (Count, Option<i32>) {
    let begin = format!("vm: begin {name}");
    let end = format!("vm: end {name} ");
    let mut lines = console.lines().skip_while(|line| *line != begin);
    let mut text = String::new();
    let mut code = None;
    for line in lines.by_ref() {
        // A test's output need not end with a line break.
        if let Some(at) = line.find(&end) {
            let rest = &line[at + end.len()..];
            code = rest.split(' ').next().and_then(|code| code.parse().ok());
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    (test::count(&text), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "vm: begin cgroups/privileged\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
                        no break at the end vm: end cgroups/privileged 0 at 7.1 s\nvm: finished\n";

    fn judged(console: &str, end: End) -> Count {
        let log = tempfile::NamedTempFile::new().expect("file");
        judge(&[SUITES[0]], console, end, log.path()).expect("verdict")
    }

    #[test]
    fn a_machine_that_says_that_it_finished_is_believed() {
        let count = judged(GOOD, End::Off);
        assert_eq!((count.passed, count.failed), (3, 0));
    }

    #[test]
    fn a_machine_that_dies_or_is_late_has_failed() {
        let died = GOOD.replace("vm: finished\n", "");
        assert_eq!(judged(&died, End::Off).failed, 1);
        assert_eq!(judged(GOOD, End::Late(super::super::machine::SHORT)).failed, 1);
        assert_eq!(judged("", End::Off).failed, 2);
    }

    #[test]
    fn a_suite_that_fails_without_a_word_has_failed() {
        assert_eq!(judged(&GOOD.replace(" 0 at", " 101 at"), End::Off).failed, 1);
    }
}
