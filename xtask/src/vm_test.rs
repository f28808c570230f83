//! The suites in a small virtual machine: another kernel, pure cgroup v2, AppArmor on.
//!
//! QEMU's software emulation boots Debian's cloud kernel with an initramfs that holds the binaries of the test profile
//! and the same test programs that run on this machine; guide: docs/guides/virtual-machine-tests.md.

mod kernel;
mod machine;
mod root;
mod suites;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::test::Count;
use crate::{build, packages};

/// The emulator, and what makes a root file system.
pub(crate) const PACKAGES: [&str; 7] = [
    "qemu-system-x86",
    "busybox-static",
    "cpio",
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
    let package = arguments.kernel.as_deref();
    let count = suite(arguments.full, arguments.name.as_deref(), package, log)?;
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

/// Boots a machine that runs the suites; its console is in the log. The binaries must have been built.
pub(crate) fn suite(full: bool, name: Option<&str>, package: Option<&str>, log: &Path) -> Result<Count> {
    fs::create_dir_all("target/test-logs")?;
    let folder = PathBuf::from(FOLDER);
    fs::create_dir_all(&folder)?;
    let kernel = match packages::ensure(&PACKAGES)? {
        true => kernel::fetch(&folder, package)?,
        false => None,
    };
    let Some(kernel) = kernel else {
        fs::write(
            log,
            "skipped: neither QEMU nor a kernel for it could be fetched\n",
        )?;
        return Ok(crate::test::count(&fs::read_to_string(log)?));
    };
    let suites = suites::chosen(full);
    let root = root::make(&folder, &kernel, &suites, name)?;
    let limit = if full { machine::LONG } else { machine::SHORT };
    let ended = machine::boot(&folder, &kernel.image, &root, limit, log)?;
    suites::judge(&suites, &fs::read_to_string(log)?, ended, log)
}
