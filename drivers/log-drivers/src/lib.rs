//! Log formats on disk: `json-file`, `local`, `none`.
//!
//! A container's monitor writes with [`Writer`]: output is cut into lines, encoded, and put on disk in batches. The
//! daemon reads with [`Reader`], also while the monitor writes: it follows across rotation, starts at the last lines
//! without reading the whole file, and takes a torn last line for not yet written. In the mode `non-blocking` lines wait in
//! a [`Buffer`] until a process of their own has written them.
//!
//! The formats are Docker's, so that its files and dhow's can be read by each other. This crate knows neither containers
//! nor the daemon. Start at [`Config`].

mod buffer;
mod config;
mod escape;
mod format;
mod lines;
mod reader;
mod rotation;
mod source;
mod timestamp;
mod writer;

use serde::{Deserialize, Serialize};

pub use buffer::Buffer;
pub use config::{Attributes, Config, ConfigError, Driver};
pub use reader::{Entry, ReadError, ReadOptions, Reader, Step};
pub use rotation::compress_rotated;
pub use timestamp::Timestamp;
pub use writer::{WriteError, Writer};

/// Which output a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and everything from a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name in log files and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A place in a log: everything before it was written earlier. Joins a replay with the live stream that follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Inode of the file that is written now; 0 when nothing is kept.
    pub inode: u64,
    /// Its length in bytes.
    pub offset: u64,
}
