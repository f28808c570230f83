//! The process that is supervised, whoever has made it.

use std::os::fd::OwnedFd;

use linux::process::Exit;
use runtime::Created;
use rustix::process::Pid;

use super::Job;
use crate::SIGKILL;
use crate::other_runtime::{Driver, Made};
use crate::protocol::Failure;

/// A process, not started yet or running.
pub(crate) enum Process {
    /// Of the built-in runtime.
    BuiltIn(Box<Created>),
    /// Of another one; with the driver, the process waits to be started through it.
    Other(Made, Option<Driver>),
}

impl Process {
    pub(crate) fn pid(&self) -> Pid {
        match self {
            Self::BuiltIn(created) => created.pid,
            Self::Other(made, _) => made.pid,
        }
    }

    pub(crate) fn pidfd(&self) -> &OwnedFd {
        match self {
            Self::BuiltIn(created) => &created.pidfd,
            Self::Other(made, _) => &made.pidfd,
        }
    }

    /// Other runtimes know no exec that waits. Its streams are left alone until whoever asked for it is attached.
    pub(crate) fn runs_already(&self) -> bool {
        matches!(self, Self::Other(_, None))
    }

    /// Lets it execute. When that fails it has ended and is reaped.
    pub(crate) fn start(&mut self, job: &impl Job) -> Result<(), Failure> {
        match self {
            Self::BuiltIn(created) => created.start().map_err(|error| job.start_failure(&error)),
            Self::Other(made, driver) => {
                let Some(driver) = driver.take() else {
                    return Ok(());
                };
                driver.start().inspect_err(|_| {
                    let _ = linux::process::send_signal(&made.pidfd, SIGKILL);
                    let _ = linux::process::wait(&made.pidfd);
                })
            }
        }
    }

    /// Waits for its end and reaps it.
    pub(crate) fn wait(&self) -> linux::Result<Exit> {
        linux::process::wait(self.pidfd())
    }
}
