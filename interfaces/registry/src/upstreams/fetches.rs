//! Blobs on their way from an upstream: each is fetched once, whoever asks, and served while it arrives.
//!
//! A task of its own writes the blob to an upload and, at its end, verifies and keeps it. Those who want it read the file behind
//! the writer. When the last of them goes away, the task goes on: the blob will be asked for again.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use blobs::Upload;
use bytes::Bytes;
use distribution::{Access, BlobStream};
use oci::digest::Digest;
use oci::image::{Descriptor, media_type};
use tokio::sync::{mpsc, watch};

use crate::body::Body;
use crate::error::{Code, Failure};
use crate::registry::Registry;

/// How much is read for a client at a time.
const PIECE: u64 = 128 << 10;
/// As many pieces wait for a slow client.
const AHEAD: usize = 2;

/// How far a blob has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// So many bytes are in the file.
    Written(u64),
    /// All of it is there and verified.
    Whole,
    /// It did not arrive.
    Failed,
}

/// A blob that is being fetched.
#[derive(Clone, Debug)]
struct Fetch {
    file: Arc<File>,
    size: u64,
    progress: watch::Receiver<Progress>,
}

/// The blobs that are being fetched, by repository and digest.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Mutex<HashMap<String, Fetch>>);

impl Fetches {
    fn get(&self, key: &str) -> Option<Fetch> {
        let fetches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.get(key).cloned()
    }

    /// Adds a fetch, unless somebody was quicker: then theirs.
    fn add(&self, key: &str, fetch: &Fetch) -> Option<Fetch> {
        let mut fetches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = fetches.get(key) {
            return Some(other.clone());
        }
        fetches.insert(key.to_owned(), fetch.clone());
        None
    }

    fn remove(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Registry {
    /// A part of a blob that comes from an upstream while it is sent.
    pub(crate) async fn fetch_blob(
        self: &Arc<Self>,
        name: &str,
        digest: &Digest,
        source: (Access, u64),
        range: Range<u64>,
    ) -> Result<Body, Failure> {
        let key = format!("{name}@{digest}");
        let fetch = match self.upstreams.fetches.get(&key) {
            Some(fetch) => fetch,
            None => self.begin_fetch(name, digest, source, &key).await?,
        };
        if range.end > fetch.size {
            return Err(Failure::new(
                Code::SizeInvalid,
                "the upstream registry contradicts itself",
            ));
        }
        let (sender, pieces) = mpsc::channel(AHEAD);
        let length = range.end - range.start;
        tokio::spawn(follow(fetch, range, sender));
        Ok(Body::Pieces(pieces, length))
    }

    async fn begin_fetch(
        self: &Arc<Self>,
        name: &str,
        digest: &Digest,
        (access, size): (Access, u64),
        key: &str,
    ) -> Result<Fetch, Failure> {
        self.check_room(name, size)?;
        let (id, mut held) = self.sessions.begin(name).await?;
        let failed = || Failure::new(Code::Unknown, "the registry failed; its log says why");
        let upload = held.take().ok_or_else(failed)?;
        let file = File::open(upload.path())?;
        let (told, progress) = watch::channel(Progress::Written(0));
        let fetch = Fetch {
            file: Arc::new(file),
            size,
            progress,
        };
        self.sessions.release(&id, name);
        if let Some(other) = self.upstreams.fetches.add(key, &fetch) {
            self.sessions.abandon(&id, name).await?;
            return Ok(other);
        }
        let registry = Arc::clone(self);
        let (name, digest, key) = (name.to_owned(), digest.clone(), key.to_owned());
        tokio::spawn(async move {
            let descriptor = Descriptor::new(media_type::OCI_LAYER, digest.clone(), size);
            let stream = BlobStream::new(access, descriptor);
            let outcome = registry.receive_blob(&name, &digest, stream, upload, &told).await;
            if let Err(failure) = &outcome {
                tracing::warn!(?failure, name, %digest, "a blob did not arrive from its upstream");
                if let Err(failure) = registry.sessions.abandon(&id, &name).await {
                    tracing::warn!(?failure, "what arrived of it stays until it expires");
                }
            }
            registry.upstreams.fetches.remove(&key);
            told.send_replace(if outcome.is_ok() {
                Progress::Whole
            } else {
                Progress::Failed
            });
        });
        Ok(fetch)
    }

    async fn receive_blob(
        &self,
        name: &str,
        digest: &Digest,
        mut stream: BlobStream,
        mut upload: Upload,
        told: &watch::Sender<Progress>,
    ) -> Result<(), Failure> {
        while let Some(piece) = stream.chunk().await.map_err(super::away)? {
            let outcome;
            (upload, outcome) = tokio::task::spawn_blocking(move || {
                let outcome = upload.append(&piece);
                (upload, outcome)
            })
            .await
            .map_err(|error| Failure::from(io::Error::other(error)))?;
            outcome?;
            told.send_replace(Progress::Written(upload.size()));
        }
        let _pin = self.claims.pin(digest).await;
        let size = self.content.take(upload, digest.clone()).await?;
        self.state.link(name, digest, size).await?;
        Ok(())
    }
}

/// Sends a part of a file that is still being written.
async fn follow(mut fetch: Fetch, range: Range<u64>, pieces: mpsc::Sender<io::Result<Bytes>>) {
    let mut at = range.start;
    while at < range.end {
        // The value is copied: what is borrowed may not be held while others are waited for.
        let progress = { *fetch.progress.borrow_and_update() };
        let end = match progress {
            // The last byte is sent when the whole is known to be right: a client never has all of something wrong.
            Progress::Written(bytes) => range.end.min(bytes).min(fetch.size.saturating_sub(1)),
            Progress::Whole => range.end,
            Progress::Failed => {
                let _ = pieces.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                return;
            }
        };
        if at >= end {
            if fetch.progress.changed().await.is_err() {
                let _ = pieces.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                return;
            }
            continue;
        }
        let (file, length) = (Arc::clone(&fetch.file), (end - at).min(PIECE));
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; usize::try_from(length).unwrap_or(0)];
            file.read_exact_at(&mut buffer, at).map(|()| Bytes::from(buffer))
        });
        let piece = read.await.map_err(io::Error::other).flatten();
        let failed = piece.is_err();
        if pieces.send(piece).await.is_err() || failed {
            return;
        }
        at += length;
    }
}
