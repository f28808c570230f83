//! Blobs: get, delete. How they come in is in `uploads.rs`.

use std::sync::Arc;

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
};
use hyper::{Method, StatusCode};
use oci::digest::Digest;

use crate::conditions::{Part, etag, is_known, part};
use crate::error::{Code, Failure};
use crate::registry::{Call, Registry};
use crate::reply::{self, CONTENT_DIGEST, Outcome, set};
use crate::state::{Link, now};

impl Registry {
    pub(crate) async fn get_blob(self: &Arc<Self>, name: &str, digest: &Digest, call: &Call) -> Outcome {
        let mut elsewhere = None;
        let size = match self.state.blob(name, digest) {
            Some(link) => {
                if call.method == Method::HEAD {
                    self.asked_for(name, digest, &link);
                }
                link.size
            }
            // A manifest is a blob too.
            None => match self.state.manifest(name, digest) {
                Some(manifest) => manifest.size,
                None => match self.size_elsewhere(name, digest).await? {
                    Some((access, size)) => {
                        elsewhere = Some((access, size));
                        size
                    }
                    None => return Err(self.unknown(name, Code::BlobUnknown, "blob").about(digest)),
                },
            },
        };
        let mut reply = reply::empty(StatusCode::OK);
        let headers = reply.headers_mut();
        set(headers, CONTENT_DIGEST, &digest.to_string());
        set(headers, ETAG, &etag(digest));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // What has a digest never changes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000"));
        if is_known(&call.headers, digest) {
            headers.remove(CONTENT_LENGTH);
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(reply);
        }
        let range = match part(&call.headers, digest, size) {
            // A HEAD asks about all of it (RFC 9110, section 14.2).
            _ if call.method == Method::HEAD => 0..size,
            Part::All => 0..size,
            Part::Range(range) => {
                set(
                    headers,
                    CONTENT_RANGE,
                    &format!("bytes {}-{}/{size}", range.start, range.end - 1),
                );
                *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
                range
            }
            Part::Unsatisfiable => {
                let mut failure = Failure::new(Code::SizeInvalid, "the blob has no such bytes")
                    .about(size)
                    .with_status(StatusCode::RANGE_NOT_SATISFIABLE);
                if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
                    failure = failure.with_header(CONTENT_RANGE, value);
                }
                return Err(failure);
            }
        };
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
        if call.method == Method::GET {
            *reply.body_mut() = match elsewhere {
                Some(source) => self.fetch_blob(name, digest, source, range).await?,
                None => self.content.open(digest, range).await?,
            };
        }
        Ok(reply)
    }

    /// A client that is told that a blob is here may push a manifest with it: the sweep must wait.
    pub(crate) fn asked_for(&self, name: &str, digest: &Digest, link: &Link) {
        let grace = self.settings.grace;
        if now().saturating_sub(link.linked) >= grace.as_secs() / 2 {
            self.touched.touch(name, digest, grace);
        }
    }

    pub(crate) async fn delete_blob(&self, name: &str, digest: &Digest) -> Outcome {
        let _exclusive = self.lock_of(name).write().await;
        if !self.state.unlink(name, digest).await? {
            return Err(self.unknown(name, Code::BlobUnknown, "blob").about(digest));
        }
        Ok(reply::empty(StatusCode::ACCEPTED))
    }
}
