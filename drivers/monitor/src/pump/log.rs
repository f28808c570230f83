//! Where a pump's output is logged: at once, or through a buffer that never makes the container wait.

use std::os::fd::AsFd;

use log_drivers::{Config, Driver, Position, Stream, Timestamp, WriteError, Writer};

use super::buffered::{Buffered, EndedError};
use crate::reactor::Reactor;

/// Output is not logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The log cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The process that writes it cannot be started.
    #[error(transparent)]
    Spawn(#[from] crate::SpawnError),
    /// The socket to that process cannot be made ready.
    #[error(transparent)]
    Channel(#[from] crate::channel::ChannelError),
    /// This program cannot be started again.
    #[error("open the program of the log's writer: {0}")]
    Program(linux::Errno),
    /// What the process that writes it says.
    #[error("{0}")]
    Told(String),
    /// That process is no more.
    #[error(transparent)]
    Ended(#[from] EndedError),
}

/// A container's log.
#[derive(Debug)]
pub(crate) enum Log {
    /// Written by this process: the mode `blocking`.
    Direct(Writer),
    /// Written by a process of its own: the mode `non-blocking`.
    Buffered(Buffered),
}

impl Log {
    /// Opens the log, and starts its writer where the mode asks for one.
    pub(crate) fn open(config: &Config) -> Result<Self, LogError> {
        let writer = Writer::open(config)?;
        match config.buffer {
            Some(limit) if config.driver != Driver::None => {
                let position = writer.position();
                drop(writer);
                let program = crate::own_program().map_err(LogError::Program)?;
                let spawned = crate::spawn::spawn_log_writer(program.as_fd(), config)?;
                Ok(Self::Buffered(Buffered::new(limit, position, spawned)?))
            }
            _ => Ok(Self::Direct(writer)),
        }
    }

    /// Takes output in pieces of any size.
    pub(crate) fn write(&mut self, stream: Stream, at: Timestamp, bytes: &[u8]) -> Result<(), LogError> {
        match self {
            Self::Direct(writer) => writer.write(stream, at, bytes)?,
            Self::Buffered(buffered) => buffered.write(stream, at, bytes),
        }
        Ok(())
    }

    /// The stream has ended.
    pub(crate) fn finish(&mut self, stream: Stream, at: Timestamp) -> Result<(), LogError> {
        match self {
            Self::Direct(writer) => writer.finish(stream, at)?,
            Self::Buffered(buffered) => buffered.finish(stream, at),
        }
        Ok(())
    }

    /// Puts gathered lines on disk, or on their way to it.
    pub(crate) fn flush(&mut self, reactor: &Reactor) -> Result<(), LogError> {
        match self {
            Self::Direct(writer) => writer.flush()?,
            Self::Buffered(buffered) => buffered.flush(reactor)?,
        }
        Ok(())
    }

    /// The writer has answered, takes more, or has ended.
    pub(crate) fn event(&mut self) -> Result<(), LogError> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Buffered(buffered) => buffered.receive(),
        }
    }

    /// Returns when everything is on disk.
    pub(crate) fn close(self) -> Result<(), LogError> {
        match self {
            Self::Direct(mut writer) => Ok(writer.flush()?),
            Self::Buffered(buffered) => buffered.close(),
        }
    }

    /// Up to where the log is written. Call [`Log::flush`] first.
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Direct(writer) => writer.position(),
            Self::Buffered(buffered) => buffered.position(),
        }
    }

    /// What came already and is not in front of [`Log::position`].
    pub(crate) fn unwritten(&self) -> Vec<(Stream, &[u8])> {
        let pending = |stream| match self {
            Self::Direct(writer) => writer.pending(stream),
            Self::Buffered(buffered) => buffered.buffer().pending(stream),
        };
        let mut lines = match self {
            Self::Direct(_) => Vec::new(),
            Self::Buffered(buffered) => buffered.buffer().waiting().collect(),
        };
        lines.extend([Stream::Stdout, Stream::Stderr].map(|stream| (stream, pending(stream))));
        lines.retain(|(_, bytes)| !bytes.is_empty());
        lines
    }

    /// Whether a file was rotated away since the last call and wants to be compressed.
    pub(crate) fn take_rotated(&mut self) -> bool {
        match self {
            Self::Direct(writer) => writer.take_rotated(),
            Self::Buffered(buffered) => buffered.take_rotated(),
        }
    }

    /// Gives memory back that only bursts need.
    pub(crate) fn shrink(&mut self) {
        match self {
            Self::Direct(writer) => writer.shrink(),
            Self::Buffered(buffered) => buffered.shrink(),
        }
    }
}
