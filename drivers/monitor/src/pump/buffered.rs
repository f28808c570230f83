//! A log that is written by a process of its own ([`crate::write_log`]): what that process has not written yet waits here,
//! and what does not fit is dropped.

use std::os::fd::{AsFd, OwnedFd};

use log_drivers::{Buffer, Position, Stream, Timestamp};
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::LOG;
use super::log::LogError;
use crate::Spawned;
use crate::channel::{Channel, ChannelError};
use crate::reactor::{Reactor, Watch};
use crate::write_log::Written;

/// The process that writes the log is no more.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process that writes the log has ended: output is not logged until the container is started again"
)]
pub(crate) struct EndedError;

#[derive(Debug)]
pub(crate) struct Buffered {
    buffer: Buffer,
    /// Up to where the log is written; the oldest line that waits follows.
    position: Position,
    rotated: bool,
    /// The last batch could not be written: told once, not with every batch.
    failing: bool,
    /// `None` when it has ended.
    writer: Option<WriterProcess>,
}

#[derive(Debug)]
struct WriterProcess {
    socket: Channel,
    pidfd: OwnedFd,
    watch: Watch,
}

impl WriterProcess {
    /// Without the socket it ends; waits until it has.
    fn end(self) {
        drop(self.socket);
        let _ = linux::process::wait(&self.pidfd);
    }
}

impl Buffered {
    pub(crate) fn new(limit: u64, position: Position, spawned: Spawned) -> Result<Self, ChannelError> {
        spawned.control.set_nonblocking(true)?;
        Ok(Buffered {
            buffer: Buffer::new(limit),
            position,
            rotated: false,
            failing: false,
            writer: Some(WriterProcess {
                socket: spawned.control,
                pidfd: spawned.pidfd,
                watch: Watch::new(LOG),
            }),
        })
    }

    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn take_rotated(&mut self) -> bool {
        std::mem::take(&mut self.rotated)
    }

    pub(crate) fn shrink(&mut self) {
        self.buffer.shrink();
    }

    /// Keeps what fits. That nobody is left to write it was told when the writer ended.
    pub(crate) fn write(&mut self, stream: Stream, at: Timestamp, bytes: &[u8]) {
        if self.writer.is_some() {
            self.buffer.push(stream, at, bytes);
        }
    }

    pub(crate) fn finish(&mut self, stream: Stream, at: Timestamp) {
        if self.writer.is_some() {
            self.buffer.finish(stream, at);
        }
    }

    /// Sends what the writer takes now, and has the reactor tell when it takes more.
    pub(crate) fn flush(&mut self, reactor: &Reactor) -> Result<(), EndedError> {
        self.send()?;
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let mut interest = EventFlags::IN;
        if self.buffer.next_batch().is_some() {
            interest |= EventFlags::OUT;
        }
        match writer.watch.set(reactor, &writer.socket, interest) {
            Ok(()) => Ok(()),
            Err(_) => self.ended(),
        }
    }

    fn send(&mut self) -> Result<(), EndedError> {
        while let Some(writer) = &self.writer
            && let Some(batch) = self.buffer.next_batch()
        {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&writer.socket, batch, flags) {
                Ok(_) => self.buffer.take_batch(),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return self.ended(),
            }
        }
        Ok(())
    }

    /// Takes the writer's answers. An error is the first after a success, or the writer's end.
    pub(crate) fn receive(&mut self) -> Result<(), LogError> {
        let mut result = Ok(());
        while let Some(writer) = &self.writer {
            match writer.socket.receive::<Written>() {
                Ok(received) => {
                    let written = received.message;
                    self.buffer.written();
                    self.position = written.position;
                    self.rotated |= written.rotated;
                    let failing = written.error.is_some();
                    if let Some(message) = written.error
                        && !self.failing
                    {
                        result = Err(LogError::Told(message));
                    }
                    self.failing = failing;
                }
                Err(error) if error.is_would_block() => break,
                Err(_) => self.ended()?,
            }
        }
        result
    }

    /// What waits is lost.
    fn ended(&mut self) -> Result<(), EndedError> {
        if let Some(writer) = self.writer.take() {
            writer.end();
        }
        self.buffer = Buffer::new(0);
        Err(EndedError)
    }

    /// Has everything written, however long the disk takes: another life of the container shall find the log whole and
    /// without a second writer.
    pub(crate) fn close(mut self) -> Result<(), LogError> {
        let mut result = Ok(());
        while !self.buffer.is_empty() {
            self.send()?;
            let Some(writer) = &self.writer else { break };
            let mut flags = PollFlags::IN;
            if self.buffer.next_batch().is_some() {
                flags |= PollFlags::OUT;
            }
            let mut poll = [PollFd::from_borrowed_fd(writer.socket.as_fd(), flags)];
            match rustix::event::poll(&mut poll, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => self.ended()?,
            }
            match self.receive() {
                Err(error @ LogError::Ended(_)) => return Err(error),
                Err(error) => result = Err(error),
                Ok(()) => {}
            }
        }
        if let Some(writer) = self.writer.take() {
            writer.end();
        }
        result
    }
}
