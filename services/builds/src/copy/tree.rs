//! A tree that files are taken from or put on: nothing is opened but inside of it.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use archive::entry::Xattr;
use archive::{Entry, EntryKind, Timestamp};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{Source, hex};

/// Directories nested more deeply are refused.
pub(super) const MAX_DEPTH: usize = 1000;

/// The root of a tree.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
}

impl Root {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Gives the descriptor back.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Opens a path as a process would whose root this is.
    pub(crate) fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = CString::new(if path.is_empty() { "/" } else { path }).map_err(|_| Errno::INVAL)?;
        linux::fd::open_in_root(self.fd.as_fd(), &path, flags, Mode::empty())
    }

    /// What stands at a path; links in front of the last name are followed.
    pub(crate) fn lstat(&self, path: &str) -> Result<Stat, Errno> {
        let fd = self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH)
    }

    /// What stands at a path; links are followed.
    pub(crate) fn stat(&self, path: &str) -> Result<Stat, Errno> {
        let fd = self.open(path, OFlags::PATH)?;
        rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH)
    }

    /// Where a link leads.
    pub(crate) fn read_link(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let fd = self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes())
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<String>, Errno> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                // A name that is no text cannot be written in a Dockerfile, and is refused in a copied directory too.
                names.push(String::from_utf8(name.to_vec()).map_err(|_| Errno::ILSEQ)?);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A file's content, up to `most` bytes.
    pub(crate) fn read(&self, path: &str, most: u64) -> io::Result<Vec<u8>> {
        let file = std::fs::File::from(self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(Errno::INVAL.into());
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// An entry for what stands at `path` of a tree (the link itself if it is one), under another name.
pub(super) fn entry(root: &Root, path: &str, name: &str) -> Result<Entry, Errno> {
    describe(&root.open(path, OFlags::PATH | OFlags::NOFOLLOW)?, name)
}

/// An entry for the root itself, which may be a file.
pub(super) fn entry_of(root: &Root, name: &str) -> Result<Entry, Errno> {
    describe(&root.fd, name)
}

fn describe(fd: &OwnedFd, name: &str) -> Result<Entry, Errno> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::CharacterDevice => EntryKind::CharDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Fifo => EntryKind::Fifo,
        _ => return Err(Errno::NOTSUP),
    };
    let mut entry = Entry::new(kind, name.as_bytes(), stat.st_mode & 0o7777);
    (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
    entry.mtime = Timestamp {
        seconds: stat.st_mtime,
        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    };
    match kind {
        EntryKind::File => entry.size = u64::try_from(stat.st_size).unwrap_or(0),
        EntryKind::Symlink => entry.link = rustix::fs::readlinkat(fd, "", Vec::new())?.into_bytes(),
        EntryKind::CharDevice | EntryKind::BlockDevice => {
            entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        }
        _ => {}
    }
    if matches!(kind, EntryKind::File | EntryKind::Directory) {
        entry.xattrs = attributes(fd, kind)?;
    }
    Ok(entry)
}

/// The attributes that belong to a file and not to the machine.
fn attributes(fd: &OwnedFd, kind: EntryKind) -> Result<Vec<Xattr>, Errno> {
    let flags = if kind == EntryKind::Directory {
        OFlags::DIRECTORY
    } else {
        OFlags::empty()
    };
    let file = linux::fs::reopen(fd.as_fd(), OFlags::RDONLY | OFlags::NONBLOCK | flags)?;
    let mut names = [0_u8; 4096];
    let length = match rustix::fs::flistxattr(&file, &mut names) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        length => length?,
    };
    let mut kept = Vec::new();
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let bytes = name.to_bytes();
        if bytes.starts_with(b"user.") || bytes == b"security.capability" {
            let mut value = vec![0_u8; linux::fs::XATTR_MAX];
            let length = rustix::fs::fgetxattr(&file, name, &mut value[..])?;
            value.truncate(length);
            kept.push((bytes.to_vec(), value));
        }
    }
    Ok(kept)
}

/// Visits a source and everything below it in order: path in the tree, path below the source.
pub(super) fn walk(
    source: &Source,
    visit: &mut dyn FnMut(&str, &str) -> Result<bool, String>,
) -> Result<(), String> {
    let root = &source.root;
    let mut open = vec![(source.path.clone(), String::new(), 0)];
    while let Some((path, below, depth)) = open.pop() {
        if !visit(&path, &below)? || depth > MAX_DEPTH {
            continue;
        }
        let stat = if depth == 0 {
            root.stat(&path)
        } else {
            root.lstat(&path)
        };
        let stat = stat.map_err(|errno| format!("{path}: {errno}"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        let names = root.names(&path).map_err(|errno| format!("{path}: {errno}"))?;
        for name in names.into_iter().rev() {
            let next = if below.is_empty() {
                name.clone()
            } else {
                format!("{below}/{name}")
            };
            open.push((format!("{path}/{name}"), next, depth + 1));
        }
    }
    Ok(())
}

/// A digest over everything that matters of a source: names, kinds, permissions, owners, links, content; not the times.
pub(super) fn hash(source: &Source) -> Result<String, String> {
    let root = &source.root;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut visit = |path: &str, below: &str| -> Result<bool, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{path}: {error}");
        if source.excludes(below) {
            return Ok(true);
        }
        let found = if below.is_empty() {
            // A link that is named itself stands for what it leads to.
            root.open(path, OFlags::PATH).and_then(|fd| describe(&fd, below))
        } else {
            entry(root, path, below)
        };
        let entry = match found {
            // A socket is in no archive.
            Err(Errno::NOTSUP) => return Ok(false),
            entry => entry.map_err(|errno| wrong(&errno))?,
        };
        let name = if below.is_empty() && !source.is_directory {
            source.name()
        } else {
            below
        };
        let kind = format!("{:?}", entry.kind);
        hasher.update(format!(
            "{name}\0{kind}\0{:o}\0{}:{}\0{}\0",
            entry.mode, entry.uid, entry.gid, entry.size
        ));
        hasher.update(&entry.link);
        hasher.update(format!("\0{:?}\0", entry.device));
        for (name, value) in &entry.xattrs {
            hasher.update(name);
            hasher.update([b'=']);
            hasher.update(value);
            hasher.update([0]);
        }
        if entry.kind == EntryKind::File {
            let mut file = std::fs::File::from(root.open(path, OFlags::RDONLY).map_err(|e| wrong(&e))?);
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => hasher.update(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(wrong(&error)),
                }
            }
        }
        Ok(true)
    };
    walk(source, &mut visit)?;
    Ok(hex(&hasher.finalize()))
}
