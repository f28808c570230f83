//! Descriptors: sealed memory files, passing them over sockets, opening safely below a directory, waiting for many.
//!
//! Pipes, `eventfd` and `epoll` are rustix's ([`rustix::pipe`], [`rustix::event`]) and re-exported for convenience.

mod memfd;
mod open;
mod pass;
mod signals;

use std::os::fd::RawFd;

pub use memfd::{is_sealed, memfd_unsealed, seal, sealed_memfd};
pub use open::{ensure_directory_in_root, ensure_file_in_root, open_beneath, open_in_root};
pub use pass::{MAX_FDS, Received, receive, send};
pub use rustix::event::{EventfdFlags, epoll, eventfd};
pub use rustix::pipe::{PipeFlags, pipe_with};
pub use signals::{SignalFd, SignalInfo};

use crate::{Result, check};

const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// Marks every descriptor from `first` to `last`, both included, to be closed on exec. *Async-signal-safe.*
///
/// # Errors
/// `EINVAL` when `first` is after `last`.
pub fn close_on_exec(first: RawFd, last: RawFd) -> Result<()> {
    range(first as u32, last as u32, CLOSE_RANGE_CLOEXEC)
}

/// Marks every descriptor from `first` on to be closed on exec. *Async-signal-safe.*
///
/// # Errors
/// None are known on Linux 5.11 and later.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    range(first as u32, u32::MAX, CLOSE_RANGE_CLOEXEC)
}

fn range(first: u32, last: u32, flags: u32) -> Result<()> {
    // SAFETY: descriptors are only marked, not closed, so no owner is deceived.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Takes over descriptor number `fd`, which the program was started with, and marks it to be closed on exec.
///
/// # Errors
/// `EBADF` when it is not open.
pub fn inherited(fd: RawFd) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: plain integers.
    check(libc::c_long::from(unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC)
    }))?;
    // SAFETY: it is open (checked above); the caller's protocol says that it was handed to this program to own.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// Makes `source` also appear as number `target`, open across exec. *Async-signal-safe.*
///
/// # Errors
/// As `dup2(2)`.
pub fn duplicate_to(source: impl std::os::fd::AsFd, target: RawFd) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    let source = source.as_fd().as_raw_fd();
    if source == target {
        // SAFETY: plain integers; dup2 onto itself would leave the close-on-exec mark.
        return check(libc::c_long::from(unsafe {
            libc::fcntl(target, libc::F_SETFD, 0)
        }))
        .map(drop);
    }
    // SAFETY: plain integers; the caller owns the target number.
    check(libc::c_long::from(unsafe { libc::dup2(source, target) })).map(drop)
}
