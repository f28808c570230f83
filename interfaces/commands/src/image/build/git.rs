//! A context that is a git repository: cloned by the `git` program into a directory that goes afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use dockerfile::remote::Repository;

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

/// Whether a context is named as a repository. One of this machine is, too: git runs as who asks for it.
pub(super) fn is_git(context: &str) -> bool {
    let plain = context.split('#').next().unwrap_or_default();
    dockerfile::remote::is_repository(context) || (plain.starts_with("file://") && plain.ends_with(".git"))
}

/// Checks out `URL[?query][#ref[:directory]]`, with its submodules.
pub(super) fn fetch(context: &str) -> Result<(Temporary, PathBuf), Failure> {
    let repository = Repository::parse(context).map_err(|error| Failure::new(error.to_string()))?;
    let temporary = Temporary::new()?;
    let root = temporary.path().to_owned();
    let reference = repository.reference.as_deref().unwrap_or("HEAD");
    git(&root, &["init", "--quiet", "."])?;
    git(&root, &["remote", "add", "origin", "--", &repository.url])?;
    let all = ["fetch", "--quiet", "origin", "--", reference];
    let newest = ["fetch", "--quiet", "--depth", "1", "origin", "--", reference];
    // A server of plain files has no shallow copies.
    git(&root, &newest).or_else(|failure| git(&root, &all).map_err(|_| failure))?;
    git(&root, &["checkout", "--quiet", "FETCH_HEAD"])?;
    if let Some(commit) = &repository.commit {
        let head = git(&root, &["rev-parse", "HEAD"])?;
        if commit.len() < 7 || !head.starts_with(&commit.to_ascii_lowercase()) {
            return Err(Failure::new(format!(
                "expected checksum to match {commit}, got {head} ({repository})"
            )));
        }
    }
    if !repository.no_submodules {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
        let shallow: Vec<&str> = update.iter().copied().chain(["--depth", "1"]).collect();
        git(&root, &shallow).or_else(|failure| git(&root, &update).map_err(|_| failure))?;
    }
    let path = root.join(repository.directory.trim_start_matches('/'));
    let real = path
        .canonicalize()
        .map_err(|error| Failure::new(format!("{}: {error}", repository.directory)))?;
    let inside = root.canonicalize().is_ok_and(|root| real.starts_with(root));
    if !inside || !real.is_dir() {
        return Err(Failure::new(format!(
            "{:?} is no directory of {}",
            repository.directory, repository.url
        )));
    }
    if !repository.keep_git_dir {
        // The repository's own files are no part of the context.
        let _ = std::fs::remove_dir_all(root.join(".git"));
    }
    Ok((temporary, real))
}

/// Runs git and answers what it prints.
fn git(directory: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git")
        .args(["-c", "protocol.ext.allow=never"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .map_err(|error| Failure::new(format!("git, which a repository as context needs: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("git {}: {}", arguments[0], text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_known_by_their_names() {
        for name in ["git@host:a/b", "https://host/a.git#main:dir", "file:///srv/a.git"] {
            assert!(is_git(name), "{name}");
        }
        for name in [".", "https://host/a.tar.gz", "/srv/a.git"] {
            assert!(!is_git(name), "{name}");
        }
    }
}
