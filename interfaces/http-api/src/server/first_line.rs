//! The first line of a connection, read as leniently as Go's servers read it.
//!
//! People type `curl -g --unix-socket … 'http://d/containers/json?filters={"status":["running"]}'`, and curl sends the
//! quotes as they are. Strictly they are no part of a request's target, so hyper refuses them. They are encoded here before
//! hyper sees them: in the first request of a connection only, for behind it only bodies tell where the next one begins.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket whose first line is made acceptable.
#[derive(Debug)]
pub(super) struct FirstLine<S> {
    socket: S,
    /// What was read and not yet handed on.
    pending: Vec<u8>,
    /// Whether the end of the line was seen.
    passed: bool,
}

impl<S> FirstLine<S> {
    pub(super) fn new(socket: S) -> Self {
        Self {
            socket,
            pending: Vec::new(),
            passed: false,
        }
    }

    /// The socket, and what was read from it but not handed on.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.socket, self.pending)
    }
}

/// Appends `read` to `pending`, and encodes what hyper refuses as long as the line has not passed.
fn encode(read: &[u8], pending: &mut Vec<u8>, passed: &mut bool) {
    for byte in read {
        match byte {
            b'"' | b'<' | b'>' if !*passed => pending.extend(format!("%{byte:02X}").bytes()),
            byte => {
                *passed |= *byte == b'\n';
                pending.push(*byte);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstLine<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.passed && this.pending.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        if this.pending.is_empty() {
            let mut space = [0; 1024];
            let mut chunk = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut chunk))?;
            encode(chunk.filled(), &mut this.pending, &mut this.passed);
        }
        let length = this.pending.len().min(buf.remaining());
        buf.put_slice(&this.pending[..length]);
        this.pending.drain(..length);
        if this.pending.is_empty() {
            // Most connections live long after it.
            this.pending = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstLine<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_encoded_in_the_first_line_only_wherever_it_is_split() {
        let sent = b"GET /x?filters={\"a\":[\"<b>\"]} HTTP/1.1\r\nA: \"c\"\r\n\r\n{\"d\":\"\n\"}";
        let wanted = b"GET /x?filters={%22a%22:[%22%3Cb%3E%22]} HTTP/1.1\r\nA: \"c\"\r\n\r\n{\"d\":\"\n\"}";
        for split in 0..sent.len() {
            let (mut pending, mut passed) = (Vec::new(), false);
            encode(&sent[..split], &mut pending, &mut passed);
            encode(&sent[split..], &mut pending, &mut passed);
            assert_eq!(pending, wanted, "{split}");
        }
    }
}
