//! The `dhow-registry` program: a registry for images (OCI distribution protocol).

mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A registry for images (OCI distribution protocol)
#[derive(Parser)]
#[command(name = "dhow-registry", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve images; without a configuration on 127.0.0.1:5000
    Serve(ServeArguments),
}

/// Flags overrule the configuration.
#[derive(Args)]
struct ServeArguments {
    /// Configuration, a JSON file (docs/guides/registry.md describes its keys)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder for everything that is stored
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { verb } = Arguments::parse();
    let outcome = match verb {
        Verb::Serve(arguments) => serve::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("dhow-registry: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for the person who started the program.
#[allow(
    clippy::print_stderr,
    reason = "a program talks to its user on standard error"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
