//! The `dhowd` program: parse, wire, run.

mod config;
mod facts;
mod lifecycle;
mod listen;
mod logging;
mod memory;
mod notify;
mod registries;
mod runtime_file;
mod state;
mod storage;
mod translate;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "state") {
        return match state::run(std::env::args_os().skip(1)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("dhowd state: {error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    let flags = match config::parse(std::env::args_os()) {
        Ok(flags) => flags,
        // Prints help or the mistake, with the right status.
        Err(error) => error.exit(),
    };
    match start(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("dhowd: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &config::Flags) -> anyhow::Result<()> {
    let loaded = config::load(flags)?;
    if flags.validate {
        loaded.warnings.iter().for_each(|w| say(&format!("warning: {w}")));
        say("configuration OK");
        return Ok(());
    }
    let level = logging::start(&loaded.settings);
    loaded.warnings.iter().for_each(|w| tracing::warn!("{w}"));
    lifecycle::run(flags, loaded.settings, &level)
}

/// A line for the person who started the program.
#[allow(
    clippy::print_stderr,
    reason = "a program talks to its user on standard error"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
