//! The `dhow-registry` program: a registry for images (OCI distribution protocol).

mod image;
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
    /// Write an archive of an image of this program: `dhow-registry image | dhow load`
    Image(ImageArguments),
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
    /// Encrypt with a certificate of an authority of its own, which is made in the folder (for a lab)
    #[arg(long)]
    self_signed: bool,
}

#[derive(Args)]
struct ImageArguments {
    /// The image's name
    #[arg(long, value_name = "NAME", default_value = concat!("dhow-registry:", env!("CARGO_PKG_VERSION")))]
    tag: String,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { verb } = Arguments::parse();
    let outcome = match verb {
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Image(arguments) => image::run(&arguments),
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
