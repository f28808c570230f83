//! A connection that has stopped being HTTP: the streams of an attached process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use hyper_util::rt::TokioIo;

use crate::stream::Stream;
use crate::{ClientError, Reply};

/// Both directions of an attached process, as blocking descriptors: the caller pumps them on threads of its own, so
/// that a slow terminal never holds up signals.
pub struct Hijacked {
    /// True if the daemon frames the output (see [`crate::frames`]); false for a terminal's raw bytes. `None` if it
    /// did not say (API before 1.42): then it follows from whether the process has a terminal.
    pub multiplexed: Option<bool>,
    ahead: Bytes,
    output: File,
    input: OwnedFd,
    process: Option<tokio::process::Child>,
}

/// The direction towards the process.
pub struct InputHalf {
    file: File,
    // Ends when the last half is dropped.
    _process: Option<tokio::process::Child>,
}

impl Hijacked {
    pub(crate) async fn take_over(reply: Reply) -> Result<Self, ClientError> {
        let status = reply.status();
        if status != 101 && status != 200 {
            return Err(ClientError::NotUpgraded { status });
        }
        let multiplexed = reply.header("content-type").and_then(|kind| match kind {
            "application/vnd.docker.multiplexed-stream" => Some(true),
            // The raw type is also what daemons before 1.42 sent for framed streams.
            _ => None,
        });
        let path = reply.path().to_owned();
        let broken = |source: io::Error| ClientError::Hijack {
            path: path.clone(),
            source,
        };
        let upgraded = hyper::upgrade::on(reply.into_response())
            .await
            .map_err(|e| broken(io::Error::other(e)))?;
        let parts = upgraded
            .downcast::<TokioIo<Stream>>()
            .map_err(|_| broken(io::Error::other("connection of another kind")))?;
        let (output, input, process) = parts.io.into_inner().into_descriptors().map_err(broken)?;
        Ok(Self {
            multiplexed,
            ahead: parts.read_buf,
            output: output.into(),
            input,
            process,
        })
    }

    /// The two directions: what the process writes, and what it reads.
    pub fn split(self) -> (impl Read + Send + 'static, InputHalf) {
        let input = InputHalf {
            file: self.input.into(),
            _process: self.process,
        };
        (io::Cursor::new(self.ahead).chain(self.output), input)
    }
}

impl InputHalf {
    /// Tells the other side at once that no input will come, and keeps what carries the output. (A pipe has no half to
    /// close: there it happens when this is dropped.)
    pub fn half_close(&self) {
        if let Ok(copy) = self.file.as_fd().try_clone_to_owned() {
            let _ = std::os::unix::net::UnixStream::from(copy).shutdown(Shutdown::Write);
        }
    }

    /// Tells the process that there is no more input; its output goes on.
    pub fn finish(self) {
        self.half_close();
    }
}

impl Write for InputHalf {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
