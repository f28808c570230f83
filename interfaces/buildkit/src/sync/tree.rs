//! The daemon's copy of a client's directory. All blocking; nothing is opened but below it, and no link is followed.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;

use super::stat::{Entry, Kind};
use crate::grpc::{Code, Status};

/// How much longer than described a file may turn out to be: it may grow while it is read.
const GROWTH: u64 = 64 << 20;

/// A file that is being received.
#[derive(Debug)]
pub(super) struct Incoming {
    name: String,
    file: File,
    written: u64,
}

/// The copy.
#[derive(Debug)]
pub(super) struct Tree {
    /// The files.
    root: OwnedFd,
    /// Files that are not whole yet.
    incoming: OwnedFd,
    seen: HashSet<String>,
    links: Vec<Entry>,
    /// Times of directories, which change as long as files are put there.
    times: Vec<(String, i64)>,
}

fn failed<'a>(what: &'a str, path: &'a str) -> impl Fn(Errno) -> Status + 'a {
    move |errno| Status::new(Code::Internal, format!("{what} {path:?} of the context: {errno}"))
}

fn twice(entry: &Entry) -> Status {
    let text = format!("the client sent {:?} twice", entry.path);
    Status::new(Code::InvalidArgument, text)
}

impl Tree {
    /// Opens the copy below a directory of the daemon's and takes away what was never whole.
    pub(super) fn open(path: &Path) -> Result<Self, Status> {
        let shown = path.to_string_lossy();
        let wrong = failed("open", &shown);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = rustix::fs::open(path, flags, Mode::empty()).map_err(&wrong)?;
        archive::remove_tree(parent.as_fd(), b"incoming").map_err(&wrong)?;
        let make = |name: &str| {
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::openat(&parent, name, flags, Mode::empty())
        };
        Ok(Self {
            root: make(super::kept::TREE).map_err(&wrong)?,
            incoming: make("incoming").map_err(&wrong)?,
            seen: HashSet::new(),
            links: Vec::new(),
            times: Vec::new(),
        })
    }

    /// The directory that a path stands in, and the last name of the path.
    fn parent<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), Errno> {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok((self.directory(directory)?, name))
    }

    fn directory(&self, path: &str) -> Result<OwnedFd, Errno> {
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        linux::fd::open_beneath(self.root.as_fd(), &path, flags, Mode::empty())
    }

    /// Notes that an entry is there as it should be.
    pub(super) fn keep(&mut self, entry: &Entry) -> Result<(), Status> {
        match self.seen.insert(entry.path.clone()) {
            true => Ok(()),
            false => Err(twice(entry)),
        }
    }

    /// Takes away what stands at an entry's place, whatever it looks like.
    pub(super) fn clear(&self, entry: &Entry) -> Result<(), Status> {
        let wrong = failed("replace", &entry.path);
        let (parent, name) = self.parent(&entry.path).map_err(&wrong)?;
        match archive::remove_tree(parent.as_fd(), name.as_bytes()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(wrong(errno)),
        }
    }

    /// Puts an entry where it belongs if that needs no content; false when its content (or its link) is still wanted.
    pub(super) fn place(&mut self, entry: &Entry) -> Result<bool, Status> {
        let wrong = failed("make", &entry.path);
        if !self.seen.insert(entry.path.clone()) {
            return Err(twice(entry));
        }
        let (parent, name) = self.parent(&entry.path).map_err(&wrong)?;
        let known = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(wrong(errno)),
        };
        let mode = Mode::from_raw_mode(entry.mode);
        if entry.kind == Kind::Directory {
            self.times.push((entry.path.clone(), entry.time));
            match &known {
                Some(stat) if kind_of(stat) == FileType::Directory => {}
                _ => {
                    remove(&parent, name, known.as_ref()).map_err(&wrong)?;
                    rustix::fs::mkdirat(&parent, name, mode).map_err(&wrong)?;
                }
            }
            let directory = self.directory(&entry.path).map_err(&wrong)?;
            rustix::fs::fchmod(&directory, mode).map_err(&wrong)?;
            return set_xattrs(&directory, entry).map(|()| true).map_err(&wrong);
        }
        if entry.kind == Kind::Socket {
            self.seen.remove(&entry.path);
            return Ok(true);
        }
        if let Some(stat) = &known
            && is_same(&parent, name, stat, entry)
        {
            return Ok(true);
        }
        remove(&parent, name, known.as_ref()).map_err(&wrong)?;
        match entry.kind {
            Kind::Symlink => {
                rustix::fs::symlinkat(entry.link.as_str(), &parent, name).map_err(&wrong)?;
                set_time(&parent, name, entry.time).map_err(&wrong)?;
            }
            Kind::Fifo => {
                rustix::fs::mknodat(&parent, name, FileType::Fifo, mode, 0).map_err(&wrong)?;
                rustix::fs::chmodat(&parent, name, mode, AtFlags::empty()).map_err(&wrong)?;
                set_time(&parent, name, entry.time).map_err(&wrong)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Up to `most` bytes of a file, links followed below the root; nothing if there is none.
    pub(super) fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Status> {
        let wrong = failed("read", path);
        let name = CString::new(path).map_err(|_| wrong(Errno::INVAL))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match linux::fd::open_in_root(self.root.as_fd(), &name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(wrong(errno)),
        };
        let kind = rustix::fs::fstat(&file).map_err(&wrong)?;
        if kind_of(&kind) != FileType::RegularFile {
            return Err(wrong(Errno::INVAL));
        }
        let mut bytes = Vec::new();
        match file.take(most).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(Status::new(Code::Internal, format!("read {path:?}: {error}"))),
        }
    }

    /// Makes a hard link when all files are there.
    pub(super) fn link_later(&mut self, entry: Entry) {
        self.links.push(entry);
    }

    /// Begins a file.
    pub(super) fn begin(&self, number: u32) -> Result<Incoming, Status> {
        let name = number.to_string();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.incoming, &name, flags, Mode::from_raw_mode(0o600));
        let file = file.map_err(failed("receive", &name))?.into();
        Ok(Incoming {
            name,
            file,
            written: 0,
        })
    }

    /// More bytes of a file.
    pub(super) fn write(&self, incoming: &mut Incoming, entry: &Entry, data: &[u8]) -> Result<(), Status> {
        incoming.written += data.len() as u64;
        if incoming.written > entry.size.saturating_add(GROWTH) {
            let text = format!("{:?} is much longer than its {} bytes", entry.path, entry.size);
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        let written = incoming.file.write_all(data);
        written.map_err(|error| Status::new(Code::Internal, format!("write {:?}: {error}", entry.path)))
    }

    /// A file is whole.
    pub(super) fn put(&self, incoming: Incoming, entry: &Entry) -> Result<(), Status> {
        let wrong = failed("put", &entry.path);
        set_xattrs(&incoming.file, entry).map_err(&wrong)?;
        rustix::fs::fchmod(&incoming.file, Mode::from_raw_mode(entry.mode)).map_err(&wrong)?;
        let times = times(entry.time);
        rustix::fs::futimens(&incoming.file, &times).map_err(&wrong)?;
        let (parent, name) = self.parent(&entry.path).map_err(&wrong)?;
        rustix::fs::renameat(&self.incoming, &incoming.name, &parent, name).map_err(&wrong)
    }

    /// Everything was sent: links are made, what the client does not have any more goes, directories get their times.
    pub(super) fn finish(&mut self) -> Result<(), Status> {
        for entry in std::mem::take(&mut self.links) {
            let wrong = failed("link", &entry.path);
            if !self.seen.contains(&entry.link) {
                return Err(wrong(Errno::NOENT));
            }
            let (from, from_name) = self.parent(&entry.link).map_err(&wrong)?;
            let (parent, name) = self.parent(&entry.path).map_err(&wrong)?;
            rustix::fs::linkat(&from, from_name, &parent, name, AtFlags::empty()).map_err(&wrong)?;
        }
        self.remove_unseen()?;
        for (path, time) in std::mem::take(&mut self.times) {
            let wrong = failed("set the time of", &path);
            let directory = self.directory(&path).map_err(&wrong)?;
            rustix::fs::futimens(&directory, &times(time)).map_err(&wrong)?;
        }
        Ok(())
    }

    fn remove_unseen(&self) -> Result<(), Status> {
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            let wrong = failed("clear", &path);
            let directory = self
                .directory(if path.is_empty() { "." } else { &path })
                .map_err(&wrong)?;
            let names = names(&directory).map_err(&wrong)?;
            for (name, is_directory) in names {
                let shown = String::from_utf8_lossy(&name).into_owned();
                let full = if path.is_empty() {
                    shown
                } else {
                    format!("{path}/{shown}")
                };
                if !self.seen.contains(&full) {
                    archive::remove_tree(directory.as_fd(), &name).map_err(&wrong)?;
                } else if is_directory {
                    open.push(full);
                }
            }
        }
        Ok(())
    }
}

fn names(directory: &OwnedFd) -> Result<Vec<(Vec<u8>, bool)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => kind_of(&rustix::fs::statat(
                directory,
                entry.file_name(),
                AtFlags::SYMLINK_NOFOLLOW,
            )?),
            kind => kind,
        };
        names.push((name.to_vec(), kind == FileType::Directory));
    }
    Ok(names)
}

fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether what is there is what the client has, as far as one can tell without its content: fsutil's comparison.
fn is_same(parent: &OwnedFd, name: &str, stat: &Stat, entry: &Entry) -> bool {
    let kind = match kind_of(stat) {
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        _ => return false,
    };
    let nanos = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    if kind != entry.kind || nanos != i128::from(entry.time) {
        return false;
    }
    match kind {
        Kind::Symlink => rustix::fs::readlinkat(parent, name, Vec::new())
            .is_ok_and(|link| link.to_bytes() == entry.link.as_bytes()),
        // A hard link is made anew: which file it was made of cannot be seen.
        Kind::File if !entry.link.is_empty() => false,
        Kind::File => stat.st_mode & 0o7777 == entry.mode && u64::try_from(stat.st_size) == Ok(entry.size),
        _ => stat.st_mode & 0o7777 == entry.mode,
    }
}

fn remove(parent: &OwnedFd, name: &str, known: Option<&Stat>) -> Result<(), Errno> {
    match known {
        None => Ok(()),
        Some(_) => archive::remove_tree(parent.as_fd(), name.as_bytes()),
    }
}

fn times(nanos: i64) -> Timestamps {
    let unset = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let set = Timespec {
        tv_sec: nanos.div_euclid(1_000_000_000),
        tv_nsec: nanos.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: unset,
        last_modification: set,
    }
}

fn set_time(parent: &OwnedFd, name: &str, nanos: i64) -> Result<(), Errno> {
    rustix::fs::utimensat(parent, name, &times(nanos), AtFlags::SYMLINK_NOFOLLOW)
}

fn set_xattrs(file: impl AsFd, entry: &Entry) -> Result<(), Errno> {
    for (name, value) in &entry.xattrs {
        match rustix::fs::fsetxattr(&file, name.as_str(), value, XattrFlags::empty()) {
            // The daemon's file system has none; a copy would lose them as well.
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
