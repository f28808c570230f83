//! Manifests: get, put, delete.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName};
use oci::digest::Digest;

use crate::body::Body;
use crate::conditions::{etag, has_conditions, is_known, may_change};
use crate::error::{Code, Complaint, Failure};
use crate::manifest::{LARGEST, Parsed, Pointer};
use crate::query::Query;
use crate::registry::{Call, Registry};
use crate::reply::{self, CONTENT_DIGEST, Outcome, set};
use crate::route::Reference;
use crate::state::{self, now};

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// As many tags may be set by one push of a manifest by digest.
const MOST_TAGS: usize = 100;

impl Registry {
    /// The digest that a reference means now.
    pub(crate) fn resolve(&self, name: &str, reference: &Reference) -> Result<Digest, Failure> {
        match reference {
            Reference::Digest(digest) => Ok(digest.clone()),
            Reference::Tag(tag) => match self.state.tag(name, tag) {
                Some(row) => Ok(row.digest.clone()),
                None => Err(self.unknown(name, Code::ManifestUnknown, "manifest").about(tag)),
            },
        }
    }

    /// The content of a manifest.
    pub(crate) async fn manifest_bytes(&self, digest: &Digest) -> Result<Bytes, Failure> {
        if let Some(bytes) = self.cache.get(digest) {
            return Ok(bytes);
        }
        let bytes = self.content.read(digest, LARGEST as u64).await?;
        self.cache.keep(digest, &bytes);
        Ok(bytes)
    }

    pub(crate) async fn get_manifest(&self, name: &str, reference: &Reference, call: &Call) -> Outcome {
        let digest = self.resolve(name, reference)?;
        let row = self.state.manifest(name, &digest).ok_or_else(|| {
            self.unknown(name, Code::ManifestUnknown, "manifest")
                .about(reference)
        })?;
        let mut reply = if is_known(&call.headers, &digest) {
            reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            let mut reply = reply::empty(StatusCode::OK);
            set(reply.headers_mut(), CONTENT_TYPE, &row.media_type);
            reply.headers_mut().insert(CONTENT_LENGTH, row.size.into());
            if call.method == hyper::Method::GET {
                *reply.body_mut() = Body::Whole(self.manifest_bytes(&digest).await?);
            }
            reply
        };
        set(reply.headers_mut(), CONTENT_DIGEST, &digest.to_string());
        set(reply.headers_mut(), ETAG, &etag(&digest));
        Ok(reply)
    }

    pub(crate) async fn put_manifest(
        self: &Arc<Self>,
        name: String,
        reference: Reference,
        call: Call,
    ) -> Outcome {
        let bytes = read_manifest(call.body).await?;
        let declared = call
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let parsed = Parsed::read(&bytes, declared)?;
        let digest = Digest::sha256(&bytes);
        let tags = match &reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(given) if *given != digest => {
                return Err(
                    Failure::new(Code::DigestInvalid, "the manifest has another digest").about(digest),
                );
            }
            Reference::Digest(_) => more_tags(&call.query)?,
        };
        let push = Push {
            name,
            reference,
            bytes,
            parsed,
            digest,
            tags,
        };
        let registry = Arc::clone(self);
        // What is begun is finished, also when the client goes away.
        let task = tokio::spawn(async move {
            let conditional = has_conditions(&call.headers);
            registry
                .store_manifest(push, conditional.then_some(&call.headers))
                .await
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "a push ended badly");
            Failure::new(Code::Unknown, "the registry failed; its log says why")
        })?
    }

    async fn store_manifest(&self, push: Push, conditions: Option<&hyper::HeaderMap>) -> Outcome {
        let Push {
            name,
            reference,
            bytes,
            parsed,
            digest,
            tags,
        } = push;
        // Where nothing depends on what is there, pushes to one repository go side by side.
        let lock = self.lock_of(&name);
        let (_shared, _exclusive) = match conditions {
            None if !self.has_policy(&name, &tags) => (Some(lock.read().await), None),
            _ => (None, Some(lock.write().await)),
        };
        if let Some(headers) = conditions {
            let present = self.resolve(&name, &reference).ok();
            if !may_change(headers, present.as_ref()) {
                return Err(
                    Failure::new(Code::Denied, "the manifest has changed since it was read")
                        .with_status(StatusCode::PRECONDITION_FAILED),
                );
            }
        }
        self.all_there(&name, &parsed)?;
        self.check_tags(&name, &tags, &digest)?;
        if self.state.manifest(&name, &digest).is_none() {
            self.check_room(&name, bytes.len() as u64)?;
        }
        let _pin = self.claims.pin(&digest).await;
        let row = state::Manifest {
            media_type: parsed.media_type,
            size: bytes.len() as u64,
            pushed: now(),
            subject: parsed.subject.clone(),
            artifact_type: parsed.artifact_type,
        };
        self.content.put(bytes).await?;
        self.state.put_manifest(&name, &digest, &row, &tags).await?;

        let mut reply = reply::at(StatusCode::CREATED, &format!("/v2/{name}/manifests/{reference}"));
        set(reply.headers_mut(), CONTENT_DIGEST, &digest.to_string());
        if let Some(subject) = &parsed.subject {
            set(reply.headers_mut(), SUBJECT, &subject.to_string());
        }
        if matches!(reference, Reference::Digest(_)) && !tags.is_empty() {
            set(reply.headers_mut(), TAG, &tags.join(", "));
        }
        Ok(reply)
    }

    /// Whether what is in the repository decides about a push.
    fn has_policy(&self, name: &str, tags: &[String]) -> bool {
        self.policy.quota(name).is_some() || tags.iter().any(|tag| self.policy.is_immutable(name, tag))
    }

    /// Everything that a manifest needs must be in its repository, as long as it says.
    fn all_there(&self, name: &str, parsed: &Parsed) -> Result<(), Failure> {
        let mut complaints = Vec::new();
        let mut check = |pointer: &Pointer, size: Option<u64>| {
            let (code, message) = match size {
                Some(size) if size == pointer.size => return,
                Some(size) => (
                    Code::ManifestInvalid,
                    format!(
                        "the manifest says that {} has {} bytes, it has {size}",
                        pointer.digest, pointer.size
                    ),
                ),
                None => (
                    Code::ManifestBlobUnknown,
                    "manifest references a manifest or blob unknown to registry".to_owned(),
                ),
            };
            complaints.push(Complaint {
                code,
                message,
                detail: Some(pointer.digest.to_string()),
            });
        };
        for pointer in &parsed.blobs {
            check(
                pointer,
                self.state.blob(name, &pointer.digest).map(|link| link.size),
            );
        }
        for pointer in &parsed.manifests {
            check(
                pointer,
                self.state.manifest(name, &pointer.digest).map(|row| row.size),
            );
        }
        match complaints.first() {
            None => Ok(()),
            Some(first) => {
                let code = first.code;
                // One line of each of thousands helps nobody.
                complaints.truncate(100);
                Err(Failure::all(code, complaints))
            }
        }
    }

    pub(crate) async fn delete_manifest(self: &Arc<Self>, name: String, reference: Reference) -> Outcome {
        let _exclusive = self.lock_of(&name).write().await;
        let tags = match &reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(digest) => self.state.tags_of(&name, digest),
        };
        self.check_removal(&name, &tags)?;
        let gone = match &reference {
            Reference::Tag(tag) => self.state.delete_tag(&name, tag).await?,
            Reference::Digest(digest) => self.state.delete_manifest(&name, digest).await?.is_some(),
        };
        if !gone {
            return Err(self
                .unknown(&name, Code::ManifestUnknown, "manifest")
                .about(reference));
        }
        Ok(reply::empty(StatusCode::ACCEPTED))
    }
}

/// A manifest on its way into a repository.
struct Push {
    name: String,
    reference: Reference,
    bytes: Bytes,
    parsed: Parsed,
    digest: Digest,
    tags: Vec<String>,
}

/// The tags that a push by digest sets too (distribution-spec, end-7b).
fn more_tags(query: &Query) -> Result<Vec<String>, Failure> {
    let tags: Vec<String> = query.all("tag").map(str::to_owned).collect();
    if tags.len() > MOST_TAGS {
        return Err(
            Failure::new(Code::Unsupported, format!("at most {MOST_TAGS} tags at a time"))
                .with_status(StatusCode::URI_TOO_LONG),
        );
    }
    match tags.iter().find(|tag| !oci::reference::is_tag(tag)) {
        Some(tag) => Err(Failure::new(Code::ManifestInvalid, "invalid tag").about(tag)),
        None => Ok(tags),
    }
}

/// Reads a request's body that may be as large as a manifest.
async fn read_manifest(mut body: Incoming) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::new(
            Code::ManifestInvalid,
            format!("manifests of more than {LARGEST} bytes are not kept here"),
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if body.size_hint().lower() > LARGEST as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| {
            Failure::new(
                Code::ManifestInvalid,
                format!("the manifest did not arrive whole: {error}"),
            )
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > LARGEST {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// Manifests that were asked for lately, in two generations: when the young are too many, the old ones go.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest, Bytes>,
    old: HashMap<Digest, Bytes>,
    /// Bytes of the young.
    size: usize,
}

/// A generation holds this many bytes.
const GENERATION: usize = 1 << 20;

impl Cache {
    fn get(&self, digest: &Digest) -> Option<Bytes> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = all.young.get(digest) {
            return Some(bytes.clone());
        }
        let bytes = all.old.remove(digest)?;
        all.insert(digest, &bytes);
        Some(bytes)
    }

    fn keep(&self, digest: &Digest, bytes: &Bytes) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(digest, bytes);
    }
}

impl Generations {
    fn insert(&mut self, digest: &Digest, bytes: &Bytes) {
        if bytes.len() > GENERATION / 4 {
            return;
        }
        if self.size + bytes.len() > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        if self.young.insert(digest.clone(), bytes.clone()).is_none() {
            self.size += bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_what_is_asked_for_and_stays_small() {
        let cache = Cache::default();
        let bytes = Bytes::from(vec![0; GENERATION / 8]);
        let digests: Vec<Digest> = (0..40u8).map(|n| Digest::sha256([n])).collect();
        cache.keep(&digests[0], &bytes);
        for digest in &digests[1..] {
            cache.keep(digest, &bytes);
            assert!(cache.get(&digests[0]).is_some(), "it is asked for all the time");
        }
        let kept = digests
            .iter()
            .filter(|digest| cache.get(digest).is_some())
            .count();
        assert!(kept <= 17, "{kept}");
        cache.keep(&Digest::sha256("large"), &Bytes::from(vec![0; GENERATION]));
        assert!(cache.get(&Digest::sha256("large")).is_none());
    }
}
