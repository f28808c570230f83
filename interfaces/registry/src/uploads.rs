//! Uploads of blobs: begin, append, ask, finish, cancel; and mounting from another repository.
//!
//! A session is a file of `blobs::Uploads` whose name ends with a hash of its repository, so that nobody else's path leads
//! to it. What has arrived survives a kill of the registry; the session is then taken up again from the file.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use blobs::{BlobError, Upload, Uploads};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, LOCATION, RANGE};
use oci::digest::Digest;
use rand::RngExt as _;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::content::ContentError;
use crate::error::{Code, Failure};
use crate::policy::over_quota;
use crate::registry::{Call, Registry};
use crate::reply::{self, CONTENT_DIGEST, Outcome, Reply, UPLOAD_UUID, set};
use crate::route;

/// As much is collected before it is hashed and written.
const BATCH: usize = 256 << 10;
/// As many uploads may be unfinished.
const MOST_SESSIONS: usize = 10_000;
/// As many of them are kept open; others are taken up from their files again.
const MOST_OPEN: usize = 512;
/// A request waits so long for an earlier one that still writes to the same upload.
const PATIENCE: Duration = Duration::from_secs(10);

/// One upload, while nobody writes to it; nothing once it is over.
type Slot = Arc<AsyncMutex<Option<Upload>>>;
/// The right to write to an upload; it moves to the thread that writes.
pub(crate) type Held = OwnedMutexGuard<Option<Upload>>;

/// The unfinished uploads of a registry.
#[derive(Debug)]
pub(crate) struct Sessions {
    files: Arc<Uploads>,
    open: Mutex<HashMap<String, Slot>>,
}

impl Sessions {
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            files: Arc::new(Uploads::open(root)?),
            open: Mutex::default(),
        })
    }

    /// Begins an upload; its id, and the right to write to it.
    pub(crate) async fn begin(&self, repository: &str) -> Result<(String, Held), Failure> {
        let id = uuid();
        let (files, name) = (Arc::clone(&self.files), file_name(&id, repository));
        let created = blocking(move || {
            // Counted only when it matters.
            if files.list()?.len() >= MOST_SESSIONS {
                return Ok(None);
            }
            files.create(&name).map(Some)
        });
        let Some(upload) = created.await?? else {
            return Err(Failure::new(Code::TooManyRequests, "too many unfinished uploads")
                .with_header(hyper::header::RETRY_AFTER, HeaderValue::from_static("60")));
        };
        let slot = Arc::new(AsyncMutex::new(Some(upload)));
        self.remember(file_name(&id, repository), Arc::clone(&slot));
        Ok((id, slot.lock_owned().await))
    }

    /// Lets an upload go whose file somebody else has taken over.
    pub(crate) fn release(&self, id: &str, repository: &str) {
        self.forget(&file_name(id, repository));
    }

    /// Gives an upload up.
    pub(crate) async fn abandon(&self, id: &str, repository: &str) -> Result<(), Failure> {
        let (files, name) = (Arc::clone(&self.files), file_name(id, repository));
        blocking(move || files.remove(&name)).await??;
        Ok(())
    }

    fn remember(&self, name: String, slot: Slot) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST_OPEN {
            // Only those that a request holds have a second owner.
            open.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        open.insert(name, slot);
    }

    /// Takes hold of an upload.
    async fn hold(&self, repository: &str, id: &str) -> Result<Held, Failure> {
        let unknown = || Failure::new(Code::BlobUploadUnknown, "blob upload unknown to registry").about(id);
        if !is_uuid(id) {
            return Err(unknown());
        }
        let name = file_name(id, repository);
        let slot = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(open.entry(name.clone()).or_default())
        };
        let held = tokio::time::timeout(PATIENCE, slot.lock_owned()).await;
        let mut held = held.map_err(|_| {
            Failure::new(
                Code::BlobUploadInvalid,
                "another request is writing to this upload",
            )
            .with_status(StatusCode::CONFLICT)
        })?;
        if held.is_none() {
            let (files, name) = (Arc::clone(&self.files), name.clone());
            *held = blocking(move || files.resume(&name)).await??;
        }
        if held.is_none() {
            drop(held);
            self.forget(&name);
            return Err(unknown());
        }
        Ok(held)
    }

    fn forget(&self, name: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(name);
    }

    /// Removes what nobody has added to for so long; how many uploads that were.
    pub(crate) async fn expire(&self, age: Duration) -> Result<usize, ContentError> {
        let files = Arc::clone(&self.files);
        let listed = tokio::task::spawn_blocking(move || files.list()).await;
        let listed = listed.map_err(|error| ContentError::Thread(io::Error::other(error)))?;
        let now = SystemTime::now();
        let mut gone = 0;
        for upload in listed? {
            if now
                .duration_since(upload.changed)
                .is_ok_and(|passed| passed > age)
                && !self.is_busy(&upload.name)
                && self.files.remove(&upload.name)?
            {
                self.forget(&upload.name);
                gone += 1;
            }
        }
        Ok(gone)
    }

    fn is_busy(&self, name: &str) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(name).is_some_and(|slot| slot.try_lock().is_err())
    }
}

impl Registry {
    pub(crate) async fn start_upload(self: &Arc<Self>, name: String, call: Call) -> Outcome {
        if let Some(algorithm) = call
            .query
            .get("digest-algorithm")
            .filter(|name| *name != "sha256")
        {
            return Err(Failure::new(Code::DigestInvalid, "only sha256 is kept here").about(algorithm));
        }
        if let (Some(mount), Some(from)) = (call.query.get("mount"), call.query.get("from")) {
            let digest = route::digest(mount)?;
            let from = route::name(from.to_owned())?;
            if let Some(reply) = self.mount(&name, &from, digest).await? {
                return Ok(reply);
            }
        }
        let digest = call.query.get("digest").map(route::digest).transpose()?;
        let (id, held) = self.sessions.begin(&name).await?;
        match digest {
            Some(digest) => self.complete(name, &id, held, digest, call.body).await,
            None => Ok(progress(StatusCode::ACCEPTED, &name, &id, 0)),
        }
    }

    async fn mount(
        self: &Arc<Self>,
        name: &str,
        from: &str,
        digest: Digest,
    ) -> Result<Option<Reply>, Failure> {
        let Some(source) = self.state.blob(from, &digest) else {
            return Ok(None);
        };
        match self.state.blob(name, &digest) {
            Some(link) => self.asked_for(name, &digest, &link),
            None => {
                self.check_room(name, source.size)?;
                self.link(name.to_owned(), digest.clone(), source.size).await?;
            }
        }
        Ok(Some(stored(name, &digest)))
    }

    /// Lets a repository serve content that is here; what is begun is finished, also when the client goes away.
    async fn link(self: &Arc<Self>, name: String, digest: Digest, size: u64) -> Result<(), Failure> {
        let registry = Arc::clone(self);
        let task = tokio::spawn(async move {
            let _pin = registry.claims.pin(&digest).await;
            if registry.content.size(&digest).await? != Some(size) {
                return Err(Failure::new(Code::BlobUnknown, "blob unknown to registry").about(digest));
            }
            registry.state.link(&name, &digest, size).await?;
            Ok(())
        });
        joined(task.await)?
    }

    pub(crate) async fn upload_status(&self, name: &str, id: &str) -> Outcome {
        let held = self.sessions.hold(name, id).await?;
        Ok(progress(StatusCode::NO_CONTENT, name, id, size(&held)))
    }

    pub(crate) async fn append_upload(&self, name: &str, id: &str, call: Call) -> Outcome {
        let held = self.sessions.hold(name, id).await?;
        check_place(&call.headers, name, id, size(&held))?;
        let held = self.receive(name, call.body, held).await?;
        Ok(progress(StatusCode::ACCEPTED, name, id, size(&held)))
    }

    pub(crate) async fn finish_upload(self: &Arc<Self>, name: String, id: &str, call: Call) -> Outcome {
        let digest = call
            .query
            .get("digest")
            .ok_or_else(|| Failure::new(Code::DigestInvalid, "the parameter digest is missing"))?;
        let digest = route::digest(digest)?;
        let held = self.sessions.hold(&name, id).await?;
        check_place(&call.headers, &name, id, size(&held))?;
        self.complete(name, id, held, digest, call.body).await
    }

    async fn complete(
        self: &Arc<Self>,
        name: String,
        id: &str,
        held: Held,
        digest: Digest,
        body: Incoming,
    ) -> Outcome {
        let mut held = self.receive(&name, body, held).await?;
        let registry = Arc::clone(self);
        let file = file_name(id, &name);
        let task = tokio::spawn(async move {
            let upload = held.take();
            registry.sessions.forget(&file);
            let Some(upload) = upload else {
                return Err(Failure::new(
                    Code::BlobUploadUnknown,
                    "blob upload unknown to registry",
                ));
            };
            // Who has a quota waits for the others, so that two together do not go beyond it.
            let _exclusive = match registry.policy.quota(&name) {
                Some(_) => Some(registry.lock_of(&name).write().await),
                None => None,
            };
            if registry.state.blob(&name, &digest).is_none() {
                let fits = registry.check_room(&name, upload.size());
                if let Err(failure) = fits {
                    let (files, file) = (Arc::clone(&registry.sessions.files), file.clone());
                    blocking(move || files.remove(&file)).await??;
                    return Err(failure);
                }
            }
            let _pin = registry.claims.pin(&digest).await;
            let size = registry.content.take(upload, digest.clone()).await?;
            registry.state.link(&name, &digest, size).await?;
            durable::crash_point("registry.upload.linked");
            Ok(stored(&name, &digest))
        });
        joined(task.await)?
    }

    pub(crate) async fn cancel_upload(&self, name: &str, id: &str) -> Outcome {
        let mut held = self.sessions.hold(name, id).await?;
        *held = None;
        let (files, file) = (Arc::clone(&self.sessions.files), file_name(id, name));
        blocking(move || files.remove(&file)).await??;
        self.sessions.forget(&file_name(id, name));
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }
}

fn size(held: &Held) -> u64 {
    held.as_ref().map_or(0, Upload::size)
}

/// A chunk must begin where the last one ended, and be as long as it says.
fn check_place(headers: &HeaderMap, name: &str, id: &str, size: u64) -> Result<(), Failure> {
    let Some(range) = headers.get(CONTENT_RANGE) else {
        return Ok(());
    };
    let text = range.to_str().unwrap_or_default();
    let numbers = text.split_once('-').and_then(|(first, last)| {
        let number = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse::<u64>().ok())
        };
        Some((number(first)??, number(last)??))
    });
    let Some((first, last)) = numbers.filter(|(first, last)| first <= last) else {
        return Err(Failure::new(
            Code::BlobUploadInvalid,
            "the header Content-Range must be FIRST-LAST",
        )
        .about(text));
    };
    if first != size {
        let mut failure = Failure::new(
            Code::BlobUploadInvalid,
            format!("{size} bytes have arrived; go on there"),
        )
        .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
        .about(text);
        failure.headers.extend(place(name, id, size));
        return Err(failure);
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length != last - first + 1 => Err(Failure::new(
            Code::SizeInvalid,
            "Content-Length is not the length of Content-Range",
        )
        .about(text)),
        _ => Ok(()),
    }
}

/// Where an upload is and how far it has come.
fn place(name: &str, id: &str, size: u64) -> Vec<(hyper::header::HeaderName, HeaderValue)> {
    let texts = [
        (LOCATION, format!("/v2/{name}/blobs/uploads/{id}")),
        (RANGE, format!("0-{}", size.saturating_sub(1))),
        (UPLOAD_UUID, id.to_owned()),
    ];
    let values = texts.into_iter();
    values
        .filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?)))
        .collect()
}

fn progress(status: StatusCode, name: &str, id: &str, size: u64) -> Reply {
    let mut reply = reply::empty(status);
    reply.headers_mut().extend(place(name, id, size));
    reply
}

fn stored(name: &str, digest: &Digest) -> Reply {
    let mut reply = reply::at(StatusCode::CREATED, &format!("/v2/{name}/blobs/{digest}"));
    set(reply.headers_mut(), CONTENT_DIGEST, &digest.to_string());
    reply
}

impl Registry {
    /// Adds a request's body to an upload. While one batch is hashed and written, the next one is collected.
    async fn receive(&self, name: &str, mut body: Incoming, mut held: Held) -> Result<Held, Failure> {
        // What is in the repository already may be pushed again, so that only the whole quota bounds what is written.
        let most = self.policy.quota(name);
        let mut next = collect(&mut body).await;
        loop {
            let (batch, end) = next;
            let length: usize = batch.iter().map(Bytes::len).sum();
            if most.is_some_and(|most| size(&held) + length as u64 > most) {
                return Err(over_quota(name));
            }
            self.metrics.received.fetch_add(length as u64, Ordering::Relaxed);
            let writing = tokio::task::spawn_blocking(move || {
                let outcome = write(&mut held, &batch);
                (held, outcome)
            });
            let written = if let End::Open = end {
                let (following, written) = tokio::join!(collect(&mut body), writing);
                next = following;
                written
            } else {
                next = (Vec::new(), End::Finished);
                writing.await
            };
            let outcome;
            (held, outcome) = joined(written)?;
            outcome?;
            match end {
                End::Open => {}
                End::Finished => return Ok(held),
                End::Broken(error) => {
                    return Err(Failure::new(
                        Code::BlobUploadInvalid,
                        format!("the body did not arrive whole: {error}"),
                    ));
                }
            }
        }
    }
}

fn write(held: &mut Held, batch: &[Bytes]) -> Result<(), BlobError> {
    if let Some(upload) = held.as_mut() {
        for piece in batch {
            upload.append(piece)?;
        }
    }
    durable::crash_point("registry.upload.appended");
    Ok(())
}

/// Why a batch ends.
enum End {
    /// It is large enough.
    Open,
    /// The body is at its end.
    Finished,
    /// The body broke off.
    Broken(hyper::Error),
}

async fn collect(body: &mut Incoming) -> (Vec<Bytes>, End) {
    let (mut batch, mut size) = (Vec::new(), 0);
    while size < BATCH {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return (batch, End::Finished),
            Some(Err(error)) => return (batch, End::Broken(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    size += data.len();
                    batch.push(data);
                }
            }
        }
    }
    (batch, End::Open)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
    outcome.map_err(|error| {
        tracing::error!(%error, "work on an upload ended badly");
        Failure::new(Code::Unknown, "the registry failed; its log says why")
    })
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let mut bits: u128 = rand::rng().random();
    bits = bits & !(0xf << 76) | 4 << 76;
    bits = bits & !(3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

fn file_name(id: &str, repository: &str) -> String {
    format!("{id}-{}", &Digest::sha256(repository).hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_4() {
        let id = uuid();
        assert!(
            is_uuid(&id) && id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]),
            "{id}"
        );
        assert_ne!(id, uuid());
        assert!(!is_uuid("../../../../../../../../../../etc/pass"));
    }

    #[test]
    fn a_chunk_must_begin_where_the_last_one_ended() {
        let headers = |range: &str, length: &str| {
            HeaderMap::from_iter([
                (CONTENT_RANGE, HeaderValue::from_str(range).unwrap()),
                (CONTENT_LENGTH, HeaderValue::from_str(length).unwrap()),
            ])
        };
        let check = |range, length| {
            check_place(&headers(range, length), "a", "id", 10).map_err(|f| f.status.as_u16())
        };
        assert_eq!(check("10-19", "10"), Ok(()));
        assert_eq!(check("0-9", "10"), Err(416));
        assert_eq!(check("11-19", "9"), Err(416));
        for (range, length) in [
            ("10-19", "9"),
            ("10-9", "0"),
            ("bytes 10-19", "10"),
            ("+10-19", "10"),
            ("-", "0"),
        ] {
            assert_eq!(check(range, length), Err(400), "{range}");
        }
    }
}
