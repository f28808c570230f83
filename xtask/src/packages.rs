//! Debian packages that a verb needs: installs what is missing, and says what it could not; unpacks those of which only
//! the files are wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::run as run_command;

/// True if all are installed afterwards. Without root or apt-get it prints what to install by hand.
pub(crate) fn ensure(names: &[&str]) -> Result<bool> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    println!("installing: {}", missing.join(" "));
    let install: Vec<&str> = ["install", "-y", "--no-install-recommends"]
        .into_iter()
        .chain(missing.iter().copied())
        .collect();
    // The lists of a fresh machine are empty or old; a machine that has them all saves the time.
    if !apt(&install, Path::new(".")) {
        update();
        apt(&install, Path::new("."));
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

/// Fetches the lists of packages anew.
pub(crate) fn update() -> bool {
    apt(&["update"], Path::new("."))
}

/// The content of a package, fetched and unpacked below `folder` but not installed; kept there for the next time.
/// `None` if it cannot be fetched.
pub(crate) fn unpack(name: &str, folder: &Path) -> Result<Option<PathBuf>> {
    let content = folder.join(name);
    if content.exists() {
        return Ok(Some(content));
    }
    println!("fetching: {name}");
    // Emptied first: what an interrupted attempt has left is not to be taken for the package.
    let part = folder.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("clearing {}", part.display()))?;
    }
    fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
    let fetch = ["-o", "APT::Sandbox::User=root", "download", name];
    let fetched = apt(&fetch, &part) || (update() && apt(&fetch, &part));
    if !fetched {
        return Ok(None);
    }
    let file = fs::read_dir(&part)?
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|end| end == "deb"));
    let Some(file) = file else { return Ok(None) };
    run_command(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(file.path())
            .arg(part.join("content")),
    )?;
    fs::rename(part.join("content"), &content).with_context(|| format!("keeping {}", content.display()))?;
    fs::remove_dir_all(&part).with_context(|| format!("clearing {}", part.display()))?;
    Ok(Some(content))
}

fn apt(arguments: &[&str], folder: &Path) -> bool {
    let status = Command::new("apt-get")
        .args(["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .current_dir(folder)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages of other engines must not start their daemons on this machine.
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn is_installed(name: &str) -> bool {
    let asked = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", name])
        .output();
    asked.is_ok_and(|output| output.stdout == b"installed")
}
