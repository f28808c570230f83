//! Files by descriptor: extended attributes, unnamed files, reopening.
//!
//! `mknodat`, `utimensat`, `linkat` and the rest are rustix's ([`rustix::fs`]) and are used from there directly.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::{Errno, Result};

/// A path through `/proc/self/fd` to what a descriptor stands for, as a C string on the stack.
#[derive(Clone, Copy, Debug)]
pub struct ProcFdPath([u8; 32]);

impl ProcFdPath {
    /// The path of this descriptor. *Async-signal-safe.*
    #[must_use]
    pub fn new(fd: BorrowedFd<'_>) -> Self {
        const PREFIX: &[u8] = b"/proc/self/fd/";
        let mut bytes = [0_u8; 32];
        bytes[..PREFIX.len()].copy_from_slice(PREFIX);
        let mut number = fd.as_raw_fd().unsigned_abs();
        let mut digits = [0_u8; 10];
        let mut length = 0;
        loop {
            digits[length] = b'0' + (number % 10) as u8;
            length += 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        for place in 0..length {
            bytes[PREFIX.len() + place] = digits[length - 1 - place];
        }
        Self(bytes)
    }

    /// The path.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"/proc/self/fd")
    }
}

/// Opens what an `O_PATH` descriptor stands for again, with other flags. *Async-signal-safe.*
///
/// # Errors
/// As `open(2)`; `ELOOP` for a symbolic link.
pub fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(
        ProcFdPath::new(fd).as_c_str(),
        flags | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Makes sure that the current directory can be reached from the root: the kernel shows a directory of another mount
/// namespace as `(unreachable)`. *Async-signal-safe.*
///
/// # Errors
/// `ENOENT` when it cannot, or was removed.
pub fn require_reachable_directory() -> Result<()> {
    let mut path = [0_u8; 4096];
    // SAFETY: the kernel writes at most as many bytes as it is told.
    crate::check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })?;
    if path[0] == b'/' {
        Ok(())
    } else {
        Err(Errno::NOENT)
    }
}

/// Largest value and longest list of names of extended attributes that the kernel allows (64 KiB).
pub const XATTR_MAX: usize = 65536;

/// Names of the extended attributes of what `path` names under `directory`, without following a final symbolic link.
///
/// # Errors
/// As `llistxattr(2)`.
pub fn list_xattrs(directory: BorrowedFd<'_>, path: &CStr) -> Result<Vec<CString>> {
    let place = xattr_place(directory, path)?;
    let mut buffer = vec![0_u8; XATTR_MAX];
    let length = place.with(|p, follow| {
        if follow {
            rustix::fs::listxattr(p, &mut buffer[..])
        } else {
            rustix::fs::llistxattr(p, &mut buffer[..])
        }
    })?;
    Ok(buffer[..length]
        .split_inclusive(|&b| b == 0)
        .filter_map(|n| CStr::from_bytes_with_nul(n).ok())
        .map(CStr::to_owned)
        .collect())
}

/// Value of one extended attribute, `None` when it is not there. A final symbolic link is not followed.
///
/// # Errors
/// As `lgetxattr(2)`.
pub fn get_xattr(directory: BorrowedFd<'_>, path: &CStr, name: &CStr) -> Result<Option<Vec<u8>>> {
    let place = xattr_place(directory, path)?;
    let mut buffer = vec![0_u8; XATTR_MAX];
    let result = place.with(|p, follow| {
        if follow {
            rustix::fs::getxattr(p, name, &mut buffer[..])
        } else {
            rustix::fs::lgetxattr(p, name, &mut buffer[..])
        }
    });
    match result {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets one extended attribute. A final symbolic link is not followed.
///
/// # Errors
/// As `lsetxattr(2)`.
pub fn set_xattr(directory: BorrowedFd<'_>, path: &CStr, name: &CStr, value: &[u8]) -> Result<()> {
    let flags = rustix::fs::XattrFlags::empty();
    xattr_place(directory, path)?.with(|p, follow| {
        if follow {
            rustix::fs::setxattr(p, name, value, flags)
        } else {
            rustix::fs::lsetxattr(p, name, value, flags)
        }
    })
}

/// Removes one extended attribute. A final symbolic link is not followed.
///
/// # Errors
/// As `lremovexattr(2)`; `ENODATA` when it is not there.
pub fn remove_xattr(directory: BorrowedFd<'_>, path: &CStr, name: &CStr) -> Result<()> {
    xattr_place(directory, path)?.with(|p, follow| {
        if follow {
            rustix::fs::removexattr(p, name)
        } else {
            rustix::fs::lremovexattr(p, name)
        }
    })
}

/// How to name a file for the path-only xattr calls: the descriptor itself through its magic link, or the last name in the
/// directory's magic link, unfollowed, where it is a symbolic link (an `O_PATH` of which has no usable magic link).
enum XattrPlace {
    Itself(OwnedFd),
    Link(CString),
}

impl XattrPlace {
    fn with<T>(&self, call: impl FnOnce(&CStr, bool) -> Result<T>) -> Result<T> {
        match self {
            Self::Itself(fd) => call(ProcFdPath::new(fd.as_fd()).as_c_str(), true),
            Self::Link(path) => call(path, false),
        }
    }
}

fn xattr_place(directory: BorrowedFd<'_>, path: &CStr) -> Result<XattrPlace> {
    if path.is_empty() {
        return rustix::io::fcntl_dupfd_cloexec(directory, 3).map(XattrPlace::Itself);
    }
    let stat = rustix::fs::statat(directory, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
        let mut full = ProcFdPath::new(directory).as_c_str().to_bytes().to_vec();
        full.push(b'/');
        full.extend_from_slice(path.to_bytes());
        return CString::new(full).map(XattrPlace::Link).map_err(|_| Errno::INVAL);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, path, flags, Mode::empty()).map(XattrPlace::Itself)
}

/// Makes a file without a name in `directory` (`O_TMPFILE`), readable and writable; [`link_unnamed`] names it.
///
/// # Errors
/// `EOPNOTSUPP` when the file system cannot.
pub fn unnamed_file(directory: BorrowedFd<'_>, mode: Mode) -> Result<OwnedFd> {
    rustix::fs::openat(
        directory,
        c".",
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        mode,
    )
}

/// Gives a file from [`unnamed_file`] its name.
///
/// # Errors
/// `EEXIST` when the name is taken.
pub fn link_unnamed(file: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let source = ProcFdPath::new(file);
    rustix::fs::linkat(
        rustix::fs::CWD,
        source.as_c_str(),
        directory,
        name,
        AtFlags::SYMLINK_FOLLOW,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_has_its_path() {
        let file = std::fs::File::open("/").expect("root");
        let path = ProcFdPath::new(file.as_fd());
        assert_eq!(
            path.as_c_str().to_str().expect("ascii"),
            format!("/proc/self/fd/{}", file.as_raw_fd())
        );
    }

    #[test]
    fn extended_attributes_are_set_listed_and_removed() {
        let directory = tempfile::tempdir().expect("dir");
        std::fs::write(directory.path().join("f"), b"").expect("file");
        let fd = std::fs::File::open(directory.path()).expect("open");
        match set_xattr(fd.as_fd(), c"f", c"user.x", b"value") {
            Err(Errno::OPNOTSUPP) => return eprintln!("skipped: no xattrs here"),
            other => other.expect("set"),
        }
        assert_eq!(
            get_xattr(fd.as_fd(), c"f", c"user.x"),
            Ok(Some(b"value".to_vec()))
        );
        assert_eq!(list_xattrs(fd.as_fd(), c"f"), Ok(vec![c"user.x".to_owned()]));
        remove_xattr(fd.as_fd(), c"f", c"user.x").expect("removed");
        assert_eq!(get_xattr(fd.as_fd(), c"f", c"user.x"), Ok(None));
    }

    #[test]
    fn an_unnamed_file_appears_under_its_name_only_when_linked() {
        let directory = tempfile::tempdir().expect("dir");
        let fd = std::fs::File::open(directory.path()).expect("open");
        let file = unnamed_file(fd.as_fd(), Mode::from_raw_mode(0o600)).expect("unnamed");
        assert!(!directory.path().join("x").exists());
        link_unnamed(file.as_fd(), fd.as_fd(), c"x").expect("linked");
        assert!(directory.path().join("x").exists());
    }
}
