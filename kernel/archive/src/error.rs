//! What can go wrong with an archive; every variant names the entry and what was tried.

use std::io;

use fault::{Fault, Kind};
use rustix::io::Errno;

/// Why an archive cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed.
    #[error("read archive: {0}")]
    Source(#[source] io::Error),
    /// The archive ends in the middle of `what`.
    #[error("archive is truncated in {what} at byte {offset}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes read before.
        offset: u64,
    },
    /// A header block is not one of tar.
    #[error("archive: invalid tar header at byte {offset}: {problem}")]
    Header {
        /// Where the header begins.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An extension (PAX, GNU long name, sparse map) makes no sense.
    #[error("archive entry {entry}: {problem}")]
    Extension {
        /// The entry, as far as it is known.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A limit was exceeded.
    #[error("archive entry {entry}: {what} is beyond the limit of {limit}")]
    Limit {
        /// The entry.
        entry: String,
        /// What was too much.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl Fault for ReadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Source(_) => Kind::System,
            _ => Kind::InvalidParameter,
        }
    }
}

/// Why an archive was not unpacked (to its end).
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive itself is broken.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry's name or link target leads out of the root.
    #[error("archive entry {entry}: {what} leads out of the root")]
    Escape {
        /// The entry.
        entry: String,
        /// Its name or its link target.
        what: &'static str,
    },
    /// An entry cannot be unpacked under the options given.
    #[error("archive entry {entry}: {problem}")]
    Refused {
        /// The entry.
        entry: String,
        /// Why not.
        problem: &'static str,
    },
    /// The owner of an entry is not in the id map.
    #[error("archive entry {entry}: id {id} is outside the id map")]
    Unmapped {
        /// The entry.
        entry: String,
        /// The uid or gid.
        id: u32,
    },
    /// The file system refused.
    #[error("archive entry {entry}: {step}: {source}")]
    File {
        /// The entry.
        entry: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The tar-split record could not be written.
    #[error("archive entry {entry}: write the tar-split record: {source}")]
    Record {
        /// The entry.
        entry: String,
        /// Why.
        source: io::Error,
    },
}

impl Fault for UnpackError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Escape { .. } | Self::Refused { .. } | Self::Unmapped { .. } => Kind::InvalidParameter,
            Self::File { .. } | Self::Record { .. } => Kind::System,
        }
    }
}

/// Why a directory was not packed, or its changes not found.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The file system refused.
    #[error("{step} {path}: {source}")]
    File {
        /// The path below the root.
        path: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// A file became shorter while it was read.
    #[error("{path}: file shrank while it was read")]
    Shrank {
        /// The path below the root.
        path: String,
    },
    /// The archive could not be written.
    #[error("write archive at {path}: {source}")]
    Write {
        /// The path below the root.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Fault for PackError {
    fn kind(&self) -> Kind {
        match self {
            Self::File {
                source: Errno::NOENT | Errno::NOTDIR,
                ..
            } => Kind::NotFound,
            _ => Kind::System,
        }
    }
}

/// Why an archive was not rebuilt from its record.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The record cannot be read.
    #[error("read tar-split record: {0}")]
    Record(#[source] io::Error),
    /// A line of the record is not one.
    #[error("tar-split record line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A file of the layer cannot be read.
    #[error("{step} {path} for the rebuilt archive: {source}")]
    File {
        /// The path below the root.
        path: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// A file of the layer is not what it was when it was unpacked.
    #[error("{path} has changed since it was unpacked: {problem}")]
    Changed {
        /// The path below the root.
        path: String,
        /// Size or checksum.
        problem: &'static str,
    },
    /// The archive could not be written.
    #[error("write rebuilt archive: {0}")]
    Write(#[source] io::Error),
}

impl Fault for SplitError {
    fn kind(&self) -> Kind {
        Kind::System
    }
}
