//! Writing a log: lines, batches, rotation.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fault::{Fault, Kind};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::format::Encoder;
use crate::lines::Lines;
use crate::{Config, Driver, Position, Stream, Timestamp, buffer, rotation};

/// Records are gathered up to this many bytes before they are written.
const BATCH: usize = 64 * 1024;

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file cannot be made, opened or written.
    #[error("{step} log file {path}: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
}

impl Fault for WriteError {
    fn kind(&self) -> Kind {
        Kind::System
    }
}

/// Writes one container's log.
#[derive(Debug)]
pub struct Writer {
    lines: Lines,
    output: Output,
}

/// The file side, apart from the splitters so that both can be borrowed at once.
#[derive(Debug)]
struct Output {
    config: Config,
    encoder: Encoder,
    batch: Vec<u8>,
    file: Option<OwnedFd>,
    position: Position,
    rotated: bool,
}

impl Writer {
    /// Opens the log at its end, and makes it (mode 0640) if it is missing.
    ///
    /// # Errors
    /// [`WriteError::File`].
    pub fn open(config: &Config) -> Result<Self, WriteError> {
        let mut output = Output {
            encoder: Encoder::new(config.driver, &config.attributes),
            config: config.clone(),
            batch: Vec::new(),
            file: None,
            position: Position::default(),
            rotated: false,
        };
        if config.driver != Driver::None {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::open(&config.path, flags, Mode::from_raw_mode(0o640))
                .map_err(|source| failed("open", &config.path, source))?;
            rotation::mend_end(config.driver, &file)
                .map_err(|source| failed("mend", &config.path, source))?;
            output.use_file(file)?;
        }
        Ok(Writer {
            lines: Lines::default(),
            output,
        })
    }

    /// Takes output in pieces of any size; complete lines are encoded, and written when enough are gathered.
    ///
    /// # Errors
    /// [`WriteError::File`]; the lines gathered so far are lost then.
    pub fn write(&mut self, stream: Stream, at: Timestamp, bytes: &[u8]) -> Result<(), WriteError> {
        if self.output.file.is_none() {
            return Ok(());
        }
        let output = &mut self.output;
        self.lines
            .of(stream)
            .feed(bytes, |piece| output.append(stream, at, &piece))
    }

    /// Takes the lines of one batch of a [`crate::Buffer`].
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_batch(&mut self, batch: &[u8]) -> Result<(), WriteError> {
        let output = &mut self.output;
        buffer::pieces(batch).try_for_each(|(stream, at, piece)| output.append(stream, at, &piece))
    }

    /// Puts all complete lines on disk.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.output.flush()
    }

    /// The stream has ended: an unfinished line becomes a partial entry.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn finish(&mut self, stream: Stream, at: Timestamp) -> Result<(), WriteError> {
        let output = &mut self.output;
        self.lines
            .of(stream)
            .finish(|piece| output.append(stream, at, &piece))
    }

    /// Where the next line will be. Call [`Writer::flush`] first.
    pub fn position(&self) -> Position {
        self.output.position
    }

    /// The unfinished line of a stream, which is not in the log yet.
    pub fn pending(&self, stream: Stream) -> &[u8] {
        self.lines.pending(stream)
    }

    /// Whether a file was rotated away since the last call, so that [`crate::compress_rotated`] has work. Always
    /// false without compression.
    pub fn take_rotated(&mut self) -> bool {
        std::mem::take(&mut self.output.rotated) && self.output.config.compress
    }

    /// Gives memory back that only bursts need.
    pub fn shrink(&mut self) {
        if self.output.batch.is_empty() {
            self.output.batch = Vec::new();
        }
        self.lines.shrink();
    }
}

impl Output {
    fn append(
        &mut self,
        stream: Stream,
        at: Timestamp,
        piece: &crate::lines::Piece<'_>,
    ) -> Result<(), WriteError> {
        // Docker looks before each record whether the file is full, so that a file holds at least one.
        if let Some(limit) = self.config.max_size
            && self.position.offset + self.batch.len() as u64 >= limit
        {
            self.flush()?;
            self.rotate()?;
        }
        self.encoder.append(&mut self.batch, stream, at, piece);
        if self.batch.len() >= BATCH {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut written = 0;
        let result = loop {
            if written == self.batch.len() {
                break Ok(());
            }
            match rustix::io::write(file, &self.batch[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(source) => break Err(failed("write", &self.config.path, source)),
            }
        };
        self.batch.clear();
        match result {
            Ok(()) => self.position.offset += written as u64,
            // Half a record would damage the file. Nothing more can be done if this fails as well.
            Err(_) => drop(rustix::fs::ftruncate(file, self.position.offset)),
        }
        result
    }

    fn rotate(&mut self) -> Result<(), WriteError> {
        if self.position.offset == 0 {
            return Ok(());
        }
        let file = rotation::rotate(&self.config.path, self.config.max_file)
            .map_err(|source| failed("rotate", &self.config.path, source))?;
        self.rotated = self.config.max_file > 1;
        self.use_file(file)
    }

    fn use_file(&mut self, file: OwnedFd) -> Result<(), WriteError> {
        let stat = rustix::fs::fstat(&file).map_err(|source| failed("stat", &self.config.path, source))?;
        self.position = Position {
            inode: stat.st_ino,
            offset: stat.st_size.unsigned_abs(),
        };
        self.file = Some(file);
        Ok(())
    }
}

fn failed(step: &'static str, path: &Path, source: Errno) -> WriteError {
    WriteError::File {
        step,
        path: path.to_owned(),
        source,
    }
}
