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
                say(&format!("dhowd state: {}", told(&error)));
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
            say(&format!("dhowd: {}", told(&error)));
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

/// An error with its causes; most say their cause themselves, and nothing is said twice.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A line for the person who started the program.
#[allow(
    clippy::print_stderr,
    reason = "a program talks to its user on standard error"
)]
fn say(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    #[test]
    fn a_cause_that_is_told_already_is_not_told_again() {
        let error = std::fs::File::open("/nosuch").unwrap_err();
        let plain = error.to_string();
        let telling: Result<(), _> = Err(anyhow::anyhow!(error).context(format!("open /nosuch: {plain}")));
        let whole = telling.context("take the data root").unwrap_err();
        assert_eq!(
            super::told(&whole),
            format!("take the data root: open /nosuch: {plain}")
        );
    }
}
