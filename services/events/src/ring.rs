//! The file that keeps the last events: JSON lines, in two halves of which the older is dropped when the newer is
//! full. Written without fsync: after a power loss the last events may be missing.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use api_types::event::Message;

/// How long the newer half grows, in bytes.
const HALF: u64 = 2 << 20;
/// A longer line is not ours.
const MAX_LINE: u64 = 1 << 20;

/// The ring file failed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// It could not be opened.
    #[error("open the events file {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An event could not be written.
    #[error("write to the events file {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl fault::Fault for RingError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::System
    }
}

#[derive(Debug)]
pub(crate) struct Ring {
    path: PathBuf,
    file: File,
    length: u64,
    /// Whether the file ends in the middle of a line.
    torn: bool,
}

impl Ring {
    pub(crate) fn open(path: &Path) -> Result<Self, RingError> {
        let open = |source| RingError::Open {
            path: path.to_path_buf(),
            source,
        };
        let file = open_append(path).map_err(open)?;
        let length = file.metadata().map_err(open)?.len();
        // After a kill, a power loss or on a full disk. It is not ended here: a daemon must start on a full disk, for
        // it is what people free space with.
        let torn = length > 0 && !ends_with_newline(path).map_err(open)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            length,
            torn,
        })
    }

    pub(crate) fn append(&mut self, message: &Message) -> Result<(), RingError> {
        let write = |path: &Path, source| RingError::Write {
            path: path.to_path_buf(),
            source,
        };
        let mut line = serde_json::to_vec(message).map_err(|e| write(&self.path, e.into()))?;
        line.push(b'\n');
        if self.length + line.len() as u64 > HALF && self.length > 0 {
            std::fs::rename(&self.path, older(&self.path)).map_err(|e| write(&self.path, e))?;
            self.file = open_append(&self.path).map_err(|e| write(&self.path, e))?;
            self.length = 0;
            self.torn = false;
        }
        if self.torn {
            // Readers skip what was begun.
            line.insert(0, b'\n');
        }
        if let Err(error) = self.file.write_all(&line) {
            // A part of it may be there.
            self.torn = true;
            self.length = self.file.metadata().map_or(self.length, |found| found.len());
            return Err(write(&self.path, error));
        }
        self.torn = false;
        self.length += line.len() as u64;
        Ok(())
    }

    /// A reader of everything that is written now, and of nothing later.
    pub(crate) fn reader(&self) -> RingReader {
        let open = |path: &Path| File::open(path).ok();
        RingReader {
            older: open(&older(&self.path)),
            newer: open(&self.path).map(|file| file.take(self.length)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct RingReader {
    older: Option<File>,
    newer: Option<io::Take<File>>,
}

impl RingReader {
    /// All events after `since` (exclusive, nanoseconds) that `wanted` accepts, the oldest first. What is not an
    /// event is skipped.
    pub(crate) fn read(self, since: i64, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut found = Vec::new();
        let mut collect = |source: &mut dyn Read| {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut source).take(MAX_LINE).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
                if let Ok(message) = serde_json::from_slice::<Message>(&line)
                    && message.time_nano > since
                    && wanted(&message)
                {
                    found.push(message);
                }
            }
        };
        if let Some(mut older) = self.older {
            collect(&mut older);
        }
        if let Some(mut newer) = self.newer {
            collect(&mut newer);
        }
        found
    }
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = File::open(path)?;
    let mut last = [0];
    file.read_exact_at(&mut last, file.metadata()?.len().saturating_sub(1))?;
    Ok(last == *b"\n")
}
