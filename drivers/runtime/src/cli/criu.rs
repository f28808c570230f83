//! What `checkpoint` and `restore` have in common: the flags for criu, and running it.

use std::path::{Path, PathBuf};
use std::process::Command;

use oci::runtime::Spec;

use super::flags::{Flag, Flags};
use super::{CliError, Session};

/// Flags of both verbs.
pub(super) const FLAGS: &[Flag] = &[
    Flag::value("image-path", None, "directory of the image (default: checkpoint)"),
    Flag::value(
        "work-path",
        None,
        "directory of criu's log (default: that of the image)",
    ),
    Flag::switch("tcp-established", None, "keep open TCP connections"),
    Flag::switch("ext-unix-sk", None, "allow unix sockets that lead outside"),
    Flag::switch(
        "shell-job",
        None,
        "allow a terminal that the container did not make",
    ),
    Flag::switch(
        "lazy-pages",
        None,
        "leave memory behind and fetch it when it is touched",
    ),
    Flag::switch("file-locks", None, "keep locks on files"),
    Flag::value(
        "manage-cgroups-mode",
        None,
        "what criu does with cgroups: soft (default), full, strict, ignore",
    ),
    Flag::value("empty-ns", None, "a namespace whose content is left out: network"),
    Flag::switch(
        "auto-dedup",
        None,
        "keep pages of memory that stand in several images once",
    ),
];

/// A run of criu.
pub(super) struct Criu {
    command: Command,
    program: String,
    log: PathBuf,
}

impl Criu {
    /// Prepares one; the directories of image and log are made if they are missing.
    pub(super) fn new(action: &str, flags: &Flags, session: &Session<'_>) -> Result<Self, CliError> {
        let image = PathBuf::from(flags.get("image-path").unwrap_or("checkpoint"));
        let work = flags
            .get("work-path")
            .map_or_else(|| image.clone(), PathBuf::from);
        for path in [&image, &work] {
            std::fs::create_dir_all(path).map_err(CliError::file(format!("mkdir {}", path.display())))?;
        }
        let log = format!("{action}.log");
        let mut command = Command::new(&session.criu);
        command.arg(action).arg("--images-dir").arg(&image);
        command
            .arg("--work-dir")
            .arg(&work)
            .arg("--log-file")
            .arg(&log)
            .arg("-v4");
        let mut criu = Self {
            command,
            program: session.criu.clone(),
            log: work.join(log),
        };
        for (flag, theirs) in [
            ("tcp-established", "--tcp-established"),
            ("ext-unix-sk", "--ext-unix-sk"),
            ("shell-job", "--shell-job"),
            ("file-locks", "--file-locks"),
            ("auto-dedup", "--auto-dedup"),
        ] {
            if flags.has(flag) {
                criu.argument(theirs);
            }
        }
        let mode = flags.get("manage-cgroups-mode").unwrap_or("soft");
        if !matches!(mode, "soft" | "full" | "strict" | "ignore") {
            let text =
                format!("invalid value {mode:?} for --manage-cgroups-mode: soft, full, strict or ignore");
            return Err(CliError::Usage(text));
        }
        criu.argument(format!("--manage-cgroups={mode}"));
        if action != "restore" && !is_in_path("iptables-restore") {
            // What criu (3.17 and newer) locks the network with unless told otherwise is not there.
            criu.argument("--network-lock=nftables");
        }
        match flags.get("empty-ns") {
            None => {}
            Some("network") => criu.argument("--empty-ns=net"),
            Some(other) => {
                let text = format!("invalid value {other:?} for --empty-ns: only network can be left out");
                return Err(CliError::Usage(text));
            }
        }
        Ok(criu)
    }

    /// One more argument.
    pub(super) fn argument(&mut self, text: impl AsRef<std::ffi::OsStr>) {
        self.command.arg(text);
    }

    /// Names the binds of the container, which criu cannot know: at a checkpoint (of the process `dumped`) where they are, at
    /// a restore what is to be shown there.
    pub(super) fn external_mounts(&mut self, spec: &Spec, bundle: &Path, dumped: Option<i32>) {
        // Hidden files are covered with the host's /dev/null; hidden directories with a tmpfs, which criu keeps itself.
        let masked = spec.linux.iter().flat_map(|linux| &linux.masked_paths);
        for place in masked {
            let is_file = |pid| {
                let seen = std::fs::symlink_metadata(format!("/proc/{pid}/root{place}"));
                seen.is_ok_and(|seen| !seen.is_dir())
            };
            let shown = match dumped {
                Some(pid) if !is_file(pid) => continue,
                Some(_) => place,
                None => "/dev/null",
            };
            self.argument("--external");
            self.argument(format!("mnt[{place}]:{shown}"));
        }
        for mount in &spec.mounts {
            let is_bind = mount.kind == "bind" || mount.options.iter().any(|o| o == "bind" || o == "rbind");
            if !is_bind {
                continue;
            }
            let place = &mount.destination;
            let source = bundle.join(&mount.source);
            self.argument("--external");
            self.argument(match dumped {
                None => format!("mnt[{place}]:{}", source.display()),
                Some(_) => format!("mnt[{place}]:{place}"),
            });
        }
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) -> Result<(), CliError> {
        let status = match self.command.status() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = format!(
                    "checkpoint and restore need the program criu, but {:?} is not there: install it (Debian's \
                     package criu) or name it with --criu",
                    self.program
                );
                return Err(CliError::Usage(text));
            }
            other => other.map_err(CliError::file(format!("run {}", self.program)))?,
        };
        if status.success() {
            return Ok(());
        }
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let error = text.lines().rfind(|line| line.contains("Error"));
        Err(CliError::State(format!(
            "criu failed ({status}): {}; its whole log is {}",
            error.unwrap_or("it wrote no error").trim(),
            self.log.display()
        )))
    }
}

/// Whether a program can be found by its name.
fn is_in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).exists())
}
