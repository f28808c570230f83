//! Reading a log that may still be written.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use fault::{Fault, Kind};
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::source::Source;
use crate::{Config, Driver, Position, Stream, Timestamp};

/// Which part of a log is wanted.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Only lines at or after this moment.
    pub since: Option<Timestamp>,
    /// Only lines at or before this moment.
    pub until: Option<Timestamp>,
    /// Only this many of the last lines (counted before `since` and streams are looked at, as Docker does).
    pub tail: Option<u64>,
    /// Go on when the end is reached: see [`Step::Wait`].
    pub follow: bool,
    /// Leave standard output out.
    pub no_stdout: bool,
    /// Leave standard error out.
    pub no_stderr: bool,
    /// Stop at this place, which `Attached` reported.
    pub up_to: Option<Position>,
}

/// One logged line, or a piece of a line longer than 16 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the monitor received it.
    pub time: Timestamp,
    /// From which output.
    pub stream: Stream,
    /// The bytes, with the line feed unless the line goes on in the next entry of this stream or was never ended.
    pub line: Vec<u8>,
    /// Whether `line` lacks its line feed.
    pub partial: bool,
    /// Attributes (`logs --details`).
    pub attributes: BTreeMap<String, String>,
}

/// What [`Reader::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A line.
    Entry(Entry),
    /// Nothing more now (only when following): wait until [`Reader::watch`] is readable, then ask again.
    Wait,
    /// The end.
    End,
}

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The driver keeps nothing.
    #[error("configured logging driver does not support reading")]
    NotReadable,
    /// A file of the log cannot be opened or read.
    #[error("read log file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The log cannot be watched.
    #[error("watch log file {path}: {source}")]
    Watch {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
}

impl Fault for ReadError {
    fn kind(&self) -> Kind {
        match self {
            ReadError::NotReadable => Kind::NotImplemented,
            ReadError::File { .. } | ReadError::Watch { .. } => Kind::System,
        }
    }
}

/// Reads one log from its oldest file to the newest. Synchronous; reads from disk, so call it off the async threads.
#[derive(Debug)]
pub struct Reader {
    driver: Driver,
    path: PathBuf,
    max_file: u32,
    options: ReadOptions,
    /// Oldest first; the front is being read.
    files: VecDeque<Source>,
    watch: Option<OwnedFd>,
    followed: bool,
    over: bool,
}

impl Reader {
    /// Positions at the first wanted line.
    ///
    /// # Errors
    /// [`ReadError`]; a log that does not exist yet is an empty one.
    pub fn open(config: &Config, options: ReadOptions) -> Result<Self, ReadError> {
        if config.driver == Driver::None {
            return Err(ReadError::NotReadable);
        }
        // Watch first, look then: nothing that happens in between is missed.
        let watch = if options.follow {
            Some(watch_directory(&config.path)?)
        } else {
            None
        };
        let mut reader = Reader {
            driver: config.driver,
            path: config.path.clone(),
            max_file: config.max_file,
            followed: options.follow,
            files: VecDeque::new(),
            watch,
            options,
            over: false,
        };
        let mut files = reader.open_files()?;
        match (reader.options.tail, reader.options.since) {
            (Some(tail), _) => reader.skip_to_tail(&mut files, tail)?,
            (None, Some(since)) => {
                // A rotated file's last change is its last line.
                while files.len() > 1 && files[0].modified() < since {
                    files.pop_front();
                }
            }
            (None, None) => {}
        }
        reader.files = files;
        Ok(reader)
    }

    /// The next line. A line that is not completely written yet counts as absent; a line that is no record is skipped.
    ///
    /// # Errors
    /// [`ReadError::File`] if the disk fails.
    #[allow(
        clippy::should_implement_trait,
        reason = "it is fallible and has three outcomes"
    )]
    pub fn next(&mut self) -> Result<Step, ReadError> {
        loop {
            if self.over {
                return Ok(Step::End);
            }
            self.drain_watch();
            let has_successor = self.files.len() > 1;
            let Some(file) = self.files.front_mut() else {
                if self.followed && self.open_successors(None)? {
                    continue;
                }
                return Ok(self.at_end());
            };
            let limit = match self.options.up_to {
                Some(position) if position.inode == file.inode() => Some(position.offset),
                _ => None,
            };
            let path = &self.path;
            let found = file
                .next(self.driver, limit)
                .map_err(|source| failed_on(path, source))?;
            match found {
                Some(entry) => {
                    if self.options.until.is_some_and(|until| entry.time > until) {
                        self.over = true;
                    } else if self.is_wanted(&entry) {
                        return Ok(Step::Entry(entry));
                    }
                }
                None if limit.is_some() => self.over = true,
                None if has_successor => drop(self.files.pop_front()),
                None => {
                    let inode = file.inode();
                    if !self.followed || !self.open_successors(Some(inode))? {
                        return Ok(self.at_end());
                    }
                }
            }
        }
    }

    /// Becomes readable when there may be more (an inotify instance, for `AsyncFd` or poll); `None` unless following.
    /// [`Reader::next`] drains it.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// The writer has ended: from now on the end of the newest file is [`Step::End`] instead of [`Step::Wait`].
    pub fn stop_following(&mut self) {
        self.options.follow = false;
    }

    fn at_end(&self) -> Step {
        if self.options.follow {
            Step::Wait
        } else {
            Step::End
        }
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        let hidden = match entry.stream {
            Stream::Stdout => self.options.no_stdout,
            Stream::Stderr => self.options.no_stderr,
        };
        !hidden && self.options.since.is_none_or(|since| entry.time >= since)
    }

    fn drain_watch(&self) {
        let Some(watch) = &self.watch else { return };
        let mut space = [std::mem::MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(watch, &mut space);
        while events.next().is_ok() {}
    }

    /// All files that exist now, oldest first. They are opened from the newest to the oldest, so that a rotation in
    /// between shows a file twice (and is left out then) instead of not at all.
    fn open_files(&self) -> Result<VecDeque<Source>, ReadError> {
        let mut files: VecDeque<Source> = VecDeque::new();
        for number in 0..self.max_file.max(1) {
            let opened = Source::open(&self.path, number).map_err(|source| failed_on(&self.path, source))?;
            let Some(file) = opened else {
                if number == 0 {
                    continue;
                }
                break;
            };
            if files.iter().all(|known| known.inode() != file.inode()) {
                files.push_front(file);
            }
        }
        Ok(files)
    }

    /// When the log was rotated since: queues what came after the file that is read now, and says whether there is any.
    fn open_successors(&mut self, current: Option<u64>) -> Result<bool, ReadError> {
        let newest = rustix::fs::stat(&self.path).map(|stat| stat.st_ino).ok();
        if newest.is_none() || newest == current {
            return Ok(false);
        }
        let mut files = self.open_files()?;
        if let Some(at) = files.iter().position(|file| Some(file.inode()) == current) {
            files.drain(..=at);
        }
        let any = !files.is_empty();
        // The file at the front is asked once more before it is left: its last lines may be newer than our last look.
        self.files.extend(files);
        Ok(any)
    }

    fn skip_to_tail(&self, files: &mut VecDeque<Source>, tail: u64) -> Result<(), ReadError> {
        let mut left = tail;
        for index in (0..files.len()).rev() {
            left -= files[index]
                .skip_to_tail(self.driver, left)
                .map_err(|source| failed_on(&self.path, source))?;
            if left == 0 {
                files.drain(..index);
                break;
            }
        }
        Ok(())
    }
}

fn watch_directory(path: &Path) -> Result<OwnedFd, ReadError> {
    let failed = |source| ReadError::Watch {
        path: path.to_owned(),
        source,
    };
    let watch =
        inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, path.parent().unwrap_or(Path::new("/")), events).map_err(failed)?;
    Ok(watch)
}

fn failed_on(path: &Path, source: io::Error) -> ReadError {
    ReadError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
