//! The process that a scope is made with.

use std::os::fd::OwnedFd;

use linux::process::{CloneArgs, Cloned, clone3};

use crate::{Error, Result};

/// A copy of this process that does nothing. It ends when the value is dropped, and with this process.
#[derive(Debug)]
pub(crate) struct Holder {
    pid: i32,
    pidfd: OwnedFd,
}

impl Holder {
    /// Makes one. The caller must have one thread.
    pub(crate) fn new() -> Result<Holder> {
        match clone3(&CloneArgs::default()).map_err(|errno| Error::Holder(errno.into()))? {
            Cloned::Child => {
                let _ = linux::process::set_parent_death_signal(9);
                loop {
                    let _ = rustix::event::poll(&mut [], None);
                }
            }
            Cloned::Parent { pid, pidfd } => Ok(Holder {
                pid: pid.as_raw_pid(),
                pidfd,
            }),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = linux::process::send_signal(&self.pidfd, 9);
        let _ = linux::process::wait(&self.pidfd);
    }
}
