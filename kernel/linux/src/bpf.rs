//! BPF programs on cgroups (`bpf(2)`): loading, attaching, querying and detaching device filters.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Result, check};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// One instruction of extended BPF, as `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low, source register in the high half.
    pub registers: u8,
    /// Offset.
    pub offset: i16,
    /// Immediate operand.
    pub immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    pad: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> Result<i32> {
    // SAFETY: every caller passes a prefix of `union bpf_attr` for its command with pointers that outlive the call; the
    // kernel takes missing trailing fields as zero.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    })
    .map(|value| value as i32)
}

/// Loads a device filter.
///
/// # Errors
/// `EPERM`, `EINVAL` or `EACCES` when the verifier refuses the program.
pub fn load_device_filter(program: &[Instruction]) -> Result<OwnedFd> {
    let mut attributes = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        name: *b"dhow_devices\0\0\0\0",
        ..Load::default()
    };
    let fd = bpf(BPF_PROG_LOAD, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device filter to a cgroup directory, in place of `old` if one is given, beside others otherwise.
///
/// # Errors
/// `EPERM`, `EINVAL`.
pub fn attach_device_filter(
    cgroup: impl AsFd,
    program: impl AsFd,
    old: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attributes = Attach {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
        replace: 0,
    };
    if let Some(old) = old {
        attributes.flags |= BPF_F_REPLACE;
        attributes.replace = old.as_raw_fd() as u32;
    }
    bpf(BPF_PROG_ATTACH, &mut attributes).map(drop)
}

/// Detaches a device filter.
///
/// # Errors
/// `ENOENT` when it is not attached.
pub fn detach_device_filter(cgroup: impl AsFd, program: impl AsFd) -> Result<()> {
    let mut attributes = Attach {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        ..Attach::default()
    };
    bpf(BPF_PROG_DETACH, &mut attributes).map(drop)
}

/// The device filters attached to a cgroup, at most 64.
///
/// # Errors
/// `EPERM`.
pub fn device_filters(cgroup: impl AsFd) -> Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; 64];
    let mut query = Query {
        target: cgroup.as_fd().as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..Query::default()
    };
    bpf(BPF_PROG_QUERY, &mut query)?;
    ids[..(query.count as usize).min(ids.len())]
        .iter()
        .map(|&id| program_by_id(id))
        .collect()
}

fn program_by_id(id: u32) -> Result<OwnedFd> {
    #[repr(C)]
    struct ById {
        id: u32,
        next: u32,
        flags: u32,
    }
    let fd = bpf(
        BPF_PROG_GET_FD_BY_ID,
        &mut ById {
            id,
            next: 0,
            flags: 0,
        },
    )?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
