//! The four binaries.
//!
//! cargo cannot set `crt-static` or `panic` for one package of a workspace, so there are two invocations, and the static
//! one has a target folder of its own (house plan, fact 13).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{cargo, run as run_command};

/// The one architecture that is built so far.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// All binaries, the static one last.
pub(crate) const BINARIES: [&str; 4] = ["dhow", "dhowd", "dhow-registry", "dhow-runtime"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The quick profile with debug assertions and crash points, into target/e2e
    #[arg(long)]
    test_profile: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = if arguments.test_profile {
        for_tests()?
    } else {
        release()?
    };
    let mut total = 0;
    for name in BINARIES {
        let size = fs::metadata(folder.join(name))?.len();
        total += size;
        println!("{:>7.2} MB  {}", size as f64 / 1e6, folder.join(name).display());
    }
    println!("{:>7.2} MB  in all", total as f64 / 1e6);
    Ok(())
}

/// Builds the release binaries; their folder.
pub(crate) fn release() -> Result<PathBuf> {
    build("release", "runtime", Path::new("target/release"))
}

/// Builds the binaries for the end-to-end tests; their folder.
pub(crate) fn for_tests() -> Result<PathBuf> {
    build("dev", "dev", Path::new("target/e2e"))
}

fn build(profile: &str, runtime_profile: &str, folder: &Path) -> Result<PathBuf> {
    println!("building ({profile})");
    let dynamic = BINARIES[..3].iter().flat_map(|name| ["--package", name]);
    let mut command = cargo();
    command
        .args(["build", "--quiet", "--profile", profile])
        .args(dynamic);
    // What `version` says. Not in test builds, which would be done anew for every commit.
    if let Some(commit) = commit().filter(|_| profile == "release") {
        command.env("DHOW_COMMIT", commit);
    }
    run_command(&mut command)?;
    run_command(static_build(runtime_profile).args(["--target-dir", "target/static"]))?;
    let output = |profile: &str| {
        if profile == "dev" {
            "debug".to_owned()
        } else {
            profile.to_owned()
        }
    };
    let own = Path::new("target").join(output(profile));
    let runtime = Path::new("target/static")
        .join(TARGET)
        .join(output(runtime_profile));
    fs::create_dir_all(folder)?;
    for name in BINARIES {
        let from = if name == "dhow-runtime" {
            runtime.join(name)
        } else {
            own.join(name)
        };
        let to = folder.join(name);
        if from != to {
            place(&from, &to)?;
        }
    }
    folder.canonicalize().context("folder of the binaries")
}

/// The commit of this checkout, if git knows one.
fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short", "HEAD"]);
    let commit = crate::workspace::output(&mut git).ok()?;
    Some(commit.trim().to_owned()).filter(|commit| !commit.is_empty())
}

/// The runtime as it is released, but with symbols and as the linker lays it out by itself, and the linker's map of that.
pub(crate) fn runtime_with_map(folder: &Path, map: &Path) -> Result<PathBuf> {
    println!("building (runtime with a map)");
    let mut command = static_build("runtime");
    command.arg("--target-dir").arg(folder);
    command.args(["--config", "profile.runtime.strip=false"]);
    command.env("DHOW_RUNTIME_MAP", map);
    run_command(&mut command)?;
    Ok(folder.join(TARGET).join("runtime/dhow-runtime"))
}

fn static_build(profile: &str) -> Command {
    let mut command = cargo();
    command.args([
        "build",
        "--quiet",
        "--profile",
        profile,
        "--package",
        "dhow-runtime",
    ]);
    command.args(["--target", TARGET]);
    // An inherited RUSTFLAGS would overrule the line below, and the runtime would depend on the host's libraries.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // The entry point is explained in kernel/linux/src/process/entry.rs.
    let flags =
        r#"["-Ctarget-feature=+crt-static","-Crelocation-model=static","-Clink-arg=-Wl,-e,dhow_entry"]"#;
    command.args(["--config", &format!("target.{TARGET}.rustflags={flags}")]);
    command
}

/// Copies by way of a new file, because a running binary cannot be written to.
fn place(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new).with_context(|| format!("copying {} to {}", from.display(), new.display()))?;
    fs::rename(&new, to).with_context(|| format!("renaming {}", new.display()))
}
