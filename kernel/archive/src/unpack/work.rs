//! Unpacking, entry by entry.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::attributes::{skip_unsupported, timestamps, wanted_xattrs};
use super::place::Place;
use super::{Devices, UnpackOptions, UnpackStats, Verdict, Whiteouts};
use crate::crc64::Crc64;
use crate::entry::display;
use crate::{Entry, EntryKind, ReadError, Reader, Timestamp, UnpackError, tree};

pub(super) struct Unpacker<'r, 'a> {
    pub(super) place: Place<'r>,
    pub(super) options: UnpackOptions<'a>,
    pub(super) stats: UnpackStats,
    /// Times of directories, set at the end because every new name in one changes its time.
    directory_times: HashMap<Vec<u8>, Timestamp>,
}

/// Where the data of a file goes.
enum Target<'t> {
    Written(&'t mut File),
    /// It is there already: the data is for the record only.
    Linked(&'t OwnedFd),
}

/// A step on the file system that failed.
pub(super) type Step<T> = Result<T, (&'static str, Errno)>;

pub(super) fn at<T>(step: &'static str, result: Result<T, Errno>) -> Step<T> {
    result.map_err(|source| (step, source))
}

impl<'r, 'a> Unpacker<'r, 'a> {
    pub(super) fn new(root: BorrowedFd<'r>, options: UnpackOptions<'a>) -> Self {
        let attic = options.record.as_ref().and(options.attic);
        Self {
            place: Place::new(root, attic, options.whiteouts == Whiteouts::Apply),
            options,
            stats: UnpackStats::default(),
            directory_times: HashMap::new(),
        }
    }

    pub(super) fn run<R: BufRead>(mut self, source: R) -> Result<UnpackStats, UnpackError> {
        let mut reader = Reader::with_limits(source, self.options.limits);
        if self.options.record.is_some() {
            reader.keep_raw();
        }
        while let Some(mut entry) = reader.next_entry()? {
            self.stats.entries += 1;
            self.flush_raw(&mut reader, &entry)?;
            self.limit_total(&entry)?;
            let verdict = self
                .options
                .on_entry
                .as_mut()
                .map_or(Verdict::Unpack, |see| see(&mut entry));
            if verdict == Verdict::Unpack {
                self.entry(&entry, &mut reader)?;
            } else {
                self.stats.skipped += 1;
            }
            // Whatever of the data went into no file must go into the record.
            self.keep_data(&entry, &mut reader)?;
        }
        let end = Entry::new(EntryKind::File, *b"(end of archive)", 0);
        self.flush_raw(&mut reader, &end)?;
        let record = &mut self.options.record;
        while reader.drain_some(|piece| match record {
            Some(record) => record.segment(piece).map_err(|source| record_error(&end, source)),
            None => Ok(()),
        })? {}
        self.set_directory_times()?;
        Ok(self.stats)
    }

    fn limit_total(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.stats.size = self.stats.size.saturating_add(entry.size);
        let limit = self.options.limits.total_size;
        if self.stats.size > limit {
            let (entry, what) = (entry.display_path(), "the sum of all sizes");
            return Err(ReadError::Limit { entry, what, limit }.into());
        }
        Ok(())
    }

    /// Headers and padding go into the record.
    fn flush_raw<R: BufRead>(&mut self, reader: &mut Reader<R>, entry: &Entry) -> Result<(), UnpackError> {
        if let Some(record) = &mut self.options.record {
            let raw = reader.take_raw();
            record
                .segment(raw)
                .map_err(|source| record_error(entry, source))?;
            raw.clear();
        }
        Ok(())
    }

    fn keep_data<R: BufRead>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<(), UnpackError> {
        while reader.remaining() > 0 {
            let piece = reader.data("the data of an entry")?;
            let length = piece.len();
            if let Some(record) = &mut self.options.record {
                record
                    .segment(piece)
                    .map_err(|source| record_error(entry, source))?;
            }
            reader.advance(length);
        }
        Ok(())
    }

    fn entry<R: BufRead>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<(), UnpackError> {
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        let refused = |problem| UnpackError::Refused {
            entry: entry.display_path(),
            problem,
        };
        let path = tree::clean(&entry.path).ok_or_else(|| UnpackError::Escape {
            entry: entry.display_path(),
            what: "its name",
        })?;
        let (parent, name) = tree::split(&path);
        if self.options.whiteouts != Whiteouts::Literal && name.starts_with(b".wh.") {
            return self.whiteout(entry, parent, &name[b".wh.".len()..]);
        }
        if path.is_empty() {
            if entry.kind != EntryKind::Directory {
                return Err(refused("the root can only be a directory"));
            }
            let root = at(
                "open the root",
                tree::open_in_root(self.place.root(), b"", tree::DIRECTORY),
            )
            .map_err(failed)?;
            self.finish(entry, &root)?;
            self.directory_times.insert(path, entry.mtime);
            return Ok(());
        }
        match entry.kind {
            EntryKind::Directory => self.directory(entry, &path),
            EntryKind::File => self.file(entry, &path, reader),
            EntryKind::HardLink => self.hard_link(entry, &path),
            EntryKind::CharDevice | EntryKind::BlockDevice => match self.options.devices {
                Devices::Create => self.special(entry, &path),
                Devices::Refuse => Err(refused("device nodes are not allowed here")),
                Devices::Skip => {
                    self.stats.skipped += 1;
                    Ok(())
                }
            },
            EntryKind::Symlink | EntryKind::Fifo => self.special(entry, &path),
            EntryKind::Other(_) => Err(refused("its type is unknown")),
        }?;
        self.place.made(&path);
        Ok(())
    }

    /// Calls `make` in the directory of `path`; when something stands there, removes it and tries again.
    /// `make` is told the directory and the name.
    pub(super) fn replace<T>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        step: &'static str,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        let (parent, name) = tree::split(path);
        for _ in 0..3 {
            let directory = self.place.directory(parent).map_err(failed)?;
            match make(directory, name) {
                Err(Errno::EXIST) => {}
                other => return at(step, other).map_err(failed),
            }
            let Some(present) = at("look at its place", tree::stat(directory, name)).map_err(failed)? else {
                continue;
            };
            if !self.options.replace_directories && tree::kind(&present) == FileType::Directory {
                return Err(UnpackError::Refused {
                    entry: entry.display_path(),
                    problem: "cannot overwrite directory with non-directory",
                });
            }
            self.place.clear(parent, name, &present).map_err(failed)?;
        }
        Err(failed((step, Errno::EXIST)))
    }

    fn directory(&mut self, entry: &Entry, path: &[u8]) -> Result<(), UnpackError> {
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        let (parent, name) = tree::split(path);
        let directory = self.place.directory(parent).map_err(failed)?;
        let mut opaque = false;
        match rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let present = at("look at its place", tree::stat(directory, name)).map_err(failed)?;
                if let Some(present) = present.filter(|present| tree::kind(present) != FileType::Directory) {
                    if !self.options.replace_directories {
                        return Err(UnpackError::Refused {
                            entry: entry.display_path(),
                            problem: "cannot overwrite non-directory with directory",
                        });
                    }
                    // The mark must not be lost: what it hid would shine through the directory.
                    opaque = self.options.whiteouts == Whiteouts::Overlay && tree::is_whiteout(&present);
                    self.place.clear(parent, name, &present).map_err(failed)?;
                    let directory = self.place.directory(parent).map_err(failed)?;
                    at(
                        "mkdir",
                        rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700)),
                    )
                    .map_err(failed)?;
                }
            }
            Err(source) => return Err(failed(("mkdir", source))),
        }
        let directory = self.place.directory(parent).map_err(failed)?;
        let made = at("open", tree::open_directory(directory, name)).map_err(failed)?;
        if opaque {
            at("set trusted.overlay.opaque", tree::set_opaque(&made)).map_err(failed)?;
        }
        self.finish(entry, &made)?;
        self.directory_times.insert(path.to_vec(), entry.mtime);
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        reader: &mut Reader<R>,
    ) -> Result<(), UnpackError> {
        let present = self.linked(entry);
        if let Some(present) = &present
            && self.link(entry, path, present)?
        {
            return self.data(entry, &mut Target::Linked(present), reader);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.replace(entry, path, "create", |directory, name| {
            rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))
        })?;
        let mut file = File::from(file);
        match &entry.sparse {
            Some(_) => self.sparse_data(entry, &mut file, reader)?,
            None => self.data(entry, &mut Target::Written(&mut file), reader)?,
        }
        let file = OwnedFd::from(file);
        self.finish(entry, &file)?;
        let times = timestamps(entry.mtime);
        rustix::fs::futimens(&file, &times).map_err(|source| UnpackError::File {
            entry: entry.display_path(),
            step: "set its times",
            source,
        })
    }

    fn data<R: BufRead>(
        &mut self,
        entry: &Entry,
        target: &mut Target<'_>,
        reader: &mut Reader<R>,
    ) -> Result<(), UnpackError> {
        let mut sum = Crc64::default();
        let recording = self.options.record.is_some();
        while reader.remaining() > 0 {
            let piece = reader.data("the data of an entry")?;
            let length = piece.len();
            if let Target::Written(file) = target {
                file.write_all(piece)
                    .map_err(|error| write_error(entry, &error))?;
            }
            if recording {
                sum.update(piece);
            }
            reader.advance(length);
        }
        if let Some(record) = &mut self.options.record {
            let position = record
                .file(&entry.path, entry.size, sum)
                .map_err(|source| record_error(entry, source))?;
            if entry.size > 0 {
                let status = match target {
                    Target::Written(file) => rustix::fs::fstat(&**file),
                    Target::Linked(file) => rustix::fs::fstat(*file),
                };
                let status = status.map_err(|source| UnpackError::File {
                    entry: entry.display_path(),
                    step: "stat",
                    source,
                })?;
                self.place.recorded(status.st_ino, position);
            }
        }
        Ok(())
    }

    /// The runs of a sparse file at their places; the record gets them as raw bytes, as they are in the archive.
    fn sparse_data<R: BufRead>(
        &mut self,
        entry: &Entry,
        file: &mut File,
        reader: &mut Reader<R>,
    ) -> Result<(), UnpackError> {
        use std::os::unix::fs::FileExt;
        for run in entry.sparse.iter().flatten() {
            let mut done = 0;
            while done < run.length {
                let piece = reader.data("the data of a sparse file")?;
                let length =
                    usize::try_from(run.length - done).map_or(piece.len(), |most| piece.len().min(most));
                if length == 0 {
                    break;
                }
                let piece = &piece[..length];
                file.write_all_at(piece, run.offset + done)
                    .map_err(|error| write_error(entry, &error))?;
                if let Some(record) = &mut self.options.record {
                    record
                        .segment(piece)
                        .map_err(|source| record_error(entry, source))?;
                }
                done += length as u64;
                reader.advance(length);
            }
        }
        rustix::fs::ftruncate(&*file, entry.size).map_err(|source| UnpackError::File {
            entry: entry.display_path(),
            step: "set its size",
            source,
        })
    }

    fn hard_link(&mut self, entry: &Entry, path: &[u8]) -> Result<(), UnpackError> {
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        let target = tree::clean(&entry.link).ok_or_else(|| UnpackError::Escape {
            entry: entry.display_path(),
            what: "its link target",
        })?;
        if target.is_empty() {
            return Err(failed(("link", Errno::PERM)));
        }
        if target == path {
            // Replacing it by itself would lose it.
            return Ok(());
        }
        let (holder, target_name) = tree::split(&target);
        let holder = at(
            "open the directory of its link target",
            tree::open_in_root(self.place.root(), holder, OFlags::PATH | OFlags::DIRECTORY),
        )
        .map_err(failed)?;
        let present = at("look at its link target", tree::stat(&holder, target_name)).map_err(failed)?;
        let present = present.ok_or_else(|| failed(("look at its link target", Errno::NOENT)))?;
        // A link to something that the archive was not allowed to make itself.
        let is_device = matches!(
            tree::kind(&present),
            FileType::CharacterDevice | FileType::BlockDevice
        );
        if is_device && self.options.devices != Devices::Create {
            return Err(UnpackError::Refused {
                entry: entry.display_path(),
                problem: "device nodes are not allowed here",
            });
        }
        self.replace(entry, path, "link", |directory, name| {
            rustix::fs::linkat(&holder, target_name, directory, name, AtFlags::empty())
        })
    }

    /// Links, pipes and devices: made by name, never opened.
    fn special(&mut self, entry: &Entry, path: &[u8]) -> Result<(), UnpackError> {
        self.replace(entry, path, "create", |directory, name| match entry.kind {
            EntryKind::Symlink => rustix::fs::symlinkat(&*entry.link, directory, name),
            kind => {
                let file_type = match kind {
                    EntryKind::CharDevice => FileType::CharacterDevice,
                    EntryKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let (major, minor) = entry.device;
                let device = rustix::fs::makedev(major, minor);
                rustix::fs::mknodat(directory, name, file_type, Mode::from_raw_mode(0o600), device)
            }
        })?;
        let owner = self.owner(entry)?;
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        let (parent, name) = tree::split(path);
        let directory = self.place.directory(parent).map_err(failed)?;
        if let Some((uid, gid)) = owner {
            let chown = rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
            at("chown", chown).map_err(failed)?;
        }
        let mut skipped = 0;
        if !entry.xattrs.is_empty() {
            let path = tree::proc_path(directory, name);
            for (key, value) in wanted_xattrs(entry, &mut skipped) {
                let result = rustix::fs::lsetxattr(&path, key, value, XattrFlags::empty());
                skip_unsupported(result, &mut skipped).map_err(failed)?;
            }
        }
        if entry.kind != EntryKind::Symlink {
            // By descriptor: somebody in a running container may have put a link there meanwhile.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let node =
                at("open", rustix::fs::openat(directory, name, flags, Mode::empty())).map_err(failed)?;
            at("chmod", tree::chmod(&node, Mode::from_raw_mode(entry.mode))).map_err(failed)?;
        }
        let times = timestamps(entry.mtime);
        at(
            "set its times",
            rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW),
        )
        .map_err(failed)?;
        self.stats.skipped += skipped;
        Ok(())
    }

    fn set_directory_times(&mut self) -> Result<(), UnpackError> {
        for (path, mtime) in std::mem::take(&mut self.directory_times) {
            // Replaced by something else since, or reached through a link that is no more.
            let Ok(directory) = tree::open_in_root(self.place.root(), &path, tree::DIRECTORY) else {
                continue;
            };
            rustix::fs::futimens(&directory, &timestamps(mtime)).map_err(|source| UnpackError::File {
                entry: display(&path),
                step: "set its times",
                source,
            })?;
        }
        Ok(())
    }
}

fn write_error(entry: &Entry, error: &std::io::Error) -> UnpackError {
    UnpackError::File {
        entry: entry.display_path(),
        step: "write",
        source: Errno::from_io_error(error).unwrap_or(Errno::IO),
    }
}

fn record_error(entry: &Entry, source: std::io::Error) -> UnpackError {
    UnpackError::Record {
        entry: entry.display_path(),
        source,
    }
}
