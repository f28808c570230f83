//! Where the bytes are kept: one small trait and what implements it. Who may see them is the business of `state.rs`.

mod disk;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::pin::Pin;

use blobs::{Blob, BlobError, Upload};
use bytes::Bytes;
use fault::{Fault, Kind};
use oci::digest::Digest;

use crate::body::Body;

pub(crate) use disk::Disk;

/// Why content could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The blob store refused.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A thread that worked with the disk ended badly.
    #[error("work on a blob: {0}")]
    Thread(#[source] io::Error),
}

impl Fault for ContentError {
    fn kind(&self) -> Kind {
        match self {
            Self::Blob(error) => error.kind(),
            Self::Thread(_) => Kind::System,
        }
    }
}

/// What a method of [`Content`] gives.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ContentError>> + Send + 'a>>;

/// Content-addressed bytes. What was taken or put appears whole or not at all, and survives a power loss.
pub(crate) trait Content: Send + Sync + Debug {
    /// The size of a blob, if it is here.
    fn size<'a>(&'a self, digest: &'a Digest) -> Pending<'a, Option<u64>>;

    /// A blob's whole content, verified, if it has at most `limit` bytes.
    fn read<'a>(&'a self, digest: &'a Digest, limit: u64) -> Pending<'a, Bytes>;

    /// Some bytes of a blob, which must be within its size.
    fn open<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Pending<'a, Body>;

    /// Keeps bytes at hand.
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest>;

    /// Keeps a finished upload, if it is `expected`; its size. The upload is over in any case.
    fn take(&self, upload: Upload, expected: Digest) -> Pending<'_, u64>;

    /// Forgets a blob; whether it was here.
    fn remove<'a>(&'a self, digest: &'a Digest) -> Pending<'a, bool>;

    /// Everything that is kept.
    fn list(&self) -> Pending<'_, Vec<Blob>>;
}
