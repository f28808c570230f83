//! What can go wrong with a blob.

use std::io;
use std::path::PathBuf;

use fault::{Fault, Kind};
use oci::digest::Digest;

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("blob {digest}: not found")]
    NotFound {
        /// Its name.
        digest: Digest,
    },
    /// The content is not what its name says.
    #[error("blob {expected}: content has digest {actual}")]
    Mismatch {
        /// The name.
        expected: Digest,
        /// What the content hashes to.
        actual: Digest,
    },
    /// Only SHA-256 names are kept.
    #[error("blob {digest}: only sha256 is stored here")]
    Algorithm {
        /// The name.
        digest: Digest,
    },
    /// The blob is larger than the reader allows.
    #[error("blob {digest}: {size} bytes are more than the {limit} allowed here")]
    TooLarge {
        /// Its name.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Where the bytes came from failed.
    #[error("read the content of a blob: {0}")]
    Source(#[source] io::Error),
    /// The file system refused.
    #[error("{step} {path}: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Fault for BlobError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Mismatch { .. } | Self::Algorithm { .. } | Self::TooLarge { .. } => Kind::InvalidParameter,
            Self::Source(_) | Self::File { .. } => Kind::System,
        }
    }
}
