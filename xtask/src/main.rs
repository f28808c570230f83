//! `cargo xtask`: all automation of the house, in Rust.
//!
//! One file per verb; `packages` and `workspace` are what several of them use. Everything starts from the folder of the
//! workspace, wherever it is called from, and says what it does on standard output.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that talks to people

mod bench;
mod build;
mod dist;
mod files;
mod fuzz;
mod install;
mod layout;
mod map;
mod packages;
mod quickstart;
mod soak;
mod test;
mod tidy;
mod vm_test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, checks, tests and packs dhow.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the four binaries: release into target/release, or the test profile into target/e2e
    Build(build::Arguments),
    /// Install what is needed, build, start the engine, make an image, run a container, say what to do next
    Quickstart(quickstart::Arguments),
    /// Install what is needed, build, run every suite; one line per suite and a total at the end
    Test(test::Arguments),
    /// Check what the compiler cannot: floors, file lengths, names, docs, the tree in ARCHITECTURE.md
    Tidy(tidy::Arguments),
    /// Print the crates by floor, what each is for and what it stands on
    Map(map::Arguments),
    /// Measure dhow beside docker, podman, runc and crun; print the table of the README
    Bench(bench::Arguments),
    /// Make a tarball and a Debian package in target/dist
    Dist(dist::Arguments),
    /// Install on this machine
    Install(install::Arguments),
    /// Take away what `install` has put there
    Uninstall(install::UninstallArguments),
    /// Load an engine for minutes or hours, kill its daemon and its monitors at random, and check what must hold
    Soak(soak::Arguments),
    /// Find out which functions of dhow-runtime a container uses, and write the linker script that joins them
    Layout(layout::Arguments),
    /// Fuzz everything that reads hostile bytes, guided by coverage
    Fuzz(fuzz::Arguments),
    /// Run the suites in a small virtual machine: another kernel, cgroup v2, AppArmor
    VmTest(vm_test::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    std::env::set_current_dir(workspace::root())?;
    match arguments.verb {
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Quickstart(arguments) => quickstart::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Dist(arguments) => dist::run(&arguments),
        Verb::Install(arguments) => install::install(&arguments),
        Verb::Uninstall(arguments) => install::uninstall(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Tidy(arguments) => tidy::run(&arguments),
        Verb::Map(arguments) => map::run(&arguments),
        Verb::Soak(arguments) => soak::run(&arguments),
        Verb::Layout(arguments) => layout::run(&arguments),
        Verb::Fuzz(arguments) => fuzz::run(&arguments),
        Verb::VmTest(arguments) => vm_test::run(&arguments),
    }
}
