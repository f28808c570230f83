//! Debian packages that a verb needs: installs what is missing, and says what it could not.

use std::process::{Command, Stdio};

use anyhow::Result;

/// True if all are installed afterwards. Without root or apt-get it prints what to install by hand.
pub(crate) fn ensure(names: &[&str]) -> Result<bool> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    println!("installing: {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        let status = Command::new("apt-get")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Packages of other engines must not start their daemons on this machine.
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let install: Vec<&str> = ["install", "-y", "--no-install-recommends"]
        .into_iter()
        .chain(missing.iter().copied())
        .collect();
    // The lists of a fresh machine are empty or old; a machine that has them all saves the time.
    if !apt(&install) {
        let _ = apt(&["update"]);
        apt(&install);
    }
    let left: Vec<&str> = missing.into_iter().filter(|name| !is_installed(name)).collect();
    if !left.is_empty() {
        println!(
            "could not install {0}; as root: apt-get update && apt-get install {0}",
            left.join(" ")
        );
    }
    Ok(left.is_empty())
}

fn is_installed(name: &str) -> bool {
    let asked = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", name])
        .output();
    asked.is_ok_and(|output| output.stdout == b"installed")
}
