//! The multiplexed stream: frames of stdout and stderr on one connection.
//!
//! Each frame has a header of eight bytes: the stream (1 stdout, 2 stderr, 3 an error of the daemon), three zeros, and
//! the length as a big-endian 32-bit number (Engine API, `ContainerAttach`).

use std::io::{self, Read, Write};

/// Copies a multiplexed stream to its two ends until it ends. Frames are passed on in pieces, so that a huge length
/// costs no memory. Returns when the stream ends.
///
/// # Errors
/// The stream ends inside a frame, has an unknown kind of frame, or brings an error of the daemon; or an output cannot
/// be written.
pub fn copy(from: &mut impl Read, stdout: &mut impl Write, stderr: &mut impl Write) -> io::Result<()> {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if n == 0 {
            return splitter.finish();
        }
        splitter.feed(&buffer[..n], stdout, stderr)?;
        stdout.flush()?;
    }
}

/// Takes a multiplexed stream apart, whatever pieces it arrives in.
#[derive(Default)]
pub struct Splitter {
    header: [u8; 8],
    have: usize,
    left: u32,
    message: Vec<u8>,
}

/// Length at which an error message of the daemon is cut.
const MESSAGE_LIMIT: usize = 64 * 1024;

impl Splitter {
    /// Passes on what `data` brings.
    ///
    /// # Errors
    /// An unknown kind of frame, an error of the daemon, or an output that cannot be written.
    pub fn feed(
        &mut self,
        mut data: &[u8],
        stdout: &mut impl Write,
        stderr: &mut impl Write,
    ) -> io::Result<()> {
        while !data.is_empty() {
            if self.have < 8 {
                let n = data.len().min(8 - self.have);
                self.header[self.have..self.have + n].copy_from_slice(&data[..n]);
                self.have += n;
                data = &data[n..];
                if self.have < 8 {
                    return Ok(());
                }
                let [kind, _, _, _, a, b, c, d] = self.header;
                if kind > 3 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("Unrecognized input header: {kind}"),
                    ));
                }
                self.left = u32::from_be_bytes([a, b, c, d]);
            }
            let n = data.len().min(self.left as usize);
            let (piece, rest) = data.split_at(n);
            match self.header[0] {
                2 => stderr.write_all(piece)?,
                3 => {
                    let room = MESSAGE_LIMIT - self.message.len();
                    self.message.extend_from_slice(&piece[..n.min(room)]);
                }
                _ => stdout.write_all(piece)?,
            }
            data = rest;
            self.left -= n as u32;
            if self.left == 0 {
                self.have = 0;
                if self.header[0] == 3 {
                    let text = String::from_utf8_lossy(&self.message).into_owned();
                    return Err(io::Error::other(format!("error from daemon in stream: {text}")));
                }
            }
        }
        Ok(())
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// It ended inside a frame.
    pub fn finish(&self) -> io::Result<()> {
        if self.have == 0 {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn frames_are_sorted_out_whatever_pieces_they_come_in() {
        let wire = [
            frame(1, b"hello "),
            frame(2, b"oops"),
            frame(1, b""),
            frame(1, b"world"),
        ]
        .concat();
        for size in [1, 3, 8, 9, 100] {
            let (mut out, mut err, mut splitter) = (Vec::new(), Vec::new(), Splitter::default());
            for piece in wire.chunks(size) {
                splitter.feed(piece, &mut out, &mut err).unwrap();
            }
            splitter.finish().unwrap();
            assert_eq!(
                (out.as_slice(), err.as_slice()),
                (&b"hello world"[..], &b"oops"[..]),
                "{size}"
            );
        }
    }

    #[test]
    fn an_error_of_the_daemon_ends_the_stream_with_its_words() {
        let wire = frame(3, b"log driver broke");
        let error = copy(&mut wire.as_slice(), &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "error from daemon in stream: log driver broke");
    }

    #[test]
    fn a_torn_frame_and_an_unknown_kind_are_errors() {
        let wire = frame(1, b"hello");
        let error = copy(&mut &wire[..10], &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let error = copy(&mut &frame(9, b"x")[..], &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "Unrecognized input header: 9");
    }

    #[test]
    fn a_frame_without_content_leaves_nothing_open() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        copy(&mut frame(1, b"").as_slice(), &mut out, &mut err).unwrap();
        assert!(out.is_empty() && err.is_empty());
    }
}
