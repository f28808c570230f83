//! Installing system call filters. Compiling them is the business of the crate `security`.

use std::os::fd::{FromRawFd, OwnedFd};

use crate::{Result, check};

/// One instruction of classic BPF, as `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// All threads get the filter.
pub const FLAG_TSYNC: u64 = 1;
/// Log every action but allow.
pub const FLAG_LOG: u64 = 2;
/// No speculation mitigation.
pub const FLAG_SPEC_ALLOW: u64 = 4;
/// Return a notification descriptor.
pub const FLAG_NEW_LISTENER: u64 = 8;
/// Only fatal signals interrupt a notified call.
pub const FLAG_WAIT_KILLABLE_RECV: u64 = 32;

/// Installs a filter on the calling thread; with [`FLAG_NEW_LISTENER`] the notification descriptor comes back, closed on
/// exec. *Async-signal-safe.*
///
/// # Errors
/// `EACCES` without CAP_SYS_ADMIN or no_new_privs, `EINVAL` for a bad program or flag.
pub fn install(program: &[Instruction], flags: u64) -> Result<Option<OwnedFd>> {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const Instruction,
    }
    const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
    let raw = Program {
        length: u16::try_from(program.len()).map_err(|_| crate::Errno::INVAL)?,
        filter: program.as_ptr(),
    };
    // SAFETY: `raw` has the layout of `struct sock_fprog`, and its instructions outlive the call.
    let result =
        check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const raw) })?;
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the kernel returns a descriptor made for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as i32) }))
}

/// Whether the kernel knows an action (`SECCOMP_RET_*`).
#[must_use]
pub fn action_available(action: u32) -> bool {
    const SECCOMP_GET_ACTION_AVAIL: libc::c_long = 2;
    // SAFETY: the kernel reads one u32.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) }).is_ok()
}
