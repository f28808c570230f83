//! One directory of a hierarchy, held by descriptor: all files below are reached from it, never by a path.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Most bytes read from one file; only `cgroup.procs` of enormous groups comes near.
const MOST: u64 = 64 << 20;

/// Reads a file of the kernel's, which has no size to go by: with room for `usual` bytes most are read at once.
pub(crate) fn read_text(file: File, usual: usize) -> io::Result<String> {
    let mut text = String::with_capacity(usual);
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// A directory and the path by which errors name it.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens the top of a hierarchy.
    pub(crate) fn top(path: &Path) -> Result<Dir> {
        let fd = fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| Error::Read {
            path: path.to_path_buf(),
            source: e.into(),
        })?;
        Ok(Dir {
            fd,
            path: path.to_path_buf(),
        })
    }

    /// Opens a child; `None` if there is none of that name.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Dir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match self.open_at(name, flags) {
            Ok(fd) => Ok(Some(Dir {
                fd,
                path: self.path.join(name),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::Read {
                path: self.path.join(name),
                source: e.into(),
            }),
        }
    }

    /// Makes a child and opens it; the flag says whether it is new.
    pub(crate) fn make_child(&self, name: &str) -> Result<(Dir, bool)> {
        let new = match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => {
                return Err(Error::Create {
                    path: self.path.join(name),
                    source: e.into(),
                });
            }
        };
        let gone = || Error::Create {
            path: self.path.join(name),
            source: io::ErrorKind::NotFound.into(),
        };
        Ok((self.child(name)?.ok_or_else(gone)?, new))
    }

    /// Removes an empty child; [`Errno::NOENT`] and [`Errno::BUSY`] are for the caller to judge.
    pub(crate) fn remove_child(&self, name: &str) -> std::result::Result<(), Errno> {
        fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    /// Names of the child directories.
    pub(crate) fn children(&self) -> Result<Vec<String>> {
        let failed = |e: Errno| Error::Read {
            path: self.path.clone(),
            source: e.into(),
        };
        let mut names = Vec::new();
        let mut list = match fs::Dir::read_from(&self.fd) {
            Ok(list) => list,
            Err(Errno::NOENT) => return Ok(names),
            Err(e) => return Err(failed(e)),
        };
        while let Some(entry) = list.read() {
            let entry = match entry {
                Ok(entry) => entry,
                // The directory was removed while it was read.
                Err(Errno::NOENT) => break,
                Err(e) => return Err(failed(e)),
            };
            if entry.file_type() != fs::FileType::Directory {
                continue;
            }
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// Whether a file of that name is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        fs::accessat(&self.fd, name, fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Reads a file without the white space at its end.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        self.read_raw(name).map_err(|source| Error::Read {
            path: self.path.join(name),
            source,
        })
    }

    /// Reads a file that not every kernel or group has.
    pub(crate) fn read_if_there(&self, name: &str) -> Result<Option<String>> {
        match self.read_raw(name) {
            Ok(text) => Ok(Some(text)),
            // EOPNOTSUPP: pressure files of a group with `cgroup.pressure` 0; ENODEV: the group is being removed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if [Some(95), Some(19)].contains(&e.raw_os_error()) => Ok(None),
            Err(source) => Err(Error::Read {
                path: self.path.join(name),
                source,
            }),
        }
    }

    fn read_raw(&self, name: &str) -> io::Result<String> {
        let file = File::from(self.open_at(name, OFlags::RDONLY | OFlags::CLOEXEC)?);
        let mut text = read_text(file, 256)?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// Writes a value in one call of write(2).
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<()> {
        self.write_raw(name, value).map_err(|source| Error::Write {
            path: self.path.join(name),
            value: value.to_owned(),
            source,
        })
    }

    /// Opens a file that takes one value after the other.
    pub(crate) fn writer(&self, name: &str) -> Result<Writer> {
        let path = self.path.join(name);
        match self.open_at(name, OFlags::WRONLY | OFlags::CLOEXEC) {
            Ok(fd) => Ok(Writer { fd, path }),
            Err(errno) => Err(Error::Write {
                path,
                value: String::new(),
                source: errno.into(),
            }),
        }
    }

    fn write_raw(&self, name: &str, value: &str) -> io::Result<()> {
        // O_TRUNC means nothing to the kernel's files; it makes plain files of a test behave alike.
        let mut file = File::from(self.open_at(name, OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC)?);
        file.write_all(value.as_bytes())
    }

    /// Opens a file for others to use.
    pub(crate) fn open(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        self.open_at(name, flags | OFlags::CLOEXEC)
            .map_err(|e| Error::Read {
                path: self.path.join(name),
                source: e.into(),
            })
    }

    /// No symlink and no `..` leads out of this directory, whoever can write to it.
    fn open_at(&self, name: &str, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        fs::openat2(
            &self.fd,
            name,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
    }

    /// The path by which errors name this directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that is written to several times.
pub(crate) struct Writer {
    fd: OwnedFd,
    path: PathBuf,
}

impl Writer {
    /// Writes a value in one call of write(2).
    pub(crate) fn write(&self, value: &str) -> Result<()> {
        let written = rustix::io::write(&self.fd, value.as_bytes());
        written.map(drop).map_err(|errno| Error::Write {
            path: self.path.clone(),
            value: value.to_owned(),
            source: errno.into(),
        })
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
