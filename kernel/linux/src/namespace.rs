//! Namespaces: creating and joining them without disturbing the threads of a pool.
//!
//! `setns` and `unshare` change the calling *thread*. A thread of a pool that did so would run other people's work in
//! the wrong place, so multi-threaded programs use [`on_new_thread`], whose thread dies afterwards; [`join`] and
//! [`unshare`] refuse to work in a process with more than one thread.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::process::thread_count;
use crate::{Errno, Result, check};

/// A set of kinds of namespaces; the bits are the kernel's `CLONE_NEW*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// Mounts.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u32);
    /// Process ids.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u32);
    /// Network.
    pub const NETWORK: Self = Self(libc::CLONE_NEWNET as u32);
    /// Host name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u32);
    /// System V IPC and POSIX queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u32);
    /// User ids.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u32);
    /// View of the cgroup tree.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u32);
    /// Clock offsets.
    pub const TIME: Self = Self(0x80);

    /// The empty set.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Joins a namespace by its file, or by a pidfd all those namespaces of a process that `flags` names (since Linux 5.8).
/// For single-threaded programs. *Async-signal-safe.*
///
/// # Errors
/// `EDEADLK` when this process has more than one thread, otherwise as `setns(2)`.
pub fn join(fd: impl AsFd, flags: Flags) -> Result<()> {
    refuse_threads()?;
    setns(fd.as_fd(), flags)
}

/// Like [`join`], for the child of a clone where `/proc` may be another or no process file system: the caller vouches
/// for being the only thread. *Async-signal-safe.*
///
/// # Errors
/// As `setns(2)`.
pub fn join_in_child(fd: BorrowedFd<'_>, flags: Flags) -> Result<()> {
    setns(fd, flags)
}

/// Moves this process into new namespaces. For single-threaded programs.
///
/// # Errors
/// `EDEADLK` when this process has more than one thread, otherwise as `unshare(2)`.
pub fn unshare(flags: Flags) -> Result<()> {
    refuse_threads()?;
    unshare_in_child(flags)
}

/// Like [`unshare`], for the child of a clone; see [`join_in_child`]. *Async-signal-safe.*
///
/// # Errors
/// As `unshare(2)`.
pub fn unshare_in_child(flags: Flags) -> Result<()> {
    // SAFETY: descriptors and address space are not unshared, only namespaces.
    check(libc::c_long::from(unsafe { libc::unshare(flags.bits() as i32) })).map(drop)
}

/// Runs `f` on a new thread that has joined the given namespaces (each with its kind; by pidfd, several at once); the
/// thread ends afterwards. Works from multi-threaded programs, except for mount and user namespaces, which the kernel
/// lets only single-threaded processes (user) or threads with their own root and directory (mount) join: the latter is
/// taken care of here.
///
/// # Errors
/// Of `setns(2)`, or `EAGAIN` when no thread can be had.
pub fn on_new_thread<T: Send>(
    namespaces: &[(BorrowedFd<'_>, Flags)],
    f: impl FnOnce() -> T + Send,
) -> Result<T> {
    in_fresh_thread(|| {
        for (fd, flags) in namespaces {
            if flags.contains(Flags::MOUNT) {
                unshare_fs()?;
            }
            setns(*fd, *flags)?;
        }
        Ok(f())
    })
}

/// Runs `f` on a new thread that has unshared the given namespaces; the thread ends afterwards.
///
/// # Errors
/// Of `unshare(2)`, or `EAGAIN` when no thread can be had.
pub fn on_unshared_thread<T: Send>(flags: Flags, f: impl FnOnce() -> T + Send) -> Result<T> {
    in_fresh_thread(|| {
        unshare_in_child(flags)?;
        Ok(f())
    })
}

/// Runs `f` where it may change the working directory: here in a process with one thread, else on a new thread with a
/// working directory of its own.
///
/// # Errors
/// Of `unshare(2)`, or `EAGAIN` when no thread can be had.
pub fn with_own_directory<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    if thread_count()? == 1 {
        return Ok(f());
    }
    in_fresh_thread(|| {
        unshare_fs()?;
        Ok(f())
    })
}

/// Makes a network namespace and returns its only descriptor: it ends when that is closed and nobody else is inside.
///
/// # Errors
/// Of `unshare(2)`: `EPERM`, `ENOSPC` at the limit of namespaces.
pub fn new_network() -> Result<OwnedFd> {
    on_unshared_thread(Flags::NETWORK, || open_own(c"net"))?
}

/// Opens a namespace of the calling thread, by its name in `/proc/thread-self/ns`.
///
/// # Errors
/// `ENOENT` for kinds that the kernel does not have.
pub fn open_own(name: &std::ffi::CStr) -> Result<OwnedFd> {
    let directory = rustix::fs::open(
        c"/proc/thread-self/ns",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// The kind of namespace that an open file stands for (`NS_GET_NSTYPE`).
///
/// # Errors
/// `ENOTTY` when the file is not a namespace.
pub fn kind_of(fd: impl AsFd) -> Result<Flags> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this request takes no argument.
    let bits = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    check(libc::c_long::from(bits)).map(|bits| Flags(bits as u32))
}

fn in_fresh_thread<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn_scoped(scope, f);
        match thread
            .map_err(|e| e.raw_os_error().map_or(Errno::AGAIN, Errno::from_raw_os_error))?
            .join()
        {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn refuse_threads() -> Result<()> {
    if thread_count()? == 1 {
        Ok(())
    } else {
        Err(Errno::DEADLK)
    }
}

fn unshare_fs() -> Result<()> {
    // SAFETY: gives this thread its own root and current directory, nothing more.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_FS) })).map(drop)
}

fn setns(fd: BorrowedFd<'_>, flags: Flags) -> Result<()> {
    // SAFETY: plain integers; which threads may do this is the callers' rule above.
    check(libc::c_long::from(unsafe {
        libc::setns(fd.as_raw_fd(), flags.bits() as i32)
    }))
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_is_refused_in_a_process_with_threads() {
        // The test harness itself has several.
        let own = open_own(c"uts").expect("own");
        let second = std::thread::spawn(move || join(own, Flags::UTS));
        assert_eq!(second.join().expect("thread"), Err(Errno::DEADLK));
    }

    #[test]
    fn a_new_network_is_not_the_old_one() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let new = new_network().expect("netns");
        let own = open_own(c"net").expect("own");
        let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).expect("stat").st_ino;
        assert_ne!(inode(new.as_fd()), inode(own.as_fd()));
        assert_eq!(kind_of(&new), Ok(Flags::NETWORK));
        let seen = on_new_thread(&[(new.as_fd(), Flags::NETWORK)], || {
            inode(open_own(c"net").expect("own").as_fd())
        });
        assert_eq!(seen, Ok(inode(new.as_fd())));
    }
}
