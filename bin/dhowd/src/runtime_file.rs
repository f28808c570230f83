//! The `dhow-runtime` that belongs to this daemon: found, checked, and sealed into memory.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The program's name.
const NAME: &str = "dhow-runtime";

/// The runtime of this daemon.
#[derive(Debug)]
pub(crate) struct RuntimeFile {
    /// Where it is on disk.
    pub(crate) path: PathBuf,
    /// Its content, as a sealed memory file.
    pub(crate) sealed: OwnedFd,
}

/// Finds `dhow-runtime` beside this program, makes sure that it is of the same version, and gives it as a sealed
/// memory file, so that no container can ever change what the next one is started with.
pub(crate) fn seal() -> Result<RuntimeFile> {
    let path = beside()?;
    let version = Command::new(&path)
        .arg("--version")
        .output()
        .with_context(|| format!("run {}", path.display()))?;
    check_version(&path, &String::from_utf8_lossy(&version.stdout))?;
    let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let sealed =
        linux::fd::sealed_memfd(c"dhow-runtime", &content, true).context("seal dhow-runtime into memory")?;
    Ok(RuntimeFile { path, sealed })
}

fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let path = own.with_file_name(NAME);
    if !path.is_file() {
        bail!("{NAME} is missing: it must be beside {}", own.display());
    }
    Ok(path)
}

fn check_version(path: &Path, said: &str) -> Result<()> {
    let wanted = env!("CARGO_PKG_VERSION");
    if said.split_whitespace().any(|word| word == wanted) {
        return Ok(());
    }
    let first = said.lines().next().unwrap_or("nothing");
    bail!(
        "{} is of another version than this daemon ({wanted}); it says {first:?}",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_is_taken() {
        let path = Path::new("/x/dhow-runtime");
        let same = format!(
            "dhow-runtime version {}\nspec: 1.3.0\n",
            env!("CARGO_PKG_VERSION")
        );
        assert!(check_version(path, &same).is_ok());
        let error = check_version(path, "dhow-runtime version 99.0.0\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("/x/dhow-runtime") && error.contains("99.0.0"));
    }
}
