//! A machine with systemd: a minimal Debian on a disk, with dhow's package to be installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::kernel::Kernel;
use super::machine;
use super::root::{self, Root};
use super::suites::SYSTEMD;
use crate::workspace::run as run_command;
use crate::{build, dist, packages};

/// Leaves the initramfs for the disk.
const INIT: &str = include_str!("systemd-init.sh");
/// Runs the suite and switches off.
const UNIT: &str = include_str!("systemd.service");
/// What the minimal system has beyond Debian's essential packages.
const INCLUDED: &str =
    "systemd-sysv,dbus,kmod,iproute2,nftables,busybox-static,libpam-systemd,dbus-user-session,uidmap";
/// Where it is kept; a new name for every change of what it has.
const SYSTEM: &str = "systemd-2";
/// Size of the disk, most of it a hole.
const DISK: &str = "2G";

/// The initramfs and the disk; `None` where the minimal system cannot be fetched.
pub(crate) fn make(folder: &Path, kernel: &Kernel, name: Option<&str>) -> Result<Option<(PathBuf, PathBuf)>> {
    let Some(system) = bootstrap(folder)? else {
        return Ok(None);
    };
    let first = Root::new(folder.join("systemd-first"))?;
    kernel.place_modules(&first.0)?;
    first.programs(&["/bin/kmod"])?;
    first.write("init", INIT, 0o755)?;
    let initrd = first.pack(&folder.join("systemd.cpio"))?;

    let disk = Root(folder.join("systemd-root"));
    if disk.0.exists() {
        fs::remove_dir_all(&disk.0).with_context(|| format!("clearing {}", disk.0.display()))?;
    }
    run_command(
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(&system)
            .arg(&disk.0),
    )?;
    kernel.place_modules(&disk.0)?;
    let programs = root::test_programs(&[SYSTEMD])?;
    let program = programs
        .values()
        .next()
        .context("there is no test program for systemd")?;
    disk.copy(program, "/tests/systemd")?;
    fs::copy(package(folder)?, disk.0.join("tests/dhow.deb")).context("copying the package")?;
    let name = name.map(|name| format!(" '{name}'")).unwrap_or_default();
    let script = format!(
        "echo 'vm: begin {suite}'\n/tests/systemd --show-output --test-threads=1{name} 2>&1\necho \"vm: end {suite} $?\"\necho 'vm: finished'\n",
        suite = SYSTEMD.name()
    );
    disk.write("tests/run", &script, 0o755)?;
    disk.write("etc/systemd/system/dhow-suite.service", UNIT, 0o644)?;
    disk.write("etc/hostname", "vm\n", 0o644)?;
    let wanted = disk.0.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted).context("the target's folder")?;
    std::os::unix::fs::symlink("../dhow-suite.service", wanted.join("dhow-suite.service")).context("link")?;
    let disk = machine::file_system(folder.join("systemd.raw"), Some(&disk.0), DISK)?;
    Ok(Some((initrd, disk)))
}

/// A minimal Debian, made once.
fn bootstrap(folder: &Path) -> Result<Option<PathBuf>> {
    let system = folder.join(SYSTEM);
    if system.exists() {
        return Ok(Some(system));
    }
    if !packages::ensure(&["debootstrap"])? {
        return Ok(None);
    }
    println!("fetching: a minimal Debian with systemd");
    let part = folder.join("systemd.part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("clearing {}", part.display()))?;
    }
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", &format!("--include={INCLUDED}"), "bookworm"])
        .arg(&part)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    fs::rename(&part, &system).with_context(|| format!("keeping {}", system.display()))?;
    Ok(Some(system))
}

/// The package with the binaries of the test profile, without what only a debugger reads.
fn package(folder: &Path) -> Result<PathBuf> {
    let small = Root(folder.join("binaries"));
    for name in build::BINARIES {
        small.copy(&Path::new("target/e2e").join(name), name)?;
    }
    dist::package(&small.0, folder)
}
