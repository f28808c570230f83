//! Subvolumes, snapshots and quota groups of btrfs (`include/uapi/linux/btrfs.h`, btrfs-subvolume(8), btrfs-qgroup(8)).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};

use crate::{Errno, Result, check};

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolumeArguments {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_quota_ctl_args`.
#[repr(C)]
struct QuotaArguments {
    command: u64,
    status: u64,
}

/// `struct btrfs_ioctl_qgroup_limit_args`.
#[repr(C)]
#[derive(Default)]
struct LimitArguments {
    /// 0 is the subvolume that the descriptor is in.
    group: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved_referenced: u64,
    reserved_exclusive: u64,
}

const MAGIC: u32 = 0x94;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// `_IOC` of ioctl.h.
const fn code(direction: u32, number: u32, size: usize) -> libc::c_ulong {
    (direction << 30 | (size as u32) << 16 | MAGIC << 8 | number) as libc::c_ulong
}

const SNAP_CREATE: libc::c_ulong = code(WRITE, 1, size_of::<VolumeArguments>());
const SUBVOL_CREATE: libc::c_ulong = code(WRITE, 14, size_of::<VolumeArguments>());
const SNAP_DESTROY: libc::c_ulong = code(WRITE, 15, size_of::<VolumeArguments>());
const QUOTA_CTL: libc::c_ulong = code(READ | WRITE, 40, size_of::<QuotaArguments>());
const QGROUP_LIMIT: libc::c_ulong = code(READ, 43, size_of::<LimitArguments>());

/// The inode of a subvolume's root (`BTRFS_FIRST_FREE_OBJECTID`).
const ROOT_INODE: u64 = 256;

/// Makes the empty subvolume `name` in `parent`.
///
/// # Errors
/// `ENOTTY` where `parent` is not on btrfs, `EEXIST`, and what the kernel says.
pub fn create_subvolume(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    on_name(parent, SUBVOL_CREATE, 0, name)
}

/// Makes `name` in `parent` a writable snapshot of the subvolume whose root is `source`.
///
/// # Errors
/// `EINVAL` where `source` is no subvolume, and those of [`create_subvolume`].
pub fn snapshot(source: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    on_name(parent, SNAP_CREATE, i64::from(source.as_raw_fd()), name)
}

/// Deletes the subvolume `name` in `parent` with all that is in it, at once; the kernel frees the room later.
///
/// # Errors
/// `ENOTEMPTY` while it has subvolumes in it, `EINVAL` or `ENOTTY` where it is none.
pub fn delete_subvolume(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    on_name(parent, SNAP_DESTROY, 0, name)
}

/// Whether the directory is the root of a subvolume.
///
/// # Errors
/// What the kernel says.
pub fn is_subvolume(directory: BorrowedFd<'_>) -> Result<bool> {
    Ok(rustix::fs::fstat(directory)?.st_ino == ROOT_INODE)
}

/// Lets the file system count how much each subvolume takes; counted on already is fine.
///
/// # Errors
/// `ENOTTY` where `directory` is not on btrfs, and what the kernel says.
pub fn enable_quota(directory: BorrowedFd<'_>) -> Result<()> {
    const ENABLE: u64 = 1;
    let mut arguments = QuotaArguments {
        command: ENABLE,
        status: 0,
    };
    // SAFETY: the structure lives through the call, and its size is part of the code.
    let done = unsafe { libc::ioctl(directory.as_raw_fd(), QUOTA_CTL, &raw mut arguments) };
    match check(libc::c_long::from(done)) {
        Err(Errno::EXIST) => Ok(()),
        other => other.map(drop),
    }
}

/// Lets the subvolume whose root is `subvolume` refer to at most so many bytes, what it shares with others included;
/// writes beyond fail with `EDQUOT`.
///
/// # Errors
/// `ENOTCONN` or `EINVAL` where nothing is counted ([`enable_quota`]), and what the kernel says.
pub fn limit(subvolume: BorrowedFd<'_>, bytes: u64) -> Result<()> {
    const MAX_REFERENCED: u64 = 1;
    let arguments = LimitArguments {
        flags: MAX_REFERENCED,
        max_referenced: bytes,
        ..LimitArguments::default()
    };
    // SAFETY: the structure lives through the call, and its size is part of the code.
    let done = unsafe { libc::ioctl(subvolume.as_raw_fd(), QGROUP_LIMIT, &raw const arguments) };
    check(libc::c_long::from(done)).map(drop)
}

fn on_name(parent: BorrowedFd<'_>, request: libc::c_ulong, fd: i64, name: &CStr) -> Result<()> {
    let mut arguments = VolumeArguments { fd, name: [0; 4088] };
    let name = name.to_bytes();
    if name.len() >= arguments.name.len() {
        return Err(Errno::NAMETOOLONG);
    }
    arguments.name[..name.len()].copy_from_slice(name);
    // A place that was only opened as such (O_PATH) takes no ioctl.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(parent, c".", flags, Mode::empty())?;
    // SAFETY: the structure lives through the call, its size is part of the code, and the name in it ends with a zero.
    let done = unsafe { libc::ioctl(parent.as_fd().as_raw_fd(), request, &raw const arguments) };
    check(libc::c_long::from(done)).map(drop)
}
