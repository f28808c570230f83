//! The init layer: mount points that the engine needs, in a layer of their own per image, so that the difference of a
//! fresh container is empty and `commit` does not carry them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Driver, Key, StorageError};

/// Mode of the files and directories that are made.
const MODE: Mode = Mode::from_raw_mode(0o755);

/// What to make when the image has nothing at that path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// An empty file with mode 0755, such as `/etc/hosts`.
    File(&'static str),
    /// An empty directory with mode 0755, such as `/proc`.
    Directory(&'static str),
    /// A symbolic link and its target, such as `/etc/mtab` to `/proc/mounts`.
    Symlink(&'static str, &'static str),
}

/// What Docker's init layer has.
pub const DOCKER: &[MountPoint] = &[
    MountPoint::Directory("/dev/pts"),
    MountPoint::Directory("/dev/shm"),
    MountPoint::Directory("/proc"),
    MountPoint::Directory("/sys"),
    MountPoint::File("/.dockerenv"),
    MountPoint::File("/etc/resolv.conf"),
    MountPoint::File("/etc/hosts"),
    MountPoint::File("/etc/hostname"),
    MountPoint::File("/dev/console"),
    MountPoint::Symlink("/etc/mtab", "/proc/mounts"),
];

/// Makes (unless it is there) the committed layer `key` above `chain`, holding those of `points` that the chain lacks. A
/// container's chain is then `chain` plus `key`. Needs CAP_SYS_ADMIN: the points are made through a detached mount, so
/// that directories on the way keep the attributes that they have in the image, and its links lead nowhere else.
///
/// A symbolic link where a file is wanted (`/etc/resolv.conf` of many images) gives way to an empty file, as in Docker:
/// what is mounted there must not go astray. So does whatever stands in the way of a point without leading anywhere inside
/// the tree: a file, or a link, where a directory is needed.
///
/// # Errors
/// [`StorageError`]; nothing of the layer is left then.
pub fn make_init_layer(
    driver: &dyn Driver,
    key: &Key,
    chain: &[Key],
    points: &[MountPoint],
) -> Result<(), StorageError> {
    match driver.view(std::slice::from_ref(key)) {
        Ok(_) => return Ok(()),
        Err(StorageError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    // What a crash left half made.
    driver.remove(key)?;
    driver.prepare(key, chain)?;
    let made = fill(driver, key, points).and_then(|()| driver.commit(key));
    if made.is_err() {
        // The first failure is the one to tell; what stays here goes at the next attempt.
        let _ = driver.remove(key);
    }
    made
}

fn fill(driver: &dyn Driver, key: &Key, points: &[MountPoint]) -> Result<(), StorageError> {
    let mount = driver
        .mounts(key)?
        .mount_detached()
        .map_err(|source| StorageError::Mount {
            key: key.clone(),
            source,
        })?;
    for point in points {
        make(mount.as_fd(), point).map_err(|source| StorageError::File {
            key: key.to_string(),
            step: "make the mount point",
            path: point.path().into(),
            source,
        })?;
    }
    Ok(())
}

fn make(root: BorrowedFd<'_>, point: &MountPoint) -> Result<(), Errno> {
    let (above, name) = point.path().rsplit_once('/').unwrap_or(("", point.path()));
    let folder = directory(root, above)?;
    let present = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error),
    };
    match (point, present) {
        (MountPoint::File(_), None | Some(FileType::Symlink)) => {
            if present.is_some() {
                rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
            }
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&folder, name, flags, MODE)?;
            rustix::fs::fchmod(file, MODE)
        }
        // A file system of the kernel is mounted on a plain directory only (runc refuses links there).
        (MountPoint::Directory("/proc" | "/sys"), Some(FileType::Symlink))
        | (MountPoint::Directory(_), None) => make_directory(folder.as_fd(), name),
        (MountPoint::Symlink(_, target), None) => rustix::fs::symlinkat(*target, &folder, name),
        _ => Ok(()),
    }
}

/// The directory at this path as the container will see it, links of the image followed within its root; made where the
/// image has nothing, or something that leads to no directory.
fn directory(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let within = if path.is_empty() { "." } else { path };
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(root, within, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    match (open(), path.rsplit_once('/')) {
        (Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP), Some((above, name))) => {
            make_directory(directory(root, above)?.as_fd(), name)?;
            open()
        }
        (opened, _) => opened,
    }
}

/// In the place of what has this name, if there is something.
fn make_directory(above: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    match rustix::fs::mkdirat(above, name, MODE) {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(above, name, AtFlags::empty())?;
            rustix::fs::mkdirat(above, name, MODE)?;
        }
        made => made?,
    }
    // Whatever umask the daemon was started with.
    rustix::fs::chmodat(above, name, MODE, AtFlags::empty())
}

impl MountPoint {
    /// Where it is.
    pub fn path(&self) -> &'static str {
        match self {
            Self::File(path) | Self::Directory(path) | Self::Symlink(path, _) => path,
        }
    }
}
