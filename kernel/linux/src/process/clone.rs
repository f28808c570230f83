//! `clone3(2)` as a fork into new namespaces, for single-threaded programs only.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

use crate::{Errno, Result, check};

/// Larger than the C library's `int` flags.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What [`clone3`] shall do.
#[derive(Debug, Default)]
pub struct CloneArgs<'a> {
    /// Namespaces to create; see `linux::namespace::Flags`.
    pub namespaces: crate::namespace::Flags,
    /// Directory of the version 2 cgroup that the child starts in (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Makes the child a sibling: its parent is the caller's parent (`CLONE_PARENT`).
    pub sibling: bool,
}

/// On which side of the clone the caller finds itself.
#[derive(Debug)]
pub enum Cloned {
    /// The new process. It has a copy of the memory and must end in `execve` or `exit_now`.
    Child,
    /// The old process.
    Parent {
        /// The child's id in the caller's pid namespace.
        pid: Pid,
        /// A descriptor of the child, closed on exec.
        pidfd: OwnedFd,
    },
}

/// Number of threads of this process, from the link count of `/proc/self/task`.
///
/// # Errors
/// When `/proc` is not there.
pub fn thread_count() -> Result<u64> {
    let stat = rustix::fs::stat(c"/proc/self/task")?;
    // One link per thread, and the two that every directory has.
    Ok(stat.st_nlink.saturating_sub(2))
}

/// Forks into new namespaces. The signal sent at the child's end is SIGCHLD.
///
/// # Errors
/// `EDEADLK` when this process has more than one thread: the child would have a copy of locks held by threads that do
/// not exist in it. Otherwise what `clone3(2)` says.
pub fn clone3(args: &CloneArgs<'_>) -> Result<Cloned> {
    if thread_count()? != 1 {
        return Err(Errno::DEADLK);
    }
    let mut pidfd: libc::c_int = -1;
    let mut flags = args.namespaces.bits() as u64 | libc::CLONE_PIDFD as u64;
    let mut raw = libc::clone_args {
        flags: 0,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(dir) = args.cgroup {
        flags |= CLONE_INTO_CGROUP;
        raw.cgroup = dir.as_raw_fd() as u64;
    }
    if args.sibling {
        // With CLONE_PARENT the exit signal is inherited and must be zero here (clone(2)).
        flags |= libc::CLONE_PARENT as u64;
        raw.exit_signal = 0;
    }
    raw.flags = flags;
    // SAFETY: no CLONE_VM, so the child has its own copy of memory, stack and thread-local storage; there is one thread,
    // so no lock can be held by somebody who is missing in the child. `raw` and `pidfd` live through the call.
    let mut result =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut raw, size_of::<libc::clone_args>()) });
    if matches!(result, Err(Errno::NOSYS)) && args.cgroup.is_none() && !args.sibling {
        // Docker's seccomp profile answers so inside a container, because a filter cannot look into clone3's arguments.
        let flags = flags | libc::SIGCHLD as u64;
        // SAFETY: as above; clone(2) writes the pidfd where the third argument points, and the others are unused.
        result = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0u64, &raw mut pidfd, 0u64, 0u64) });
    }
    let result = result?;
    match Pid::from_raw(result as i32) {
        None => Ok(Cloned::Child),
        Some(pid) => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}
