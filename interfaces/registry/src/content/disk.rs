//! Content on a local disk, in the house's blob store.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use blobs::{Blob, BlobError, Store, Upload};
use bytes::Bytes;
use oci::digest::Digest;

use super::{Content, ContentError, Pending};
use crate::body::Body;

/// Bodies up to this size are read at once instead of piece by piece.
const SMALL: u64 = 64 << 10;

/// A blob store as [`Content`].
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Store>);

impl Disk {
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        Ok(Self(Arc::new(Store::open(root)?)))
    }

    /// Runs what may wait for the disk on a thread that may wait.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, BlobError> + Send + 'static,
    ) -> Pending<'static, T> {
        let store = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || work(&store));
        Box::pin(async move {
            let outcome = task
                .await
                .map_err(|error| ContentError::Thread(io::Error::other(error)))?;
            Ok(outcome?)
        })
    }
}

impl Content for Disk {
    fn size<'a>(&'a self, digest: &'a Digest) -> Pending<'a, Option<u64>> {
        Box::pin(async move { Ok(self.0.size(digest)?) })
    }

    fn read<'a>(&'a self, digest: &'a Digest, limit: u64) -> Pending<'a, Bytes> {
        let digest = digest.clone();
        self.blocking(move |store| store.read(&digest, limit).map(Bytes::from))
    }

    fn open<'a>(&'a self, digest: &'a Digest, range: Range<u64>) -> Pending<'a, Body> {
        Box::pin(async move {
            let (file, size) = self.0.open_blob(digest)?;
            if range.end > size {
                // Cut by somebody behind our back.
                return Err(BlobError::Source(io::ErrorKind::UnexpectedEof.into()).into());
            }
            let body = Body::file(file, range.clone());
            match body {
                Body::File(part) if range.end - range.start <= SMALL => Ok(part.whole_if_cached()),
                other => Ok(other),
            }
        })
    }

    fn put(&self, bytes: Bytes) -> Pending<'_, Digest> {
        self.blocking(move |store| store.put(&bytes).map(|blob| blob.digest))
    }

    fn take(&self, upload: Upload, expected: Digest) -> Pending<'_, u64> {
        self.blocking(move |store| upload.finish(store, &expected).map(|blob| blob.size))
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Pending<'a, bool> {
        let digest = digest.clone();
        self.blocking(move |store| store.remove(&digest))
    }

    fn list(&self) -> Pending<'_, Vec<Blob>> {
        self.blocking(Store::list)
    }
}
