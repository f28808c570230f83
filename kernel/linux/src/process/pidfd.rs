//! Process descriptors: signalling and waiting without races of numbers.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

use crate::{Errno, Result, check};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this code.
    Code(i32),
    /// This signal killed it; `core` tells whether memory was dumped.
    Signal {
        /// Number of the signal.
        signal: i32,
        /// Whether a core file was written.
        core: bool,
    },
}

impl Exit {
    /// The code a shell would show: the exit code, or 128 plus the signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal { signal, .. } => 128 + signal,
        }
    }

    fn from_status(status: &WaitIdStatus) -> Option<Self> {
        if let Some(code) = status.exit_status() {
            return Some(Self::Code(code));
        }
        status.terminating_signal().map(|signal| Self::Signal {
            signal,
            core: status.dumped(),
        })
    }
}

/// Opens a descriptor of a process; it polls readable when the process has ended.
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

/// Sends a signal by number, 0 to only ask whether the process is there. Real-time signals are fine.
///
/// # Errors
/// `ESRCH` when the process has ended, `EPERM`, `EINVAL` for a bad number.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: plain integers and a null siginfo.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Waits for a child to end and reaps it.
///
/// # Errors
/// `ECHILD` when it is not a child of this process.
pub fn wait(pidfd: impl AsFd) -> Result<Exit> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                if let Some(exit) = Exit::from_status(&status) {
                    return Ok(exit);
                }
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps one ended child, if there is one, without waiting.
///
/// # Errors
/// `ECHILD` when there are no children at all.
pub fn reap() -> Result<Option<(Pid, Exit)>> {
    loop {
        return match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(code) = status.exit_status() {
                    Ok(Some((pid, Exit::Code(code))))
                } else if let Some(signal) = status.terminating_signal() {
                    let core = status.as_raw() & 0x80 != 0;
                    Ok(Some((pid, Exit::Signal { signal, core })))
                } else {
                    continue;
                }
            }
            Ok(None) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error),
        };
    }
}
