//! Whether two files of equal size and attributes hold the same.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::tree;

const BUFFER: usize = 128 << 10;

/// Compares `name` in `old` and in `new`, whose kinds and sizes are the same: files byte by byte, links by where they
/// lead to. What has no content of its own is the same.
pub(super) fn same(
    old: Option<&OwnedFd>,
    new: &OwnedFd,
    name: &[u8],
    before: &Stat,
    now: &Stat,
) -> Result<bool, Errno> {
    let Some(old) = old else { return Ok(true) };
    match tree::kind(now) {
        FileType::Symlink => {
            let read = |parent: &OwnedFd| rustix::fs::readlinkat(parent, name, Vec::new());
            Ok(read(old)? == read(new)?)
        }
        FileType::RegularFile if now.st_size > 0 && !is_one_file(before, now) => {
            same_bytes(open(old, name)?, open(new, name)?)
        }
        _ => Ok(true),
    }
}

/// Two mounts of one overlay layer have device numbers of their own, but show the layer's inodes. A copy (a snapshot of
/// btrfs keeps inode numbers) that was written to afterwards has another change time, which nobody can set.
fn is_one_file(before: &Stat, now: &Stat) -> bool {
    (before.st_ino, before.st_ctime, before.st_ctime_nsec) == (now.st_ino, now.st_ctime, now.st_ctime_nsec)
}

fn open(parent: &OwnedFd, name: &[u8]) -> Result<BufReader<File>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    Ok(BufReader::with_capacity(BUFFER, file.into()))
}

fn same_bytes(mut one: BufReader<File>, mut other: BufReader<File>) -> Result<bool, Errno> {
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    loop {
        let (left, right) = (one.fill_buf().map_err(failed)?, other.fill_buf().map_err(failed)?);
        let length = left.len().min(right.len());
        if length == 0 {
            return Ok(left.len() == right.len());
        }
        if left[..length] != right[..length] {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}
