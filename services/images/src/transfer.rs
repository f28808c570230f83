//! Bridges between asynchronous connections and the blocking work on archives, with bounded memory.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How many chunks may wait between the two sides.
const DEPTH: usize = 8;

/// The asynchronous end of an archive that comes in.
#[derive(Debug)]
pub struct InputSender {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

/// The blocking end of an archive that comes in: give it to [`crate::Images::load`] or
/// [`crate::Images::import`]. Must not be read on a thread of the asynchronous runtime.
#[derive(Debug)]
pub struct InputReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
    ended: bool,
}

/// Makes both ends. The archive ends with [`InputSender::finish`]: a sender that is only dropped has broken off.
pub fn input() -> (InputSender, InputReader) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let reader = InputReader {
        receiver,
        chunk: Bytes::new(),
        ended: false,
    };
    (InputSender { sender }, reader)
}

impl InputSender {
    /// Hands over the next bytes; waits while too many are on their way. `false` when the reader is gone: nobody
    /// wants the rest.
    pub async fn send(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.sender.send(Ok(bytes)).await.is_ok()
    }

    /// That was all.
    pub async fn finish(self) {
        // A reader that is gone has seen as much as it wanted.
        let _ = self.sender.send(Ok(Bytes::new())).await;
    }

    /// The connection broke: reading fails with `error`.
    pub async fn fail(&self, error: io::Error) {
        let _ = self.sender.send(Err(error)).await;
    }
}

impl Read for InputReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.ended {
            let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "broken off before its end");
            self.chunk = self.receiver.blocking_recv().ok_or_else(broken)??;
            self.ended = self.chunk.is_empty();
        }
        let count = buffer.len().min(self.chunk.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// The blocking end of an archive that goes out: give it to [`crate::Images::save`]. Dropping it ends the
/// archive. Must not be written on a thread of the asynchronous runtime.
#[derive(Debug)]
pub struct OutputWriter {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
}

/// The size of the chunks that go out.
const CHUNK: usize = 256 << 10;

/// Makes both ends of an archive that goes out.
pub fn output() -> (OutputWriter, mpsc::Receiver<io::Result<Vec<u8>>>) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let chunk = Vec::new();
    (OutputWriter { sender, chunk }, receiver)
}

impl OutputWriter {
    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let full = std::mem::take(&mut self.chunk);
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away");
        self.sender.blocking_send(Ok(full)).map_err(gone)
    }
}

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK);
        }
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        // The receiver may be gone, and then nobody misses the rest.
        let _ = self.send();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_off_is_not_taken_for_an_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = |mut reader: InputReader| {
            let mut text = String::new();
            reader
                .read_to_string(&mut text)
                .map(|_| text)
                .map_err(|error| error.to_string())
        };
        let (sender, reader) = input();
        runtime.block_on(async {
            assert!(sender.send("whole".into()).await);
            sender.finish().await;
        });
        assert_eq!(read(reader), Ok("whole".to_owned()));
        let (sender, reader) = input();
        runtime.block_on(sender.send("half".into()));
        drop(sender);
        assert_eq!(read(reader), Err("broken off before its end".to_owned()));
    }
}
