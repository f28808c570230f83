//! What a face was started with: its plan, its control socket, its files. The other side of [`crate::spawn()`].

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;

use crate::channel::Channel;
use crate::plan::Fd;
use crate::spawn::{CONTROL_FD, FIRST_FD, PLAN_FD};

/// The face was not started as [`crate::spawn()`] does it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InheritError {
    /// A file that should be inherited is not open.
    #[error("descriptor {number} is not open: {source}")]
    Missing {
        /// Its number.
        number: i32,
        /// What the kernel said.
        source: linux::Errno,
    },
    /// The plan cannot be read.
    #[error("read the plan: {0}")]
    Read(std::io::Error),
    /// The filter is cut off.
    #[error("the system call filter is damaged")]
    Filter,
    /// The plan makes no sense.
    #[error("malformed plan: {0}")]
    Malformed(serde_json::Error),
}

/// The control socket of this face.
pub(crate) fn control() -> Result<Channel, InheritError> {
    take(CONTROL_FD).map(Channel::from_socket)
}

/// The plan of this face.
pub(crate) fn plan<P: DeserializeOwned>() -> Result<P, InheritError> {
    let mut text = Vec::new();
    let mut file = File::from(take(PLAN_FD)?);
    file.read_to_end(&mut text).map_err(InheritError::Read)?;
    serde_json::from_slice(&text).map_err(InheritError::Malformed)
}

/// An inherited file of the plan; each can be taken once.
pub(crate) fn file(fd: Fd) -> Result<OwnedFd, InheritError> {
    take(FIRST_FD + fd.0 as i32)
}

/// A compiled system call filter. The file may be shared with other processes: its position is not touched.
pub(crate) fn filter(fd: Fd) -> Result<security::seccomp::Program, InheritError> {
    let file = file(fd)?;
    let size = rustix::fs::fstat(&file).map_or(0, |stat| stat.st_size.unsigned_abs());
    // The kernel takes 4096 instructions.
    let mut bytes = vec![0; size.min(64 << 10) as usize];
    let read =
        rustix::io::pread(&file, &mut bytes[..], 0).map_err(|errno| InheritError::Read(errno.into()))?;
    security::seccomp::Program::from_bytes(&bytes[..read]).ok_or(InheritError::Filter)
}

fn take(number: i32) -> Result<OwnedFd, InheritError> {
    linux::fd::inherited(number).map_err(|source| InheritError::Missing { number, source })
}
