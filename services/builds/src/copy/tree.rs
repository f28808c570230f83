//! A tree that files are taken from or put on: nothing is opened but inside of it.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use archive::entry::Xattr;
use archive::{Entry, EntryKind, Timestamp};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::digests::Digests;
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

/// What a walk has come to.
pub(super) struct Here<'a> {
    /// The path in the tree.
    pub(super) path: &'a str,
    /// The path below the source; empty for the source itself.
    pub(super) below: &'a str,
    /// Its state; that of what it leads to, if the source itself is a link.
    pub(super) stat: Stat,
}

impl Here<'_> {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Visits a source and everything below it in order; nothing below a directory for which `visit` says false.
pub(super) fn walk(
    source: &Source,
    visit: &mut dyn FnMut(&Here<'_>) -> Result<bool, String>,
) -> Result<(), String> {
    let root = &source.root;
    let mut open = vec![(source.path.clone(), String::new(), 0)];
    // The directory of the last path: most stand in the same one as the path before.
    let mut near: Option<(String, OwnedFd)> = None;
    while let Some((path, below, depth)) = open.pop() {
        let wrong = |errno: Errno| format!("{path}: {errno}");
        let stat = match path.rsplit_once('/') {
            Some((parent, name)) if depth > 0 => {
                let directory = match near.take() {
                    Some((known, directory)) if known == parent => directory,
                    _ => root
                        .open(parent, OFlags::PATH | OFlags::DIRECTORY)
                        .map_err(wrong)?,
                };
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
                near = Some((parent.to_owned(), directory));
                stat
            }
            _ => root.stat(&path),
        };
        let here = Here {
            path: &path,
            below: &below,
            stat: stat.map_err(wrong)?,
        };
        if !visit(&here)? || depth > MAX_DEPTH || here.kind() != FileType::Directory {
            continue;
        }
        let names = root.names(&path).map_err(wrong)?;
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
pub(super) fn hash(source: &Source, digests: &Digests) -> Result<String, String> {
    let root = &source.root;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut visit = |here: &Here<'_>| -> Result<bool, String> {
        let (path, below) = (here.path, here.below);
        let wrong = |error: &dyn std::fmt::Display| format!("{path}: {error}");
        if source.excludes(below) {
            return Ok(true);
        }
        let name = if below.is_empty() && !source.is_directory {
            source.name()
        } else {
            below
        };
        if here.kind() == FileType::RegularFile {
            let digest = match digests.get(&here.stat) {
                Some(digest) => digest,
                None => content(root, here, digests, &mut buffer).map_err(|error| wrong(&error))?,
            };
            let (mode, uid, gid) = (here.stat.st_mode & 0o7777, here.stat.st_uid, here.stat.st_gid);
            let size = here.stat.st_size;
            hasher.update(format!("{name}\0File\0{mode:o}\0{uid}:{gid}\0{size}\0"));
            hasher.update(digest);
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
        hasher.update(format!(
            "{name}\0{:?}\0{:o}\0{}:{}\0",
            entry.kind, entry.mode, entry.uid, entry.gid
        ));
        hasher.update(&entry.link);
        hasher.update(format!("\0{:?}\0", entry.device));
        hasher.update(attributes_digest(&entry.xattrs));
        Ok(true)
    };
    walk(source, &mut visit)?;
    Ok(hex(&hasher.finalize()))
}

/// The digest of a file's content and attributes, which is remembered if the file was not changed meanwhile.
fn content(root: &Root, here: &Here<'_>, digests: &Digests, buffer: &mut [u8]) -> io::Result<[u8; 32]> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let follow = if here.below.is_empty() {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let fd = root.open(here.path, OFlags::RDONLY | OFlags::NONBLOCK | follow)?;
    let entry = describe(&fd, "")?;
    let mut hasher = Sha256::new();
    hasher.update(attributes_digest(&entry.xattrs));
    let mut file = std::fs::File::from(fd);
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = hasher.finalize().into();
    let after = rustix::fs::fstat(&file)?;
    digests.put(&here.stat, &after, digest, began.as_nanos());
    Ok(digest)
}

fn attributes_digest(xattrs: &[Xattr]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (name, value) in xattrs {
        hasher.update(name);
        hasher.update([b'=']);
        hasher.update((value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    hasher.finalize().into()
}
