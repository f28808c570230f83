//! Attributes of the calling process. All functions are *async-signal-safe*.

use crate::{Result, check};

fn prctl(option: i32, argument: libc::c_ulong) -> Result<()> {
    // SAFETY: the options used here take plain integers.
    check(libc::c_long::from(unsafe {
        libc::prctl(option, argument, 0, 0, 0)
    }))
    .map(drop)
}

/// The signal that this process gets when its parent *thread* ends; 0 for none.
///
/// # Errors
/// `EINVAL` for a bad number.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong)
}

/// Makes orphans below this process become its children.
///
/// # Errors
/// None are known.
pub fn set_child_subreaper(on: bool) -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, on.into())
}

/// Whether `/proc/<pid>` belongs to the process's user and may be traced and looked into.
///
/// # Errors
/// None are known.
pub fn set_dumpable(on: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, on.into())
}

/// Whether permitted capabilities survive the change from uid 0 to another.
///
/// # Errors
/// `EPERM` when the securebits lock it.
pub fn set_keep_capabilities(on: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, on.into())
}

/// No execve may give privileges from now on.
///
/// # Errors
/// None are known.
pub fn set_no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Sets the execution domain, `personality(2)`.
///
/// # Errors
/// `EINVAL`.
pub fn personality(persona: u32) -> Result<()> {
    // SAFETY: a plain integer.
    check(libc::c_long::from(unsafe { libc::personality(persona.into()) })).map(drop)
}

/// Joins a new session keyring, so that the keys of the caller's session are out of reach.
///
/// # Errors
/// `ENOSYS` without kernel keys, `EDQUOT` when the user has too many, `EPERM`.
pub fn new_session_keyring(name: &std::ffi::CStr) -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the name is a C string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

/// Sets the I/O class (1 real-time, 2 best effort, 3 idle) and priority (0 to 7) of the process.
///
/// # Errors
/// `EPERM` for the real-time class without the capability.
pub fn set_io_priority(class: u8, priority: u8) -> Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    let value = (libc::c_long::from(class) << 13) | libc::c_long::from(priority);
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) }).map(drop)
}

/// Arguments of `sched_setattr(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value of the normal policies.
    pub nice: i32,
    /// Priority of the real-time policies.
    pub priority: u32,
    /// Nanoseconds, deadline policy.
    pub runtime: u64,
    /// Nanoseconds, deadline policy.
    pub deadline: u64,
    /// Nanoseconds, deadline policy.
    pub period: u64,
}

/// Sets the scheduling policy of the process.
///
/// # Errors
/// `EPERM`, `EINVAL`.
pub fn set_scheduler(scheduler: &Scheduler) -> Result<()> {
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the structure has the layout and size of the kernel's `struct sched_attr` version 0.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// Sets the NUMA policy: mode with flags, and the nodes as a bit mask of `bits` bits.
///
/// # Errors
/// `EINVAL`, `ENOSYS` on kernels without NUMA.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<()> {
    let bits = nodes.len() * 64;
    let pointer = if nodes.is_empty() {
        std::ptr::null()
    } else {
        nodes.as_ptr()
    };
    // The kernel reads one bit less than it is told (set_mempolicy(2), "maxnode").
    let count = if bits == 0 { 0 } else { bits + 1 };
    // SAFETY: the kernel reads `bits` bits from the slice.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, count) }).map(drop)
}

/// Sets every signal to its default and unblocks all: what a program expects that is executed next.
pub fn clear_child_signals() {
    // SAFETY: `sigaction` and `sigprocmask` with initialised structures; SIGKILL and SIGSTOP fail harmlessly.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}
