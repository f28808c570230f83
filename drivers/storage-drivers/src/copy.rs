//! Copying a tree with everything that Linux keeps of files: owners, modes, times, attributes, hard links, devices.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// A step that failed.
#[derive(Debug)]
pub(crate) struct CopyError {
    pub(crate) step: &'static str,
    /// Below the tree that is copied.
    pub(crate) path: PathBuf,
    pub(crate) source: Errno,
}

/// A directory on the way down.
struct Level {
    old: OwnedFd,
    new: OwnedFd,
    entries: Dir,
    /// Relative to the root of both trees.
    path: Vec<u8>,
    status: Stat,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Copies all of `old`, and the attributes of `old` itself, into the empty directory `new`.
pub(crate) fn tree(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> Result<(), CopyError> {
    let mut links = HashMap::new();
    let duplicate = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|source| fail(b"", "open", source));
    let mut stack = vec![level(duplicate(old)?, duplicate(new)?, Vec::new())?];
    while let Some(present) = stack.last_mut() {
        let Some(entry) = present.entries.next() else {
            let Some(done) = stack.pop() else { break };
            // Last, because every new name changes the time.
            finish(&done.old, &done.new, &done.status)
                .map_err(|(step, source)| fail(&done.path, step, source))?;
            continue;
        };
        let entry = entry.map_err(|source| fail(&present.path, "list", source))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let mut path = present.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let failed = |(step, source)| fail(&path, step, source);
        let status = rustix::fs::statat(&present.old, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|source| failed(("stat", source)))?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            rustix::fs::mkdirat(&present.new, name, Mode::RWXU)
                .map_err(|source| failed(("mkdir", source)))?;
            let open = |parent: &OwnedFd| {
                rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
                    .map_err(|source| failed(("open", source)))
            };
            let below = level(open(&present.old)?, open(&present.new)?, path.clone())?;
            stack.push(below);
            continue;
        }
        if status.st_nlink > 1 {
            if let Some(first) = links.get(&(status.st_dev, status.st_ino)) {
                let first: &Vec<u8> = first;
                rustix::fs::linkat(new, &**first, &present.new, name, AtFlags::empty())
                    .map_err(|source| failed(("link", source)))?;
                continue;
            }
            links.insert((status.st_dev, status.st_ino), path.clone());
        }
        file(&present.old, &present.new, name, &status).map_err(failed)?;
    }
    Ok(())
}

fn level(old: OwnedFd, new: OwnedFd, path: Vec<u8>) -> Result<Level, CopyError> {
    let status = rustix::fs::fstat(&old).map_err(|source| fail(&path, "stat", source))?;
    let entries = Dir::read_from(&old).map_err(|source| fail(&path, "list", source))?;
    Ok(Level {
        old,
        new,
        entries,
        path,
        status,
    })
}

type Step<T> = Result<T, (&'static str, Errno)>;

fn at<T>(step: &'static str, result: Result<T, Errno>) -> Step<T> {
    result.map_err(|source| (step, source))
}

fn file(old: &OwnedFd, new: &OwnedFd, name: &std::ffi::CStr, status: &Stat) -> Step<()> {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => {
            let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let from = at("open", rustix::fs::openat(old, name, read, Mode::empty()))?;
            let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let to = at(
                "create",
                rustix::fs::openat(new, name, write, Mode::RUSR | Mode::WUSR),
            )?;
            data(&from, &to, u64::try_from(status.st_size).unwrap_or(0))?;
            return finish(&from, &to, status);
        }
        FileType::Symlink => {
            let target = at("readlink", rustix::fs::readlinkat(old, name, Vec::new()))?;
            at("symlink", rustix::fs::symlinkat(&target, new, name))?;
        }
        FileType::Socket => return Ok(()),
        kind => at(
            "mknod",
            rustix::fs::mknodat(
                new,
                name,
                kind,
                Mode::from_raw_mode(status.st_mode & 0o7777),
                status.st_rdev,
            ),
        )?,
    }
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    at(
        "chown",
        rustix::fs::chownat(new, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW),
    )?;
    let path = |parent: &OwnedFd| {
        let start = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        CString::new([&start, name.to_bytes()].concat()).unwrap_or_default()
    };
    let (old_path, new_path) = (path(old), path(new));
    for (key, value) in xattrs(
        |buffer| rustix::fs::llistxattr(&old_path, buffer),
        |key, buffer| rustix::fs::lgetxattr(&old_path, key, buffer),
    )? {
        at(
            "setxattr",
            rustix::fs::lsetxattr(&new_path, &key, &value, XattrFlags::empty()),
        )?;
    }
    if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
        at("chmod", rustix::fs::chmodat(new, name, mode, AtFlags::empty()))?;
    }
    at(
        "set times",
        rustix::fs::utimensat(new, name, &times(status), AtFlags::SYMLINK_NOFOLLOW),
    )
}

/// A reflink where the file system can, else a copy in the kernel, else through a buffer.
fn data(from: &OwnedFd, to: &OwnedFd, size: u64) -> Step<()> {
    if size == 0 || rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut copied = 0;
    loop {
        match rustix::fs::copy_file_range(from, None, to, None, 1 << 30) {
            Ok(0) if copied > 0 || size == 0 => return Ok(()),
            Ok(0) => break,
            Ok(length) => copied += length,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) if copied == 0 => break,
            Err(source) => return Err(("copy", source)),
        }
    }
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = at(
            "read",
            rustix::io::retry_on_intr(|| rustix::io::read(from, &mut *buffer)),
        )?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = at("write", rustix::io::retry_on_intr(|| rustix::io::write(to, rest)))?;
            rest = &rest[written..];
        }
    }
}

/// Owner, attributes, mode, times: in the order in which none undoes another.
fn finish(from: &OwnedFd, to: &OwnedFd, status: &Stat) -> Step<()> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    at("chown", rustix::fs::fchown(to, Some(uid), Some(gid)))?;
    for (key, value) in xattrs(
        |buffer| rustix::fs::flistxattr(from, buffer),
        |key, buffer| rustix::fs::fgetxattr(from, key, buffer),
    )? {
        at(
            "setxattr",
            rustix::fs::fsetxattr(to, &key, &value, XattrFlags::empty()),
        )?;
    }
    at(
        "chmod",
        rustix::fs::fchmod(to, Mode::from_raw_mode(status.st_mode & 0o7777)),
    )?;
    at("set times", rustix::fs::futimens(to.as_fd(), &times(status)))
}

type Xattrs = Vec<(CString, Vec<u8>)>;

fn xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&std::ffi::CStr, &mut [u8]) -> Result<usize, Errno>,
) -> Step<Xattrs> {
    // Mostly there are none; the kernel's limit for both is 64 KiB (xattr(7)).
    match list(&mut [0]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(_) | Err(Errno::RANGE) => {}
        Err(source) => return Err(("listxattr", source)),
    }
    let mut buffer = vec![0; 64 << 10];
    let length = at("listxattr", list(&mut buffer))?;
    let names: Vec<CString> = buffer[..length]
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty())
        .flat_map(CString::new)
        .collect();
    let mut found = Vec::new();
    for name in names {
        let length = at("getxattr", get(&name, &mut buffer))?;
        found.push((name, buffer[..length].to_vec()));
    }
    Ok(found)
}

fn times(status: &Stat) -> Timestamps {
    let spec = |seconds, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.cast_signed(),
    };
    Timestamps {
        last_access: spec(status.st_atime, status.st_atime_nsec),
        last_modification: spec(status.st_mtime, status.st_mtime_nsec),
    }
}

fn fail(path: &[u8], step: &'static str, source: Errno) -> CopyError {
    use std::os::unix::ffi::OsStringExt;
    CopyError {
        step,
        path: PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())),
        source,
    }
}
