//! Why a container or a process in one could not be made.

use fault::{Fault, Kind};
use linux::Errno;

use crate::CompileError;

/// Why [`crate::create`], [`crate::Created::start`] or [`crate::exec`] failed.
///
/// The texts are those that runc gives behind "unable to start container process: error during container init: ";
/// [`Error::docker_text`] puts that and what comes before it in front, as clients of Docker's API expect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec cannot be obeyed.
    #[error("{0}")]
    Spec(#[from] CompileError),
    /// The program to execute cannot be executed.
    #[error("{0}")]
    Exec(#[from] ExecFailure),
    /// A step of the init failed.
    #[error("{step}: {}", errno_text(*.errno))]
    Step {
        /// What was tried, with its path or value.
        step: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// Something failed in the parent.
    #[error("{what}: {}", errno_text(*.errno))]
    Parent {
        /// What was tried.
        what: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// A network device could not be moved.
    #[error("linux.netDevices: {name}: {reason}")]
    NetDevice {
        /// Its name where it was.
        name: String,
        /// What the kernel said.
        reason: String,
    },
    /// `newuidmap` or `newgidmap` would not help.
    #[error("{helper}: {reason}")]
    IdMapHelper {
        /// Which.
        helper: String,
        /// What it said.
        reason: String,
    },
    /// The class of cache and memory bandwidth could not be used.
    #[error("{0}")]
    Resctrl(#[from] crate::resctrl::Error),
    /// The cgroup could not be used.
    #[error("{0}")]
    Cgroup(#[from] cgroups::Error),
    /// A hook failed.
    #[error("error running {kind} hook #{index}: {reason}")]
    Hook {
        /// Its kind, as in the spec.
        kind: &'static str,
        /// Its place in the list.
        index: usize,
        /// Exit status, signal, timeout or error.
        reason: String,
    },
    /// The init ended before it executed anything.
    #[error("container init ended unexpectedly: {0}")]
    Died(String),
}

/// Why a program cannot be executed, told apart because shells and Docker give different exit codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecFailure {
    /// A bare name that no directory of PATH has: exit code 127.
    #[error("exec: \"{0}\": executable file not found in $PATH")]
    NotInPath(String),
    /// A path that does not exist: exit code 127.
    #[error("exec: \"{0}\": stat {0}: no such file or directory")]
    NotFound(String),
    /// A file that may not be executed: exit code 126.
    #[error("exec: \"{0}\": permission denied")]
    PermissionDenied(String),
    /// A directory: exit code 126.
    /// Clients know this code by the words for EACCES, which is what execve(2) says of one.
    #[error("exec: \"{0}\": is a directory: permission denied")]
    IsDirectory(String),
    /// Found, but `execve` failed: no format the kernel knows, a missing interpreter, ...
    #[error("exec {path}: {}", errno_text(*.errno))]
    Failed {
        /// The file.
        path: String,
        /// What the kernel said.
        errno: Errno,
    },
}

impl ExecFailure {
    /// The exit code that Docker and shells give: 127 not found, 126 not executable.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotInPath(_) | Self::NotFound(_) => 127,
            Self::Failed { errno, .. } if *errno == Errno::NOENT => 127,
            Self::PermissionDenied(_) | Self::IsDirectory(_) | Self::Failed { .. } => 126,
        }
    }
}

impl Error {
    /// The exit code that Docker records for a container that failed so: 127, 126, or 128 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Exec(failure) => failure.exit_code(),
            Self::Step { errno, .. } if *errno == Errno::NOTDIR || *errno == Errno::ACCESS => 126,
            Self::Step { errno, .. } if *errno == Errno::NOENT => 127,
            _ => 128,
        }
    }

    /// The whole text that dockerd would give for a failed start.
    #[must_use]
    pub fn docker_text(&self) -> String {
        let process = "OCI runtime create failed: runc create failed: unable to start container process";
        let prefix = "failed to create task for container: failed to create shim task";
        let hint = match self {
            Self::Step { step, errno } if *errno == Errno::NOTDIR && step.starts_with("error mounting") => {
                ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path \
                 exists and is the expected type"
            }
            _ => "",
        };
        format!("{prefix}: {process}: error during container init: {self}: unknown{hint}")
    }

    /// The whole text that dockerd would give for a failed exec.
    #[must_use]
    pub fn docker_exec_text(&self) -> String {
        format!("OCI runtime exec failed: exec failed: unable to start container process: {self}: unknown")
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Spec(_) | Self::Exec(_) => Kind::InvalidParameter,
            Self::Cgroup(error) => error.kind(),
            _ => Kind::System,
        }
    }
}

/// The text of an error number as Go programs print it: `no such file or directory`.
#[must_use]
pub fn errno_text(errno: Errno) -> String {
    let mut text = std::io::Error::from(errno).to_string();
    if let Some(end) = text.rfind(" (os error") {
        text.truncate(end);
    }
    // "Is a directory" becomes lower case, "RPC struct is bad" stays.
    let second_is_lower = text
        .chars()
        .nth(1)
        .is_some_and(|c| c.is_ascii_lowercase() || c == ' ');
    if let Some(first) = text.get_mut(0..1).filter(|_| second_is_lower) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_of_docker_look_for() {
        let missing = Error::Exec(ExecFailure::NotInPath("foo".into()));
        assert_eq!(
            missing.docker_text(),
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create \
             failed: unable to start container process: error during container init: exec: \"foo\": executable file not \
             found in $PATH: unknown"
        );
        assert_eq!(missing.exit_code(), 127);
        assert_eq!(
            Error::Exec(ExecFailure::IsDirectory("/etc".into())).exit_code(),
            126
        );
        assert_eq!(errno_text(Errno::NOENT), "no such file or directory");
        assert_eq!(errno_text(Errno::NOEXEC), "exec format error");
    }
}
