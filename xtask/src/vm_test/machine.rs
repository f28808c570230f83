//! The emulated machine: QEMU, its console, its end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::workspace::run as run_command;

/// How long the smoke test's machine may take before it counts as hung: some ten times what it needs on two idle cores,
/// because a machine that is busy with other work must not make it fail.
pub(crate) const SHORT: Duration = Duration::from_secs(15 * 60);
/// The same for the whole suite, which took 45 minutes for two thirds of it beside fifteen busy processes.
pub(crate) const LONG: Duration = Duration::from_secs(3 * 60 * 60);
/// Only panics come to the console between the lines of the tests.
/// An emulated timer that waits for a busy host looks broken to the kernel, which panics unless it is told not to check.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=1 no_timer_check panic=-1";
/// What makes AppArmor the security module; there can only be one of the two.
pub(crate) const APPARMOR: &str = "apparmor=1 security=apparmor";
/// The same for SELinux, which does nothing before a policy is loaded.
pub(crate) const SELINUX: &str = "selinux=1 security=selinux";
/// A disk that tests may overwrite, in bytes.
const DISK: u64 = 256 << 20;

/// What is booted.
pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    /// Which security module the kernel uses: [`APPARMOR`] or [`SELINUX`].
    pub(crate) security: &'static str,
    /// The contents of its disks.
    pub(crate) disks: Vec<PathBuf>,
}

/// The disks of a machine without systemd: one that tests may overwrite, and the one of `/tmp`.
pub(crate) fn usual_disks(folder: &Path) -> Result<Vec<PathBuf>> {
    let tmp = file_system(folder.join("tmp.raw"), None, "2G")?;
    Ok(vec![scratch_disk(folder)?, tmp])
}

/// An empty disk.
fn scratch_disk(folder: &Path) -> Result<PathBuf> {
    let disk = folder.join("disk.raw");
    fs::File::create(&disk)
        .and_then(|file| file.set_len(DISK))
        .with_context(|| disk.display().to_string())?;
    Ok(disk)
}

/// An ext4 file system of a size as `mkfs.ext4` takes it, with what is in `content`.
pub(crate) fn file_system(disk: PathBuf, content: Option<&Path>, size: &str) -> Result<PathBuf> {
    if disk.exists() {
        fs::remove_file(&disk).with_context(|| format!("clearing {}", disk.display()))?;
    }
    let mut command = Command::new("/sbin/mkfs.ext4");
    command.arg("-q");
    if let Some(content) = content {
        command.arg("-d").arg(content);
    }
    command.arg(&disk).arg(size).stdout(Stdio::null());
    run_command(&mut command)?;
    Ok(disk)
}

/// How the machine came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It switched itself off; whether all suites had run before is in what it said.
    Off,
    /// It was switched off, because its time was over.
    Late(Duration),
}

/// Boots and waits; the console is in `log`. The disks are gone afterwards.
pub(crate) fn boot(machine: &Machine<'_>, limit: Duration, log: &Path) -> Result<End> {
    let mut command = Command::new("qemu-system-x86_64");
    // Software emulation everywhere: a machine with KVM shall find what one without finds.
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "1536",
    ]);
    command.args([
        "-nographic",
        "-no-reboot",
        "-nic",
        "none",
        "-device",
        "virtio-rng-pci",
    ]);
    for disk in &machine.disks {
        let drive = format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
        command.arg("-drive").arg(drive);
    }
    command.arg("-kernel").arg(machine.kernel);
    command.arg("-initrd").arg(machine.initrd);
    command.args(["-append", &format!("{COMMAND_LINE} {}", machine.security)]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut process = command.spawn().context("starting qemu-system-x86_64")?;
    let console = process.stdout.take().context("the machine's console")?;
    let file = fs::File::create(log).with_context(|| log.display().to_string())?;
    // Ends with the machine, which holds the other side of the pipe.
    let reader = std::thread::spawn(move || copy(BufReader::new(console), file));
    let end = wait(&mut process, limit);
    if !matches!(end, Ok(End::Off)) {
        let _ = process.kill();
        let _ = process.wait();
    }
    let copied = reader.join();
    for disk in &machine.disks {
        let _ = fs::remove_file(disk);
    }
    copied
        .ok()
        .context("reading the machine's console")?
        .context("writing the machine's console")?;
    end
}

fn wait(machine: &mut Child, limit: Duration) -> Result<End> {
    let start = Instant::now();
    while machine.try_wait().context("waiting for the machine")?.is_none() {
        if start.elapsed() > limit {
            return Ok(End::Late(limit));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(End::Off)
}

/// A terminal ends its lines with a carriage return too.
fn copy(mut console: impl BufRead, mut log: impl Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    while console.read_until(b'\n', &mut line)? > 0 {
        line.retain(|byte| *byte != b'\r');
        log.write_all(&line)?;
        line.clear();
    }
    log.flush()
}
