//! The policy of the machine with SELinux: a small one of our own, so that what is allowed is known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages;
use crate::workspace::run as run_command;

const POLICY: &str = include_str!("selinux.cil");
/// The compiler and its library, which are unpacked but not installed on this machine.
const COMPILER: [&str; 2] = ["secilc", "libsepol2"];
/// Version of the compiled form, which every kernel since 5.8 reads.
const VERSION: &str = "33";

/// The compiled policy; `None` where the compiler cannot be fetched.
pub(super) fn compile(folder: &Path) -> Result<Option<PathBuf>> {
    let mut places = Vec::new();
    for name in COMPILER {
        let Some(content) = packages::unpack(name, folder)? else {
            return Ok(None);
        };
        places.push(content);
    }
    let source = folder.join("selinux.cil");
    fs::write(&source, POLICY).with_context(|| source.display().to_string())?;
    let policy = folder.join("selinux.policy");
    let libraries = ["lib", "usr/lib"].map(|folder| places[1].join(folder).join("x86_64-linux-gnu"));
    let mut compiler = Command::new(places[0].join("usr/bin/secilc"));
    compiler.env(
        "LD_LIBRARY_PATH",
        std::env::join_paths(libraries).context("the folders of libraries")?,
    );
    compiler.args(["--policyvers", VERSION, "--filecontext", "/dev/null", "--output"]);
    run_command(compiler.arg(&policy).arg(&source))?;
    Ok(Some(policy))
}
