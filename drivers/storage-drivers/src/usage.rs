//! How much disk a tree takes, and what kind of file system it is on.

use std::collections::HashSet;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use archive::{Change, ChangeKind};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Key, StorageError, Usage};

/// Adds up the tree `path` of the layer `key`; files that vanish meanwhile do not count.
pub(crate) fn of(key: &Key, path: &Path) -> Result<Usage, StorageError> {
    let mut usage = Usage::default();
    let mut seen = HashSet::new();
    add(&mut usage, &mut seen, path).map_err(|source| StorageError::File {
        key: key.to_string(),
        step: "measure",
        path: path.to_owned(),
        source,
    })?;
    Ok(usage)
}

fn add(usage: &mut Usage, seen: &mut HashSet<(u64, u64)>, path: &Path) -> Result<(), Errno> {
    const FLAGS: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::CLOEXEC);
    let mut stack: Vec<(OwnedFd, Dir)> = Vec::new();
    let push = |stack: &mut Vec<(OwnedFd, Dir)>, directory: OwnedFd| -> Result<(), Errno> {
        let entries = Dir::read_from(&directory)?;
        stack.push((directory, entries));
        Ok(())
    };
    push(&mut stack, rustix::fs::openat(CWD, path, FLAGS, Mode::empty())?)?;
    while let Some((directory, entries)) = stack.last_mut() {
        let Some(entry) = entries.next() else {
            stack.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let status = match rustix::fs::statat(&*directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        if status.st_nlink > 1
            && FileType::from_raw_mode(status.st_mode) != FileType::Directory
            && !seen.insert((status.st_dev, status.st_ino))
        {
            continue;
        }
        usage.inodes += 1;
        usage.allocated += u64::try_from(status.st_blocks).unwrap_or(0) * 512;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => usage.size += u64::try_from(status.st_size).unwrap_or(0),
            FileType::Directory => match rustix::fs::openat(&*directory, name, FLAGS, Mode::empty()) {
                Ok(below) => push(&mut stack, below)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error),
            },
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of the regular files in `tree` that changes add or change; those that vanish meanwhile do not count.
pub(crate) fn of_changes(tree: BorrowedFd<'_>, changes: &[Change]) -> Result<u64, Errno> {
    let mut seen = HashSet::new();
    let mut size = 0;
    for change in changes.iter().filter(|change| change.kind != ChangeKind::Deleted) {
        let path = change.path.strip_prefix(b"/").unwrap_or(&change.path);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = match rustix::fs::openat2(tree, path, flags, Mode::empty(), resolve) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => return Err(error),
        };
        let status = rustix::fs::fstat(&file)?;
        let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        if is_file && (status.st_nlink == 1 || seen.insert(status.st_ino)) {
            size += u64::try_from(status.st_size).unwrap_or(0);
        }
    }
    Ok(size)
}

/// The name of the file system that `path` is on, by its magic number (statfs(2)).
pub(crate) fn filesystem(path: &Path) -> &'static str {
    match rustix::fs::statfs(path).map(|status| status.f_type) {
        Ok(0xef53) => "extfs",
        Ok(0x5846_5342) => "xfs",
        Ok(0x9123_683e) => "btrfs",
        Ok(0x0102_1994) => "tmpfs",
        Ok(0x2fc1_2fc1) => "zfs",
        Ok(0xf2f5_2010) => "f2fs",
        Ok(0x794c_7630) => "overlayfs",
        _ => "<unknown>",
    }
}
