//! The reading end of what another thread reads or makes.

use std::io::{self, Read};
use std::sync::mpsc::Receiver;

/// Data that come in pieces. They are complete only with the mark `None` at their end: a sender that is gone without it
/// has failed.
pub(crate) struct Chunks {
    receiver: Receiver<Option<Vec<u8>>>,
    chunk: Vec<u8>,
    position: usize,
    ended: bool,
    broken: &'static str,
}

impl Chunks {
    /// `broken` says what it means when the mark is missing.
    pub(crate) fn new(receiver: Receiver<Option<Vec<u8>>>, broken: &'static str) -> Self {
        Self {
            receiver,
            chunk: Vec::new(),
            position: 0,
            ended: false,
            broken,
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            match self.receiver.recv() {
                Ok(Some(chunk)) => (self.chunk, self.position) = (chunk, 0),
                Ok(None) => self.ended = true,
                Err(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, self.broken)),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.position);
        buffer[..count].copy_from_slice(&self.chunk[self.position..][..count]);
        self.position += count;
        Ok(count)
    }
}
