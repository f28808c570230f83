//! Repositories, by the `git` program: it is hardened and patched where another implementation would not be.
//!
//! It is told to read no configuration of the machine, to run no hook, to ask nobody, and to speak with remote servers
//! only: a repository must not make it read files of the host. What it checks out is opened as a root of its own, so
//! that links lead nowhere else.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use dockerfile::remote::Repository;
use rustix::fs::{AtFlags, OFlags, Timespec, Timestamps};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::BuildError;
use crate::copy::{self, Root};
use crate::error::file;

/// Protocols that lead to another machine.
const PROTOCOLS: &str = "http:https:git:ssh";
/// ssh that asks nobody. Servers are known by the keys that the machine's administrator has put in place.
const SSH: &str = "ssh -o BatchMode=yes -o ForwardAgent=no -o PermitLocalCommand=no";
/// What git may say.
const SAID: u64 = 64 << 10;
/// Variables of the daemon that say how to reach servers.
const PASSED_ON: [&str; 10] = [
    "PATH",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
];

/// A commit that is checked out.
#[derive(Debug)]
pub(crate) struct Checkout {
    pub(crate) root: Arc<Root>,
    /// Where the root is on the host.
    pub(crate) path: PathBuf,
    /// Its whole name.
    pub(crate) commit: String,
}

impl Checkout {
    /// A directory of it, as a root of its own.
    pub(crate) fn directory(self, name: &str) -> Result<Self, BuildError> {
        let wrong = || BuildError::Instruction(format!("{name:?} is no directory of the repository"));
        let place = copy::resolve(Some(&self.root), &format!("/{name}")).map_err(|_| wrong())?;
        if place.is_directory != Some(true) {
            return Err(wrong());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = self.root.open(&format!("/{}", place.path), flags);
        Ok(Self {
            root: copy::root(opened.map_err(|_| wrong())?),
            // Without links in it the path leads nowhere else on the host either.
            path: self.path.join(place.path),
            ..self
        })
    }
}

/// Checks a repository out below `path`, which must not be there. Files have the time of the commit.
pub(crate) async fn checkout(
    repository: &Repository,
    commit: Option<&str>,
    keep: bool,
    path: PathBuf,
) -> Result<Checkout, BuildError> {
    std::fs::create_dir_all(&path).map_err(file("create", &path))?;
    let git = Git {
        directory: &path,
        shown: repository.to_string(),
    };
    let reference = repository.reference.as_deref().unwrap_or("HEAD");
    git.run(&["init", "--quiet", "--template=", "."]).await?;
    git.run(&["remote", "add", "origin", "--", &repository.url])
        .await?;
    git.fetch(reference).await?;
    git.run(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])
        .await?;
    let head = git.run(&["rev-parse", "HEAD"]).await?;
    for wanted in [commit, repository.commit.as_deref()].into_iter().flatten() {
        let is_name = wanted.len() >= 7 && wanted.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_name || !head.starts_with(&wanted.to_ascii_lowercase()) {
            return Err(BuildError::Instruction(format!(
                "expected checksum to match {wanted}, got {head} ({})",
                git.shown
            )));
        }
    }
    let time = git.run(&["show", "--no-patch", "--format=%ct", "HEAD"]).await?;
    if !repository.no_submodules && path.join(".gitmodules").symlink_metadata().is_ok() {
        let update = [
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--checkout",
        ];
        let shallow: Vec<&str> = update.iter().copied().chain(["--depth", "1"]).collect();
        // A server of plain files has no shallow copies.
        if git.run(&shallow).await.is_err() {
            git.run(&update).await?;
        }
    }
    let (tree, time) = (path.clone(), time.parse().unwrap_or(0));
    let keep = keep || repository.keep_git_dir;
    let settling = tokio::task::spawn_blocking(move || settle(&tree, time, keep));
    settling.await.map_err(|error| BuildError::task(&error))??;
    Ok(Checkout {
        root: super::tree(&path)?,
        path,
        commit: head,
    })
}

/// Gives all files the time of the commit, so that the same commit gives the same layer, and takes away the directory
/// `.git` and the files of that name with which submodules point to it, unless they are to stay.
fn settle(path: &Path, time: i64, keep_git: bool) -> Result<(), BuildError> {
    let mut open = vec![path.to_owned()];
    let mut all = Vec::new();
    while let Some(directory) = open.pop() {
        all.push(directory.clone());
        let failed = file("read", &directory);
        for entry in std::fs::read_dir(&directory).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let is_directory = entry.file_type().map_err(&failed)?.is_dir();
            let path = entry.path();
            let is_git = !keep_git && entry.file_name() == ".git";
            match (is_git, is_directory) {
                (true, true) => std::fs::remove_dir_all(&path).map_err(file("remove", &path))?,
                (true, false) => std::fs::remove_file(&path).map_err(file("remove", &path))?,
                (false, true) => open.push(path),
                (false, false) => all.push(path),
            }
        }
    }
    let stamp = Timespec {
        tv_sec: time,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: stamp,
        last_modification: stamp,
    };
    all.into_iter().try_for_each(|path| {
        let set = rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW);
        set.map_err(|errno| file("set the time of", &path)(errno.into()))
    })
}

struct Git<'a> {
    directory: &'a Path,
    shown: String,
}

impl Git<'_> {
    async fn fetch(&self, reference: &str) -> Result<(), BuildError> {
        let fetch = ["fetch", "--quiet", "--no-tags", "--force"];
        let one = ["origin", "--", reference];
        let words = |middle: &[&'static str]| -> Vec<String> {
            let words = fetch.iter().chain(middle).chain(&one);
            words.map(|word| (*word).to_owned()).collect()
        };
        let first = match self.run(&words(&["--depth", "1"])).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // A server of plain files has no shallow copies, and an older one gives no commit by its name alone.
        if self.run(&words(&[])).await.is_ok() {
            return Ok(());
        }
        let is_commit = reference.len() >= 7 && reference.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_commit {
            return Err(first);
        }
        let all = [
            "fetch",
            "--quiet",
            "--force",
            "origin",
            "--",
            "+refs/*:refs/fetched/*",
        ];
        self.run(&all).await?;
        let commit = format!("{reference}^{{commit}}");
        let found = self.run(&["rev-parse", "--verify", "--quiet", &commit]).await;
        let found = found.map_err(|_| first)?;
        let path = self.directory.join(".git/FETCH_HEAD");
        std::fs::write(&path, format!("{found}\n")).map_err(file("write", &path))
    }

    /// Runs git and answers what it prints. A build that is given up ends it, with all that it has started.
    async fn run<S: AsRef<str>>(&self, words: &[S]) -> Result<String, BuildError> {
        let mut command = Command::new("git");
        command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"])
            .args(["-c", "protocol.version=2", "-c", "advice.detachedHead=false"])
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
            .args(words.iter().map(AsRef::as_ref))
            .current_dir(self.directory)
            .env_clear()
            .envs(
                PASSED_ON
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", SSH)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let needed = |error: std::io::Error| {
            BuildError::Instruction(format!(
                "{}: the program git, which repositories need, cannot be run: {error}",
                self.shown
            ))
        };
        let mut child = command.spawn().map_err(needed)?;
        let mut group = Group(child.id());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = tokio::join!(limited(out), limited(err));
        let status = child.wait().await.map_err(needed)?;
        // From here on the number may be another one's.
        group.0 = None;
        if status.success() {
            return Ok(out.trim().to_owned());
        }
        let verb = words.first().map_or("", AsRef::as_ref);
        Err(BuildError::Instruction(format!(
            "failed to fetch {}: git {verb}: {}",
            self.shown,
            err.trim()
        )))
    }
}

/// What a program says, without control characters, and not all of it if it says very much.
async fn limited(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A pipe that breaks has said all that it will.
        let _ = (&mut pipe).take(SAID).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}

/// Ends a process group when it is dropped: programs that git has started outlive it else.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // Usually nobody is left in it.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}
