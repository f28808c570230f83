//! A context that is a git repository: cloned by the `git` program into a directory that goes afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// A directory that goes with its value.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("dhow-build-{}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::new(format!("create {}: {error}", path.display())))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays is in the system's directory for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a context is named as a repository.
pub(super) fn is_git(context: &str) -> bool {
    let plain = context.split('#').next().unwrap_or_default();
    let is_url = plain.starts_with("http://") || plain.starts_with("https://");
    ["git://", "git@", "ssh://", "github.com/"]
        .iter()
        .any(|start| plain.starts_with(start))
        || (is_url && plain.ends_with(".git"))
        || (plain.starts_with("file://") && plain.ends_with(".git"))
}

/// `URL[#ref[:directory]]`, with its submodules.
pub(super) fn fetch(context: &str) -> Result<(Temporary, PathBuf), Failure> {
    let (url, fragment) = context.split_once('#').unwrap_or((context, ""));
    let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
    let url = match url.starts_with("github.com/") {
        true => format!("https://{url}"),
        false => url.to_owned(),
    };
    if url.starts_with('-') || reference.starts_with('-') {
        return Err(Failure::new(format!("invalid repository: {context}")));
    }
    let temporary = Temporary::new()?;
    let root = temporary.path().to_owned();
    let reference = if reference.is_empty() { "HEAD" } else { reference };
    git(&root, &["init", "--quiet", "."])?;
    git(&root, &["remote", "add", "origin", &url])?;
    git(
        &root,
        &["fetch", "--quiet", "--depth", "1", "origin", "--", reference],
    )?;
    git(&root, &["checkout", "--quiet", "FETCH_HEAD"])?;
    git(
        &root,
        &[
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--depth",
            "1",
        ],
    )?;
    let path = root.join(directory.trim_start_matches('/'));
    let real = path
        .canonicalize()
        .map_err(|error| Failure::new(format!("{directory}: {error}")))?;
    let inside = root.canonicalize().is_ok_and(|root| real.starts_with(root));
    if !inside || !real.is_dir() {
        return Err(Failure::new(format!("{directory:?} is no directory of {url}")));
    }
    // The repository's own files are no part of the context.
    let _ = std::fs::remove_dir_all(root.join(".git"));
    Ok((temporary, real))
}

fn git(directory: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new("git")
        .args(["-c", "protocol.ext.allow=never"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .map_err(|error| Failure::new(format!("git, which a repository as context needs: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("git {}: {}", arguments[0], text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_known_by_their_names() {
        for name in [
            "git@host:a/b",
            "https://host/a.git",
            "https://host/a.git#main:dir",
            "github.com/a/b",
            "git://x",
        ] {
            assert!(is_git(name), "{name}");
        }
        for name in [".", "https://host/a.tar.gz", "/srv/a.git"] {
            assert!(!is_git(name), "{name}");
        }
    }
}
