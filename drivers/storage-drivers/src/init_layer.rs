//! The init layer: mount points that the engine needs, in a layer of their own per image, so that the difference of a
//! fresh container is empty and `commit` does not carry them.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use archive::{Entry, EntryKind, Owner, Timestamp, UnpackOptions, Writer};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Driver, Key, StorageError};

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
/// that directories on the way keep the attributes that they have in the image.
///
/// A symbolic link where a file is wanted (`/etc/resolv.conf` of many images) gives way to an empty file, as in Docker:
/// what is mounted there must not go astray. So does whatever stands in the way of a point without leading anywhere inside
/// the tree: a file, or a link, where a directory is needed.
///
/// # Errors
/// [`StorageError`].
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
    let mount = driver
        .mounts(key)?
        .mount_detached()
        .map_err(|source| StorageError::Mount {
            key: key.clone(),
            source,
        })?;
    let mut writer = Writer::new(Vec::new());
    let mut mended = BTreeSet::new();
    let refused = |step, path: &str, source| StorageError::File {
        key: key.to_string(),
        step,
        path: path.into(),
        source,
    };
    for point in points {
        let present =
            lookup(&mount, point.path()).map_err(|source| refused("look for", point.path(), source))?;
        if present.is_none() {
            for above in
                obstacles(&mount, point.path()).map_err(|source| refused("look for", point.path(), source))?
            {
                if mended.insert(above) {
                    let directory = Entry {
                        mtime: now(),
                        ..Entry::directory(above, 0o755)
                    };
                    writer
                        .append_bytes(&directory, b"")
                        .map_err(|_| refused("describe", above, Errno::NOMEM))?;
                }
            }
        }
        let entry = match (point, present) {
            (MountPoint::File(path), None | Some(FileType::Symlink)) => Entry::file(*path, 0o755, 0),
            // A file system of the kernel is mounted on a plain directory only (runc refuses links there).
            (MountPoint::Directory(path @ ("/proc" | "/sys")), Some(FileType::Symlink))
            | (MountPoint::Directory(path), None) => Entry::directory(*path, 0o755),
            (MountPoint::Symlink(path, target), None) => Entry {
                link: target.as_bytes().to_vec(),
                ..Entry::new(EntryKind::Symlink, *path, 0o777)
            },
            _ => continue,
        };
        let entry = Entry {
            mtime: now(),
            ..entry
        };
        writer
            .append_bytes(&entry, b"")
            .map_err(|_| refused("describe", point.path(), Errno::NOMEM))?;
    }
    let points = writer
        .finish()
        .map_err(|_| refused("describe", "/", Errno::NOMEM))?;
    let root = rustix::fs::openat(
        &mount,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|source| refused("open", "/", source))?;
    let options = UnpackOptions {
        owner: Owner::Fixed { uid: 0, gid: 0 },
        ..UnpackOptions::default()
    };
    archive::unpack(&points[..], root.as_fd(), options).map_err(|source| StorageError::InitLayer {
        key: key.clone(),
        source,
    })?;
    drop((root, mount));
    driver.commit(key)
}

impl MountPoint {
    /// Where it is.
    pub fn path(&self) -> &'static str {
        match self {
            Self::File(path) | Self::Directory(path) | Self::Symlink(path, _) => path,
        }
    }
}

/// What stands at `path` inside the mount, itself not followed.
fn lookup(mount: &OwnedFd, path: &str) -> Result<Option<FileType>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(mount, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode))),
        // NOTDIR, LOOP: something that is no directory is on the way, or links in a ring.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directories above `path` in whose place something stands that is none and leads to none.
fn obstacles<'p>(mount: &OwnedFd, path: &'p str) -> Result<Vec<&'p str>, Errno> {
    let mut found = Vec::new();
    let slashes = path.match_indices('/').map(|(at, _)| at).skip(1);
    for above in slashes.map(|at| &path[..at]) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(mount, above, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(_) => {}
            Err(Errno::NOENT) if lookup(mount, above)?.is_none() => {}
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => found.push(above),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: since.as_secs().cast_signed(),
        nanos: since.subsec_nanos(),
    }
}
