//! A kernel for the machine: Debian's package, unpacked but never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages;
use crate::workspace::{output, run as run_command};

/// Debian's newest kernel for virtual machines; the package depends on the one that has the files.
const CURRENT: &str = "linux-image-cloud-amd64";
/// Modules that a container engine can need, below `kernel/` of the modules' folder.
const MODULES: [&str; 10] = [
    "arch/x86/crypto",
    "block",
    "crypto",
    "drivers/block",
    "drivers/net",
    "drivers/virtio",
    "fs/overlayfs",
    "fs/fuse",
    "lib",
    "net",
];

/// An unpacked kernel.
pub(crate) struct Kernel {
    /// What the machine boots.
    pub(crate) image: PathBuf,
    /// As `uname -r` says it.
    pub(crate) release: String,
    /// The folder of the package's content.
    folder: PathBuf,
}

/// Fetches and unpacks the package unless that was done before; `None` where it cannot be fetched.
pub(crate) fn fetch(folder: &Path, package: Option<&str>) -> Result<Option<Kernel>> {
    let wanted = package.unwrap_or(CURRENT);
    let name = match depends(wanted) {
        Some(name) => name,
        None if packages::update() => depends(wanted).unwrap_or_else(|| wanted.to_owned()),
        None => wanted.to_owned(),
    };
    let Some(content) = packages::unpack(&name, folder)? else {
        return Ok(None);
    };
    let release = name.strip_prefix("linux-image-").unwrap_or(&name).to_owned();
    let image = content.join("boot").join(format!("vmlinuz-{release}"));
    Ok(image.exists().then_some(Kernel {
        image,
        release,
        folder: content,
    }))
}

/// What a metapackage stands for: the first kernel that it depends on.
fn depends(package: &str) -> Option<String> {
    let text = output(Command::new("apt-cache").args(["depends", package])).ok()?;
    let dependencies = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let mut kernels = dependencies.filter(|name| name.starts_with("linux-image-"));
    match kernels.next() {
        Some(name) => Some(name.to_owned()),
        // A kernel itself depends on tools only.
        None => text.lines().next().map(|line| line.trim().to_owned()),
    }
}

impl Kernel {
    /// Copies the modules below a root and lists them for modprobe.
    pub(crate) fn place_modules(&self, root: &Path) -> Result<()> {
        let from = self.folder.join("lib/modules").join(&self.release);
        let to = root.join("usr/lib/modules").join(&self.release);
        for part in MODULES {
            let source = from.join("kernel").join(part);
            let target = to.join("kernel").join(part);
            if !source.exists() {
                continue;
            }
            let above = target.parent().unwrap_or(&to);
            fs::create_dir_all(above).with_context(|| format!("making {}", above.display()))?;
            run_command(Command::new("cp").arg("-a").arg(&source).arg(&target))?;
        }
        for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            fs::copy(from.join(list), to.join(list)).with_context(|| list.to_owned())?;
        }
        run_command(
            Command::new("depmod")
                .arg("-b")
                .arg(root.join("usr"))
                .arg(&self.release),
        )
    }
}
