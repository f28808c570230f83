//! A log of the mode `non-blocking` is written by a process of its own, so that only that process waits for the disk.
//!
//! The monitor sends batches of lines, each answered by [`Written`], and closes the socket at the container's end.

use log_drivers::{Buffer, Config, Position, Writer};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::{SIGHUP, SIGINT, SIGTERM};

/// The answer to one batch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Where the next line will be.
    pub(crate) position: Position,
    /// A file was rotated away and wants to be compressed.
    pub(crate) rotated: bool,
    /// Why lines of the batch are lost.
    pub(crate) error: Option<String>,
}

/// The face: writes until the monitor closes the socket or is gone.
pub(crate) fn run(config: &Config, control: &Channel) -> linux::Result<()> {
    // Whoever ends the monitor ends this too, after what is sent already.
    let _signals = linux::fd::SignalFd::new(&[SIGTERM, SIGINT, SIGHUP])?;
    // The monitor has just opened it, and told why if it could not: nobody would hear more than the end here.
    let mut writer = Writer::open(config).map_err(|_| Errno::IO)?;
    let mut batch = vec![0; Buffer::LONGEST_BATCH];
    loop {
        let length = match rustix::net::recv(control, &mut batch[..], RecvFlags::empty()) {
            Ok((0, _)) => return Ok(()),
            Ok((length, _)) => length,
            // A monitor that was killed with an answer unread gives this once, in front of what it had sent.
            Err(Errno::INTR | Errno::CONNRESET) => continue,
            Err(errno) => return Err(errno),
        };
        let result = writer.write_batch(&batch[..length]).and_then(|()| writer.flush());
        let written = Written {
            position: writer.position(),
            rotated: writer.take_rotated(),
            error: result.err().map(|error| error.to_string()),
        };
        writer.shrink();
        // A monitor that is gone needs no answer; what it had sent is written all the same.
        let _ = control.send(&written, &[]);
    }
}
