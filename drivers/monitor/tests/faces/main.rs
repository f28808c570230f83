//! The faces for real: containers of a static busybox in their own namespaces and cgroups.
//!
//! This program is the runtime, too: the tests start it again with the name of a face, as the daemon starts
//! `dhow-runtime`. Without root the tests are reported as skipped.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod buffered_logs;
mod containers;
mod execs;
mod file_operations;
mod ports;
mod speed;
mod support;

use std::ffi::OsString;
use std::process::ExitCode;

use monitor::face;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let program = arguments.remove(0);
    if std::path::Path::new(&program).file_name() == Some("docker-init".as_ref()) {
        face::init(&arguments);
    }
    match arguments.first().and_then(|name| name.to_str()) {
        Some("monitor") => face::monitor(),
        Some("exec") => face::exec(),
        Some("files") => face::files(),
        Some("write-log") => face::write_log(),
        Some("proxy") => face::proxy(&arguments[1..]),
        Some("compress-log") => face::compress_log(&arguments[1..]),
        _ => run(&arguments),
    }
}

fn run(arguments: &[OsString]) -> ExitCode {
    let texts: Vec<&str> = arguments.iter().filter_map(|text| text.to_str()).collect();
    let filters: Vec<&str> = texts
        .iter()
        .copied()
        .filter(|text| !text.starts_with('-'))
        .collect();
    let all: Vec<Test> = [
        buffered_logs::TESTS,
        containers::TESTS,
        execs::TESTS,
        file_operations::TESTS,
        ports::TESTS,
        speed::TESTS,
    ]
    .concat();
    let chosen = all
        .iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(filter)));
    if texts.contains(&"--list") {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let skipped = support::reason_to_skip();
    let mut failed = 0;
    for (name, test) in chosen {
        if let Some(reason) = &skipped {
            println!("test {name} ... skipped: {reason}");
            continue;
        }
        let result = std::panic::catch_unwind(test);
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        failed += u32::from(result.is_err());
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
