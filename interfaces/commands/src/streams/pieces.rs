//! A body that a thread of its own writes, in pieces for the connection.

use std::io::{self, Write};

use bytes::Bytes;
use client::Body;
use tokio::sync::mpsc;

/// So many bytes are sent at once.
pub(crate) const PIECE: usize = 256 * 1024;

/// Gathers what is written into pieces for the connection.
pub(crate) struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

/// A body that a thread of its own writes; an error of `write` breaks it off.
pub(crate) fn written_by(write: impl FnOnce(Pieces) -> io::Result<Pieces> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let pieces = Pieces {
            sender: sender.clone(),
            buffer: Vec::with_capacity(PIECE),
        };
        if let Err(error) = write(pieces).and_then(|mut out| out.flush()) {
            // The connection is gone, or learns of the failure.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Body::Chunks(receiver)
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.sender
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
