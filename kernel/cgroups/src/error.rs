//! What can go wrong with a control group.

use std::io;
use std::path::PathBuf;

use fault::{Fault, Kind};

/// A failure of this crate, saying what was tried on which path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of a hierarchy, or of `/proc`, could not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a value.
    #[error("write {value:?} to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A directory could not be made.
    #[error("mkdir {}: {source}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A directory could not be removed, although it holds no process any more.
    #[error("rmdir {}: {source}", path.display())]
    Remove {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of the kernel has a form that this crate does not know.
    #[error("{}: cannot understand {text:?}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line or word in question.
        text: String,
    },
    /// The path of a cgroup would leave its hierarchy or is empty.
    #[error("invalid cgroup path {0:?}")]
    InvalidPath(String),
    /// A limit that can never be right.
    #[error("invalid {what}: {why}")]
    InvalidLimit {
        /// Name of the limit as in the runtime-spec.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file of version 2 (`unified`) on a machine of version 1.
    #[error("invalid configuration: unified: {file} is a file of cgroup v2, this machine uses v1")]
    OnlyV2 {
        /// The file.
        file: String,
    },
    /// A limit was asked for whose controller this machine does not have.
    #[error("{what}: the {controller} cgroup controller is not available")]
    NoController {
        /// Name of the limit as in the runtime-spec.
        what: &'static str,
        /// The controller that would be needed.
        controller: &'static str,
    },
    /// The group holds processes where it must not.
    #[error("container's cgroup is not empty: {path} holds process {pid}")]
    NotEmpty {
        /// Path below the hierarchies.
        path: String,
        /// One of the processes.
        pid: i32,
    },
    /// The group was there already, and frozen: whatever starts in it would stand still.
    #[error("container's cgroup unexpectedly frozen: thaw or remove {}", path.display())]
    Frozen {
        /// Its directory.
        path: PathBuf,
    },
    /// The group is not there.
    #[error("no such cgroup: {0}")]
    NotFound(String),
    /// No cgroup file system is mounted.
    #[error("no cgroup file system is mounted")]
    NoHierarchy,
    /// A cgroup path for systemd makes no sense.
    #[error("invalid cgroupsPath {text:?} for the systemd cgroup driver: it {why}")]
    InvalidScope {
        /// The path, or the part of it in question.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The bus is not there or does not answer as a bus.
    #[error("systemd cgroup driver: {what}: {source}")]
    Bus {
        /// What was tried, with the address.
        what: String,
        /// What came of it.
        source: io::Error,
    },
    /// systemd has refused.
    #[error("systemd cgroup driver: {what}: {text}{}", if name.is_empty() { String::new() } else { format!(" ({name})") })]
    Systemd {
        /// The method, with the unit.
        what: String,
        /// Name of the error, as `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// What it says.
        text: String,
    },
    /// The process that a scope is made with could not be made.
    #[error("make a process for the new scope: {0}")]
    Holder(io::Error),
    /// A process could not be killed.
    #[error("kill process {pid}: {source}")]
    Kill {
        /// The process.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The tasks did not reach the wished state in time.
    #[error("cgroup {path} did not become {state} within {seconds} s")]
    Timeout {
        /// Path below the hierarchies.
        path: String,
        /// What was waited for.
        state: &'static str,
        /// How long.
        seconds: u64,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::InvalidPath(_)
            | Error::InvalidLimit { .. }
            | Error::InvalidScope { .. }
            | Error::OnlyV2 { .. } => Kind::InvalidParameter,
            Error::Write { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                Kind::InvalidParameter
            }
            Error::NotEmpty { .. } | Error::Frozen { .. } => Kind::Conflict,
            Error::NotFound(_) => Kind::NotFound,
            Error::NoController { .. } => Kind::InvalidParameter,
            _ => Kind::System,
        }
    }
}
