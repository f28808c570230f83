//! Mounts by descriptor: making them detached, changing their attributes, moving them into place.
//!
//! `fsopen`, `fsconfig`, `fsmount`, `move_mount` and `open_tree` are rustix's ([`rustix::mount`], re-exported here);
//! `mount_setattr`, a file system made in one call and id-mapping are added. All but [`Filesystem`] and [`id_mapped`]
//! are *async-signal-safe* when given C strings.

pub mod recipe;

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use rustix::fs::{Mode, OFlags};

use crate::{Errno, Result, check};

/// Attributes for [`set_attributes`], bits of `MOUNT_ATTR_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear.
    pub clear: u64,
    /// Propagation to set: one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
}

/// Read-only.
pub const ATTR_RDONLY: u64 = 0x1;
/// No set-user-id.
pub const ATTR_NOSUID: u64 = 0x2;
/// No device files.
pub const ATTR_NODEV: u64 = 0x4;
/// No execution.
pub const ATTR_NOEXEC: u64 = 0x8;
/// The bits that choose how access times are kept; clear all of them before setting one.
pub const ATTR_ATIME_MASK: u64 = 0x70;
/// Access times only when older than the modification (value 0 of the mask).
pub const ATTR_RELATIME: u64 = 0x0;
/// No access times.
pub const ATTR_NOATIME: u64 = 0x10;
/// Access times always.
pub const ATTR_STRICTATIME: u64 = 0x20;
/// No access times of directories.
pub const ATTR_NODIRATIME: u64 = 0x80;
/// Id-mapped; see [`id_mapped`].
pub const ATTR_IDMAP: u64 = 0x0010_0000;
/// Symbolic links are not followed.
pub const ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes the mount that `mount` (a descriptor from `fsmount`, `open_tree`, or an `O_PATH` of its root) stands for; with
/// `recursive`, also those below it. *Async-signal-safe.*
///
/// # Errors
/// As `mount_setattr(2)`: `EINVAL` when it is not the root of a mount, `EPERM` for locked attributes.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> Result<()> {
    setattr(mount, c"", recursive, attributes, None)
}

/// Changes the mount at a path; see [`set_attributes`]. *Async-signal-safe.*
///
/// # Errors
/// As `mount_setattr(2)`.
pub fn set_attributes_at(
    directory: BorrowedFd<'_>,
    path: &CStr,
    attributes: Attributes,
    recursive: bool,
) -> Result<()> {
    setattr(directory, path, recursive, attributes, None)
}

/// Id-maps a detached mount by the maps of a user namespace.
///
/// # Errors
/// `EINVAL` when the file system cannot be id-mapped, `EPERM`.
pub fn id_mapped(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let attributes = Attributes {
        set: ATTR_IDMAP,
        ..Attributes::default()
    };
    setattr(mount, c"", recursive, attributes, Some(user_namespace))
}

fn setattr(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    attributes: Attributes,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let raw = MountAttr {
        set: attributes.set,
        clear: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let mut flags = if path.is_empty() {
        libc::AT_EMPTY_PATH
    } else {
        libc::AT_SYMLINK_NOFOLLOW
    };
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the structure has the layout and size of the kernel's `struct mount_attr` version 0.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const raw,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// A file system to be made and mounted detached: nothing of it is visible anywhere until it is moved into place.
#[derive(Debug)]
pub struct Filesystem(OwnedFd);

impl Filesystem {
    /// Starts making a file system of this type.
    ///
    /// # Errors
    /// `ENODEV` when the kernel does not know the type.
    pub fn new(kind: &CStr) -> Result<Self> {
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map(Self)
    }

    /// Sets `key=value`.
    ///
    /// # Errors
    /// `EINVAL` when the type does not know it.
    pub fn set(&self, key: &CStr, value: &CStr) -> Result<&Self> {
        fsconfig_set_string(&self.0, key, value)?;
        Ok(self)
    }

    /// Sets a key without a value.
    ///
    /// # Errors
    /// `EINVAL` when the type does not know it.
    pub fn set_flag(&self, key: &CStr) -> Result<&Self> {
        fsconfig_set_flag(&self.0, key)?;
        Ok(self)
    }

    /// Sets a key to an open file; overlayfs takes its layers so since Linux 6.13.
    ///
    /// # Errors
    /// `EINVAL` when the type does not know it or wants a path.
    pub fn set_fd(&self, key: &CStr, fd: BorrowedFd<'_>) -> Result<&Self> {
        fsconfig_set_fd(&self.0, key, fd)?;
        Ok(self)
    }

    /// Makes the file system and mounts it detached, with these `MOUNT_ATTR_*` bits.
    ///
    /// # Errors
    /// Whatever the type has to say; [`Filesystem::messages`] may tell more.
    pub fn mount(&self, attributes: u64) -> Result<OwnedFd> {
        fsconfig_create(&self.0)?;
        let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
        fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }

    /// What the kernel wrote about the failure, one message a line.
    #[must_use]
    pub fn messages(&self) -> String {
        let mut text = String::new();
        let mut buffer = [0_u8; 512];
        while let Ok(length) = rustix::io::read(&self.0, &mut buffer) {
            if length == 0 || text.len() > 8192 {
                break;
            }
            text.push_str(String::from_utf8_lossy(&buffer[..length]).trim_end());
            text.push('\n');
        }
        text
    }
}

impl AsFd for Filesystem {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A detached copy of the mount at `path` (seen from `directory`; empty: `directory` itself), of the whole tree of mounts
/// when `recursive`. *Async-signal-safe.*
///
/// # Errors
/// As `open_tree(2)`.
pub fn clone_tree(directory: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(directory, path, flags)
}

/// Moves a detached mount onto the file or directory that `target` (an `O_PATH` descriptor) stands for.
/// *Async-signal-safe.*
///
/// # Errors
/// As `move_mount(2)`: `ENOTDIR` when a directory would cover a file or the other way round.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// Makes the current directory the root of the mount namespace and takes the old root away: pivot_root(".", ".") and a
/// lazy unmount of what lies on top, as pivot_root(2) describes. *Async-signal-safe.*
///
/// # Errors
/// `EINVAL` when the current directory is not a mount, or its parent or the root is shared.
pub fn pivot_to_current_directory() -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open(c"/", flags, Mode::empty())?;
    rustix::process::pivot_root(c".", c".")?;
    // The old root lies on top now; keep its unmounting from propagating to the host. It is entered by its descriptor,
    // because `.` is still the new root, whose propagation must stay as it was asked for.
    rustix::process::fchdir(&old)?;
    rustix::mount::mount_change(
        c".",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Whether `fd` is on a file system of this magic number (`statfs(2)`, `f_type`).
///
/// # Errors
/// As `fstatfs(2)`.
pub fn is_filesystem(fd: BorrowedFd<'_>, magic: i64) -> Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == magic)
}

/// Magic number of procfs.
pub const PROC_MAGIC: i64 = 0x9fa0;
/// Magic number of sysfs.
pub const SYSFS_MAGIC: i64 = 0x6265_6572;
/// Magic number of cgroup version 2.
pub const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Refuses a descriptor that is not in the given procfs mount: `EXDEV`. *Async-signal-safe.*
///
/// # Errors
/// `EXDEV`, or of `fstatfs(2)`.
pub fn require_procfs(fd: BorrowedFd<'_>) -> Result<()> {
    if is_filesystem(fd, PROC_MAGIC)? {
        Ok(())
    } else {
        Err(Errno::XDEV)
    }
}
