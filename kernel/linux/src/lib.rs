//! The one crate with `unsafe`: processes, namespaces, mounts, descriptors and terminals.
//!
//! Everything here is a thin, safe shape around one or a few system calls; policy lives above. Functions return
//! [`Result`], whose error is a bare [`Errno`]: the caller knows the path or the id that was tried and names it.
//! Functions marked *async-signal-safe* neither allocate nor lock, so that the child of [`process::clone3`] may call
//! them. Where rustix has the call, callers may use rustix directly; what it lacks, or what is dangerous without a rule
//! (`clone3`, `setns`, `unshare`), is here. Start at [`process`] and [`fd`].

// Tests say on stderr that they were skipped.
#![cfg_attr(test, allow(clippy::print_stderr))]

pub mod bpf;
pub mod btrfs;
pub mod caps;
pub mod fd;
pub mod fs;
pub mod landlock;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod process;
pub mod rlimit;
pub mod seccomp;
pub mod signal;

pub mod tty;
pub mod uts;

pub use rustix::io::{Errno, Result};

/// Turns the return value of a raw system call into a result.
pub(crate) fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value < 0 { Err(last_errno()) } else { Ok(value) }
}

/// The error number that the C library recorded last on this thread.
pub(crate) fn last_errno() -> Errno {
    // SAFETY: glibc's errno location is always valid for the calling thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
