//! The `dhow-registry` program: will serve images over the OCI distribution protocol.
//!
//! The server itself is a later issue; until then the program answers `--version` and `--help` and refuses to run.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that talks to people

use std::process::ExitCode;

const HELP: &str = "\
Usage: dhow-registry [OPTIONS]

A registry for images (OCI distribution protocol). The server is not built yet.

Options:
  -h, --help     Print this text
  -V, --version  Print the version";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("-h" | "--help") => println!("{HELP}"),
        Some("-V" | "-v" | "--version") => println!("dhow-registry {}", env!("CARGO_PKG_VERSION")),
        _ => {
            eprintln!(
                "dhow-registry: the registry server is not built yet; it comes with a later release of dhow"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
