//! What differs between a container and an exec.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use cgroups::Cgroup;

use super::Process;
use crate::protocol::{Failure, PortTarget, ResolvedUser};
use crate::pump::{Ends, Pump};

/// A created process with everything that came of it.
pub(crate) struct Ready {
    pub(crate) process: Process,
    pub(crate) ends: Ends,
    pub(crate) user: ResolvedUser,
    /// Its own group, to be emptied and removed at its end.
    pub(crate) cgroup: Option<Cgroup>,
    /// Its detached root file system.
    pub(crate) rootfs: Option<OwnedFd>,
    /// Sockets and targets of published ports.
    pub(crate) ports: Vec<(PortTarget, OwnedFd)>,
}

/// What differs between a container and an exec.
pub(crate) trait Job {
    /// Makes the process; on an error nothing is left.
    fn create(&mut self) -> Result<Ready, Failure>;
    /// What can wait until the daemon knows that the process exists: opens the log.
    fn complete(&mut self, pump: &mut Pump) -> Result<(), Failure>;
    /// The failure of `execve`, in Docker's words.
    fn start_failure(&self, error: &runtime::Error) -> Failure;
    /// After the process's end: frees what its maker keeps.
    fn end(&mut self) {}
    /// Whether attached clients shall read why it could not be started.
    fn tells_clients(&self) -> bool;
    /// The log's file and how many are kept, if rotated ones are to be compressed.
    fn compressed_log(&self) -> Option<(PathBuf, u32)>;
}

/// Names and places of a process.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) id: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) exit_file: PathBuf,
}
