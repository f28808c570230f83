//! Steps that make or write files.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::{Errno, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};

use super::State;
use crate::program::Device;

/// Opens the directory of `path` inside the root, making it if missing, and gives the last name to `f`.
fn with_parent<T>(
    path: &CStr,
    root: BorrowedFd<'_>,
    f: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<T>,
) -> Result<T> {
    let bytes = path.to_bytes_with_nul();
    let split = bytes.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    let name = CStr::from_bytes_with_nul(&bytes[split..]).map_err(|_| Errno::INVAL)?;
    if name.is_empty() {
        return Err(Errno::INVAL);
    }
    let mut buffer = [0_u8; 4096];
    let parent = &bytes[..split];
    if parent.len() >= buffer.len() {
        return Err(Errno::NAMETOOLONG);
    }
    buffer[..parent.len()].copy_from_slice(parent);
    let parent = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::INVAL)?;
    let directory: OwnedFd = if parent.is_empty() {
        linux::fd::open_in_root(root, c"/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?
    } else {
        linux::fd::ensure_directory_in_root(root, parent, Mode::from_raw_mode(0o755))?
    };
    f(directory.as_fd(), name)
}

/// Makes a device node; where that is forbidden (no CAP_MKNOD, a user namespace), shows the host's.
pub(super) fn device(device: &Device, root: BorrowedFd<'_>) -> Result<()> {
    let number = rustix::fs::makedev(device.major, device.minor);
    let made = with_parent(&device.path, root, |directory, name| {
        let kind = FileType::from_raw_mode(device.kind);
        match rustix::fs::mknodat(directory, name, kind, Mode::from_raw_mode(device.mode), number) {
            Err(Errno::EXIST) => return same_device(directory, name, device, number),
            other => other?,
        }
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        if device.uid == 0 && device.gid == 0 {
            return Ok(());
        }
        rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    });
    match made {
        Err(Errno::PERM) => show_host_device(device, root, number),
        other => other,
    }
}

/// A file that is there already is fine if it is that very device; an image must not be able to put a symbolic link or a
/// file of its own in the place of `/dev/null`.
fn same_device(directory: BorrowedFd<'_>, name: &CStr, device: &Device, number: u64) -> Result<()> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let same =
        stat.st_mode & 0o170_000 == device.kind && (device.kind == 0o010_000 || stat.st_rdev == number);
    if same { Ok(()) } else { Err(Errno::EXIST) }
}

fn show_host_device(device: &Device, root: BorrowedFd<'_>, number: u64) -> Result<()> {
    let source = rustix::fs::open(
        &*device.path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = rustix::fs::fstat(&source)?;
    if stat.st_mode & 0o170_000 != device.kind || stat.st_rdev != number {
        return Err(Errno::NODEV);
    }
    let mount = linux::mount::clone_tree(source.as_fd(), c"", false)?;
    let target = linux::fd::ensure_file_in_root(root, &device.path, Mode::from_raw_mode(0o644))?;
    linux::mount::attach(mount.as_fd(), target.as_fd())
}

/// Makes a symbolic link, unless something is there.
pub(super) fn symlink(target: &CStr, path: &CStr, root: BorrowedFd<'_>) -> Result<()> {
    with_parent(path, root, |directory, name| {
        match rustix::fs::symlinkat(target, directory, name) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    })
}

/// Writes a kernel parameter through a procfs that nobody can have put something else in the place of.
pub(super) fn sysctl(path: &CStr, value: &[u8], state: &State) -> Result<()> {
    let host;
    let proc = match &state.proc {
        Some(proc) => proc.as_fd(),
        None => {
            host = rustix::fs::open(
                c"/proc",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            host.as_fd()
        }
    };
    let sys = linux::fd::open_beneath(proc, c"sys", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    write_beneath(sys.as_fd(), path, value)
}

/// Writes a file of `/proc/self`.
pub(super) fn write_self(
    own: BorrowedFd<'_>,
    path: &CStr,
    fallback: Option<&CStr>,
    value: &[u8],
) -> Result<()> {
    match (write_beneath(own, path, value), fallback) {
        (Err(Errno::NOENT), Some(other)) => write_beneath(own, other, value),
        (result, _) => result,
    }
}

fn write_beneath(directory: BorrowedFd<'_>, path: &CStr, value: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve)?;
    linux::mount::require_procfs(file.as_fd())?;
    rustix::io::write(&file, value).map(drop)
}
