//! Landlock: a process giving up access to files of its own accord (`landlock(7)`).

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::{Result, check};

/// The version of the kernel's Landlock interface.
///
/// # Errors
/// `ENOSYS` or `EOPNOTSUPP` when it is not there or not enabled.
pub fn version() -> Result<u32> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes a null pointer and size 0.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            VERSION,
        )
    })
    .map(|version| version as u32)
}

/// Makes a ruleset that governs these `LANDLOCK_ACCESS_FS_*` rights.
///
/// # Errors
/// `EINVAL` for rights that the kernel does not know.
pub fn create_ruleset(handled: u64) -> Result<OwnedFd> {
    // SAFETY: the kernel reads the first field of `struct landlock_ruleset_attr`.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const handled,
            size_of::<u64>(),
            0,
        )
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Allows rights on everything below `directory` (an `O_PATH` descriptor will do).
///
/// # Errors
/// `EINVAL` for rights that the ruleset does not govern.
pub fn allow_beneath(ruleset: impl AsFd, directory: impl AsFd, rights: u64) -> Result<()> {
    #[repr(C, packed)]
    struct PathBeneath {
        rights: u64,
        parent: i32,
    }
    const LANDLOCK_RULE_PATH_BENEATH: libc::c_long = 1;
    let rule = PathBeneath {
        rights,
        parent: directory.as_fd().as_raw_fd(),
    };
    // SAFETY: the structure has the packed layout of `struct landlock_path_beneath_attr`.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_fd().as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0,
        )
    })
    .map(drop)
}

/// Binds the calling thread and its children to the ruleset. *Async-signal-safe.*
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN or no_new_privs.
pub fn restrict_self(ruleset: impl AsFd) -> Result<()> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0) })
        .map(drop)
}
