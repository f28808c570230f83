//! How the daemon, or another face, starts a face of `dhow-runtime`.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fault::{Fault, Kind};
use linux::process::{Program, Spawn};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::channel::{Channel, ChannelError};
use crate::plan::{ExecPlan, FilesPlan, Plan};

/// Descriptor number of the control socket in a spawned face.
pub const CONTROL_FD: i32 = 3;
/// Descriptor number of the sealed memfd with the plan.
pub const PLAN_FD: i32 = 4;
/// Descriptor number of the first inherited file ([`crate::plan::Fd`] 0).
pub const FIRST_FD: i32 = 5;

/// A started face.
#[derive(Debug)]
pub struct Spawned {
    /// The process on the host.
    pub pid: i32,
    /// Readable when the process has ended; it must be waited for by whoever has started it (it is its child).
    pub pidfd: OwnedFd,
    /// The control connection; blocking.
    pub control: Channel,
}

/// A face cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The plan cannot be handed over.
    #[error("hand the plan to {face}: {source}")]
    Plan {
        /// Which face.
        face: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The control socket cannot be made.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The process cannot be started.
    #[error("start {face}: {source}")]
    Process {
        /// Which face.
        face: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Fault for SpawnError {
    fn kind(&self) -> Kind {
        Kind::System
    }
}

/// Starts the monitor of a container. `runtime` is the sealed `dhow-runtime`; `fds` are what the plan's [`crate::plan::Fd`]s
/// index. Works from a multi-threaded process; the monitor has a session of its own and outlives the daemon.
///
/// # Errors
/// [`SpawnError`]; nothing is left behind.
pub fn spawn(runtime: BorrowedFd<'_>, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Spawned, SpawnError> {
    spawn_face(runtime, "monitor", plan, fds)
}

/// Starts an exec in a running container.
///
/// # Errors
/// [`SpawnError`].
pub fn spawn_exec(
    runtime: BorrowedFd<'_>,
    plan: &ExecPlan,
    fds: &[BorrowedFd<'_>],
) -> Result<Spawned, SpawnError> {
    spawn_face(runtime, "exec", plan, fds)
}

/// Starts a file operation; its control socket speaks [`crate::protocol::FilesReport`].
///
/// # Errors
/// [`SpawnError`].
pub fn spawn_files(
    runtime: BorrowedFd<'_>,
    plan: &FilesPlan,
    fds: &[BorrowedFd<'_>],
) -> Result<Spawned, SpawnError> {
    spawn_face(runtime, "files", plan, fds)
}

/// Starts the process that writes a log of the mode `non-blocking`; its control socket carries batches of lines.
pub(crate) fn spawn_log_writer(
    runtime: BorrowedFd<'_>,
    config: &log_drivers::Config,
) -> Result<Spawned, SpawnError> {
    spawn_face(runtime, "write-log", config, &[])
}

fn spawn_face<P: Serialize>(
    runtime: BorrowedFd<'_>,
    face: &'static str,
    plan: &P,
    fds: &[BorrowedFd<'_>],
) -> Result<Spawned, SpawnError> {
    let handing = |source: std::io::Error| SpawnError::Plan { face, source };
    let starting = |errno: linux::Errno| SpawnError::Process {
        face,
        source: errno.into(),
    };
    let text = serde_json::to_vec(plan).map_err(|error| handing(error.into()))?;
    let plan = linux::fd::sealed_memfd(c"plan", &text, false).map_err(|errno| handing(errno.into()))?;
    let (ours, theirs) = Channel::pair()?;
    let null =
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(starting)?;
    let arguments = [c"dhow-runtime".to_owned(), CString::new(face).unwrap_or_default()];
    let mut spawn = Spawn::new(Program::Fd(runtime), arguments.into())
        .new_session()
        .directory(c"/")
        .fd(theirs.as_fd(), CONTROL_FD)
        .fd(plan.as_fd(), PLAN_FD);
    // The daemon's own streams must not be held open for as long as a container runs.
    for number in 0..3 {
        spawn = spawn.fd(null.as_fd(), number);
    }
    for (number, fd) in (FIRST_FD..).zip(fds) {
        spawn = spawn.fd(*fd, number);
    }
    let child = spawn.start().map_err(starting)?;
    Ok(Spawned {
        pid: child.pid.as_raw_pid(),
        pidfd: child.pidfd,
        control: ours,
    })
}
