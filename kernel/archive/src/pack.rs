//! From a directory to an archive, always in the same order.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::entry::display;
use crate::{Change, ChangeKind, Entry, EntryKind, IdMap, PackError, Timestamp, Writer, tree};

/// What overlayfs' marks become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PackWhiteouts {
    /// The directory is an overlay's upper layer: character devices 0:0 become `.wh.` files, opaque directories
    /// hold a `.wh..wh..opq`.
    FromOverlay,
    /// The directory is a plain tree.
    #[default]
    Literal,
}

/// Whether a path is left out.
pub type Exclude<'a> = dyn FnMut(&[u8]) -> bool + 'a;

/// How to pack.
#[derive(Default)]
pub struct PackOptions<'a> {
    /// What to pack: a path below the root, not followed if it is a symbolic link (parents are, inside the root);
    /// empty: the whole root.
    pub start: &'a [u8],
    /// The name that `start` gets in the archive. Empty: the entries are named relative to `start`, which must be a
    /// directory and gets no entry itself.
    pub name: &'a [u8],
    /// Default: [`PackWhiteouts::Literal`].
    pub whiteouts: PackWhiteouts,
    /// From ids on disk to ids in the archive.
    pub uids: IdMap,
    /// From ids on disk to ids in the archive.
    pub gids: IdMap,
    /// Do not descend into other file systems (their mount points are packed as empty directories).
    pub one_file_system: bool,
    /// Paths (relative to `start`) for which this is true are left out, with all below them.
    pub exclude: Option<&'a mut Exclude<'a>>,
}

impl fmt::Debug for PackOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackOptions").finish_non_exhaustive()
    }
}

/// What was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackStats {
    /// Entries written.
    pub entries: u64,
    /// Sum of the sizes of the regular files in bytes.
    pub size: u64,
}

/// Writes the tree below `root` as an archive to `out` and ends it. Entries are sorted by name within each directory;
/// further names of a file are hard links; sockets are left out; times are to the nanosecond; extended
/// attributes are kept (overlayfs' own are not). Symbolic links are never followed out of `root`.
///
/// # Errors
/// [`PackError`]; `NotFound` when `options.start` is not there.
pub fn pack(
    root: BorrowedFd<'_>,
    out: impl Write,
    mut options: PackOptions<'_>,
) -> Result<PackStats, PackError> {
    let start =
        tree::clean(options.start).ok_or_else(|| file_error(options.start, "resolve", Errno::NOENT))?;
    let (parent, name) = tree::split(&start);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let holder =
        tree::open_in_root(root, parent, flags).map_err(|source| file_error(parent, "open", source))?;
    let exclude = options.exclude.take();
    let mut packer = Packer::new(out, &options);
    let top = if name.is_empty() { b"." } else { name };
    let status = tree::stat(&holder, top)
        .and_then(|found| found.ok_or(Errno::NOENT))
        .map_err(|source| file_error(&start, "stat", source))?;
    packer.device = status.st_dev;
    if !options.name.is_empty() {
        packer.entry(holder.as_fd(), top, options.name, &status)?;
    }
    if tree::kind(&status) == FileType::Directory {
        let directory =
            tree::open_directory(&holder, top).map_err(|source| file_error(&start, "open", source))?;
        packer.tree(directory, options.name.to_vec(), exclude)?;
    } else if options.name.is_empty() {
        return Err(file_error(&start, "open", Errno::NOTDIR));
    }
    packer.finish()
}

/// Writes a layer of the given `changes`: added and changed paths with their present state in `root`, deleted ones as
/// `.wh.` files. The layer's parent plus this archive is `root`. `options.start` and `options.name` do not count.
///
/// # Errors
/// [`PackError`].
pub fn pack_changes(
    root: BorrowedFd<'_>,
    changes: &[Change],
    out: impl Write,
    options: PackOptions<'_>,
) -> Result<PackStats, PackError> {
    let mut packer = Packer::new(out, &options);
    for change in changes {
        let Some(path) = tree::clean(&change.path).filter(|path| !path.is_empty()) else {
            continue;
        };
        let (parent, name) = tree::split(&path);
        if change.kind == ChangeKind::Deleted {
            let whiteout = [parent, if parent.is_empty() { b"" } else { b"/" }, b".wh.", name].concat();
            packer.write(&Entry::file(whiteout, 0o600, 0), None, &path)?;
            continue;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let holder = match tree::open_without_links(root, parent, flags) {
            Ok(holder) => holder,
            Err(source) => return Err(file_error(parent, "open", source)),
        };
        if let Some(status) = tree::stat(&holder, name).map_err(|source| file_error(&path, "stat", source))? {
            packer.entry(holder.as_fd(), name, &path, &status)?;
        }
    }
    packer.finish()
}

struct Packer<W> {
    writer: Writer<W>,
    overlay: bool,
    uids: IdMap,
    gids: IdMap,
    /// The file system to stay on.
    one_file_system: bool,
    device: u64,
    /// The first name of each file that has several, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
    stats: PackStats,
}

impl<W: Write> Packer<W> {
    fn new(out: W, options: &PackOptions<'_>) -> Self {
        Self {
            writer: Writer::new(out),
            overlay: options.whiteouts == PackWhiteouts::FromOverlay,
            uids: options.uids.clone(),
            gids: options.gids.clone(),
            one_file_system: options.one_file_system,
            device: 0,
            names: HashMap::new(),
            stats: PackStats::default(),
        }
    }

    /// All below `directory`, whose name in the archive is `name`. A stack of names, not recursion; descriptors are
    /// open only for the directories on the way down.
    fn tree(
        &mut self,
        directory: OwnedFd,
        name: Vec<u8>,
        mut exclude: Option<&mut Exclude<'_>>,
    ) -> Result<(), PackError> {
        let base = name.len() + usize::from(!name.is_empty() && !name.ends_with(b"/"));
        let mut stack = vec![self.level(directory, name)?];
        while let Some(level) = stack.last_mut() {
            let Some(child) = level.pending.pop() else {
                stack.pop();
                continue;
            };
            let mut path = level.path.clone();
            if !path.is_empty() && !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(&child);
            if exclude.as_mut().is_some_and(|exclude| exclude(&path[base..])) {
                continue;
            }
            let status = match tree::stat(&level.directory, &child) {
                Ok(Some(status)) => status,
                // Gone since it was listed.
                Ok(None) => continue,
                Err(source) => return Err(file_error(&path, "stat", source)),
            };
            self.entry(level.directory.as_fd(), &child, &path, &status)?;
            let foreign = self.one_file_system && status.st_dev != self.device;
            if tree::kind(&status) == FileType::Directory && !foreign {
                match tree::open_directory(&level.directory, &child) {
                    Ok(below) => {
                        let below = self.level(below, path)?;
                        stack.push(below);
                    }
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(source) => return Err(file_error(&path, "open", source)),
                }
            }
        }
        Ok(())
    }

    fn level(&mut self, directory: OwnedFd, path: Vec<u8>) -> Result<Level, PackError> {
        if self.overlay
            && tree::is_opaque(&directory).map_err(|source| file_error(&path, "getxattr", source))?
        {
            let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
            let mark = [&path, separator, b".wh..wh..opq"].concat();
            self.write(&Entry::file(mark, 0o600, 0), None, &path)?;
        }
        let mut pending = tree::names(&directory).map_err(|source| file_error(&path, "list", source))?;
        pending.reverse();
        Ok(Level {
            directory,
            path,
            pending,
        })
    }

    /// One file of any kind, as `path`.
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        status: &Stat,
    ) -> Result<(), PackError> {
        if self.overlay && tree::is_whiteout(status) {
            let (above, hidden) = tree::split(path);
            let separator: &[u8] = if above.is_empty() { b"" } else { b"/" };
            let whiteout = [above, separator, b".wh.", hidden].concat();
            return self.write(&Entry::file(whiteout, 0o600, 0), None, path);
        }
        let kind = match tree::kind(status) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            _ => return Ok(()),
        };
        let mut entry = self.describe(kind, path, status);
        if kind != EntryKind::Directory && status.st_nlink > 1 {
            match self.names.entry((status.st_dev, status.st_ino)) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    entry.kind = EntryKind::HardLink;
                    entry.link.clone_from(first.get());
                    return self.write(&entry, None, path);
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(path.to_vec());
                }
            }
        }
        match kind {
            EntryKind::File => self.file(parent, name, path, entry),
            EntryKind::Directory => {
                let opened =
                    tree::open_directory(parent, name).map_err(|source| file_error(path, "open", source))?;
                entry.xattrs =
                    tree::xattrs_of(&opened).map_err(|source| file_error(path, "getxattr", source))?;
                self.write(&entry, None, path)
            }
            _ => {
                if kind == EntryKind::Symlink {
                    let target = rustix::fs::readlinkat(parent, name, Vec::new());
                    entry.link = target
                        .map_err(|source| file_error(path, "readlink", source))?
                        .into_bytes();
                }
                entry.xattrs =
                    tree::xattrs_at(parent, name).map_err(|source| file_error(path, "getxattr", source))?;
                self.write(&entry, None, path)
            }
        }
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        entry: Entry,
    ) -> Result<(), PackError> {
        // NONBLOCK: should it have become a pipe meanwhile, do not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            Err(source) => return Err(file_error(path, "open", source)),
        };
        let status = rustix::fs::fstat(&file).map_err(|source| file_error(path, "stat", source))?;
        if tree::kind(&status) != FileType::RegularFile {
            return Ok(());
        }
        let mut entry = Entry {
            kind: entry.kind,
            ..self.describe(EntryKind::File, path, &status)
        };
        entry.xattrs = tree::xattrs_of(&file).map_err(|source| file_error(path, "getxattr", source))?;
        self.write(&entry, Some(File::from(file)), path)
    }

    fn describe(&self, kind: EntryKind, path: &[u8], status: &Stat) -> Entry {
        // Ids that the map does not have belong to nobody inside: the kernel's overflow id.
        const NOBODY: u32 = 65_534;
        let mut entry = Entry::new(kind, path, status.st_mode & 0o7777);
        entry.uid = self.uids.to_inside(status.st_uid).unwrap_or(NOBODY);
        entry.gid = self.gids.to_inside(status.st_gid).unwrap_or(NOBODY);
        entry.mtime = Timestamp {
            seconds: status.st_mtime,
            nanos: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
        };
        if kind == EntryKind::File {
            entry.size = u64::try_from(status.st_size).unwrap_or(0);
        }
        if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            entry.device = (
                rustix::fs::major(status.st_rdev),
                rustix::fs::minor(status.st_rdev),
            );
        }
        entry
    }

    fn write(&mut self, entry: &Entry, data: Option<File>, path: &[u8]) -> Result<(), PackError> {
        let mut kept = None;
        if entry.xattrs.iter().any(|(key, _)| is_overlays(key)) {
            let mut entry = entry.clone();
            entry.xattrs.retain(|(key, _)| !is_overlays(key));
            kept = Some(entry);
        }
        let entry = kept.as_ref().unwrap_or(entry);
        let result = match data {
            Some(mut file) => self.writer.append(entry, &mut file),
            None => self.writer.append(entry, &mut io::empty()),
        };
        self.stats.entries += 1;
        self.stats.size += entry.size;
        result.map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => PackError::Shrank { path: display(path) },
            _ => PackError::Write {
                path: display(path),
                source,
            },
        })
    }

    fn finish(self) -> Result<PackStats, PackError> {
        self.writer.finish().map_err(|source| PackError::Write {
            path: "the end".to_owned(),
            source,
        })?;
        Ok(self.stats)
    }
}

/// overlayfs' own marks mean something only where they are.
fn is_overlays(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.")
}

/// A directory on the way down.
struct Level {
    directory: OwnedFd,
    path: Vec<u8>,
    /// Names still to pack, last one first.
    pending: Vec<Vec<u8>>,
}

fn file_error(path: &[u8], step: &'static str, source: Errno) -> PackError {
    PackError::File {
        path: display(path),
        step,
        source,
    }
}
