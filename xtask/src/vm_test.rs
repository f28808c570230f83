//! The suites in small virtual machines: another kernel, pure cgroup v2, AppArmor or SELinux on.
//!
//! QEMU's software emulation boots Debian's cloud kernel with an initramfs that holds the binaries of the test profile
//! and the same test programs that run on this machine; guide: docs/guides/virtual-machine-tests.md.

mod kernel;
mod machine;
mod root;
mod selinux;
mod suites;
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::test::Count;
use crate::{build, packages};
use machine::Machine;

/// The emulator, and what makes a root file system.
pub(crate) const PACKAGES: [&str; 8] = [
    "qemu-system-x86",
    "busybox-static",
    "cpio",
    "e2fsprogs",
    "kmod",
    "iproute2",
    "nftables",
    "zstd",
];
/// Everything that is fetched or made for the machine; kept for the next time.
const FOLDER: &str = "target/vm";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Every suite that makes sense on another kernel, not only the smoke test
    #[arg(long)]
    full: bool,
    /// Only suites whose name contains this word, such as cgroups or e2e/exec
    #[arg(long)]
    suite: Option<String>,
    /// Only tests whose name contains this word
    #[arg(long)]
    name: Option<String>,
    /// Boot this Debian package of a kernel instead of the current cloud kernel
    #[arg(long, value_name = "PACKAGE")]
    kernel: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    build::for_tests()?;
    let log = Path::new("target/test-logs/vm.log");
    let mut choice = Choice {
        suites: suites::chosen(arguments.full || arguments.suite.is_some()),
        systemd: arguments.full,
        selinux: arguments.full,
        name: arguments.name.as_deref(),
        kernel: arguments.kernel.as_deref(),
        limit: if arguments.full {
            machine::LONG
        } else {
            machine::SHORT
        },
    };
    if let Some(word) = &arguments.suite {
        choice.suites.retain(|suite| suite.name().contains(word.as_str()));
        choice.selinux = suites::SELINUX.name().contains(word.as_str());
        choice.systemd = suites::SYSTEMD.name().contains(word.as_str());
    }
    let count = boot(&choice, log)?;
    println!(
        "{} passed, {} failed, {} skipped; the machine's console: {}",
        count.passed,
        count.failed,
        count.skipped,
        log.display()
    );
    crate::test::report(count, log);
    if count.failed > 0 {
        bail!("the tests in the virtual machine failed");
    }
    Ok(())
}

/// The suites as a part of `cargo xtask test`; the binaries must have been built.
pub(crate) fn suite(full: bool, name: Option<&str>, log: &Path) -> Result<Count> {
    let choice = Choice {
        suites: suites::chosen(full),
        systemd: full,
        selinux: full,
        name,
        kernel: None,
        limit: if full { machine::LONG } else { machine::SHORT },
    };
    boot(&choice, log)
}

/// What shall run.
struct Choice<'a> {
    suites: Vec<suites::Suite>,
    /// Also the machine with systemd.
    systemd: bool,
    /// Also the machine with SELinux.
    selinux: bool,
    name: Option<&'a str>,
    kernel: Option<&'a str>,
    limit: Duration,
}

/// Boots the machines that run the suites, one after the other; their consoles are in the log.
fn boot(choice: &Choice<'_>, log: &Path) -> Result<Count> {
    fs::create_dir_all("target/test-logs")?;
    let folder = PathBuf::from(FOLDER);
    fs::create_dir_all(&folder)?;
    let kernel = match packages::ensure(&PACKAGES)? {
        true => kernel::fetch(&folder, choice.kernel)?,
        false => None,
    };
    let Some(kernel) = kernel else {
        fs::write(
            log,
            "skipped: neither QEMU nor a kernel for it could be fetched\n",
        )?;
        return Ok(crate::test::count(&fs::read_to_string(log)?));
    };
    let mut total = Count::default();
    let mut console = String::new();
    if !choice.suites.is_empty() {
        let machine = Machine {
            kernel: &kernel.image,
            initrd: &root::make(&folder, &kernel, &choice.suites, choice.name, None)?,
            security: machine::APPARMOR,
            disks: machine::usual_disks(&folder)?,
        };
        total.add(one(&machine, choice.limit, &choice.suites, log)?);
        console = fs::read_to_string(log)?;
    }
    if choice.selinux {
        match selinux::compile(&folder)? {
            Some(policy) => {
                let suites = [suites::SELINUX];
                let machine = Machine {
                    kernel: &kernel.image,
                    initrd: &root::make(&folder, &kernel, &suites, choice.name, Some(&policy))?,
                    security: machine::SELINUX,
                    disks: machine::usual_disks(&folder)?,
                };
                total.add(one(&machine, choice.limit, &suites, log)?);
                console.push_str(&fs::read_to_string(log)?);
            }
            None => {
                console.push_str("skipped: no compiler of SELinux policies could be fetched\n");
                total.skipped += 1;
            }
        }
        fs::write(log, &console)?;
    }
    if choice.systemd {
        match systemd::make(&folder, &kernel, choice.name)? {
            Some((initrd, disk)) => {
                let machine = Machine {
                    kernel: &kernel.image,
                    initrd: &initrd,
                    security: machine::APPARMOR,
                    disks: vec![disk],
                };
                total.add(one(&machine, choice.limit, &[suites::SYSTEMD], log)?);
                console.push_str(&fs::read_to_string(log)?);
            }
            None => {
                console.push_str("skipped: no minimal Debian with systemd could be fetched\n");
                total.skipped += 1;
            }
        }
        fs::write(log, console)?;
    }
    Ok(total)
}

fn one(machine: &Machine<'_>, limit: Duration, suites: &[suites::Suite], log: &Path) -> Result<Count> {
    let end = machine::boot(machine, limit, log)?;
    // Noise of the firmware is no text.
    let console = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    suites::judge(suites, &console, end, log)
}
