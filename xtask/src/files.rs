//! What an installation consists of: source, place below the prefix, mode. `dist` packs it, `install` copies it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;

/// systemd's units.
pub(crate) const SERVICE: &str = include_str!("../packaging/dhow.service");
pub(crate) const SOCKET: &str = include_str!("../packaging/dhow.socket");
/// A configuration to begin with.
pub(crate) const CONFIGURATION: &str = include_str!("../packaging/daemon.json");

/// Shells with completions, and where these go below `share`.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/dhow"),
    ("zsh", "zsh/vendor-completions/_dhow"),
    ("fish", "fish/vendor_completions.d/dhow.fish"),
];

/// Writes a file with its mode, and the folders above it.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    // By way of a new file: a running binary cannot be written to.
    let new = path.with_extension("dhow-new");
    fs::write(&new, content).with_context(|| format!("writing {}", new.display()))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
    fs::rename(&new, path).with_context(|| format!("renaming to {}", path.display()))
}

/// Copies binaries and completions below a prefix (`/usr`, `/usr/local`); the paths written.
pub(crate) fn place(binaries: &Path, prefix: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for name in build::BINARIES {
        let to = prefix.join("bin").join(name);
        write(&to, &fs::read(binaries.join(name))?, 0o755)?;
        written.push(to);
    }
    for (shell, place) in SHELLS {
        let output = Command::new(binaries.join("dhow"))
            .args(["completion", shell])
            .output()?;
        if !output.status.success() || output.stdout.is_empty() {
            println!(
                "no completions for {shell}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            continue;
        }
        let to = prefix.join("share").join(place);
        write(&to, &output.stdout, 0o644)?;
        written.push(to);
    }
    Ok(written)
}
