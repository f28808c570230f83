//! A program's output on its way into the build's stream.

use std::os::unix::net::UnixStream;

use tokio::io::AsyncReadExt;

use crate::BuildError;
use crate::stage::Stage;

/// No frame of the monitor is longer than a few pipe buffers.
const MAX_FRAME: usize = 16 << 20;

/// Passes the frames of an attached client on until the monitor closes the stream.
pub(super) async fn pass_on(stage: &Stage, socket: UnixStream) -> Result<(), BuildError> {
    socket.set_nonblocking(true).map_err(BuildError::part)?;
    let mut socket = tokio::net::UnixStream::from_std(socket).map_err(BuildError::part)?;
    let (mut out, mut err) = (Utf8::default(), Utf8::default());
    let mut header = [0_u8; 8];
    let mut payload = Vec::new();
    loop {
        if socket.read_exact(&mut header).await.is_err() {
            // The end of the stream; whether the program ended well is asked elsewhere.
            break;
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if length > MAX_FRAME {
            break;
        }
        payload.resize(length, 0);
        if socket.read_exact(&mut payload).await.is_err() {
            break;
        }
        let is_error = header[0] == 2;
        let text = if is_error {
            err.take(&payload)
        } else {
            out.take(&payload)
        };
        send(stage, text, is_error).await;
    }
    send(stage, out.rest(), false).await;
    send(stage, err.rest(), true).await;
    Ok(())
}

async fn send(stage: &Stage, text: String, is_error: bool) {
    if text.is_empty() {
        return;
    }
    stage.engine.progress.output(stage.part, text, is_error).await;
}

/// Text in pieces: a character that is cut waits for its other half.
#[derive(Default)]
struct Utf8 {
    waiting: Vec<u8>,
}

impl Utf8 {
    fn take(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        let keep = match std::str::from_utf8(&self.waiting) {
            Ok(_) => 0,
            // Only an end that may become a character waits.
            Err(error) if error.error_len().is_none() => self.waiting.len() - error.valid_up_to(),
            Err(_) => 0,
        };
        let rest = self.waiting.split_off(self.waiting.len() - keep);
        let text = String::from_utf8_lossy(&self.waiting).into_owned();
        self.waiting = rest;
        text
    }

    fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.waiting)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_cut_is_put_together_again() {
        let mut text = Utf8::default();
        let bytes = "aäb".as_bytes();
        assert_eq!(text.take(&bytes[..2]), "a");
        assert_eq!(text.take(&bytes[2..]), "äb");
        assert_eq!(text.take(b"\xff!"), "\u{fffd}!");
        assert_eq!(text.take(b"x\xc3"), "x");
        assert_eq!(text.rest(), "\u{fffd}");
    }
}
