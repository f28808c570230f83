//! `/health` and `/metrics`, and what is noted about every request: counters, a line of the log, notifications.

use std::time::Instant;

use hyper::body::Body as _;
use hyper::header::{HOST, HeaderMap, USER_AGENT};
use hyper::{Method, StatusCode};
use oci::digest::Digest;
use serde_json::json;

use crate::access_log::Entry;
use crate::auth::Identity;
use crate::notify::Event;
use crate::registry::{Peer, Registry};
use crate::reply::{self, CONTENT_DIGEST, Outcome, Reply};
use crate::route::{Reference, Route};

/// The head of a request, kept until it is answered.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) agent: String,
    pub(crate) start: Instant,
    pub(crate) peer: Peer,
}

impl Noted {
    pub(crate) fn new(method: &Method, path: &str, headers: &HeaderMap, peer: Peer, wanted: bool) -> Self {
        let text = |name| {
            let value = headers
                .get(name)
                .and_then(|value: &hyper::header::HeaderValue| value.to_str().ok());
            value.filter(|_| wanted).unwrap_or_default().to_owned()
        };
        Self {
            method: method.clone(),
            path: if wanted { path.to_owned() } else { String::new() },
            host: text(HOST),
            agent: text(USER_AGENT),
            start: Instant::now(),
            peer,
        }
    }
}

impl Registry {
    /// Whether the registry can do its work: its storage can be reached.
    pub(crate) async fn health(&self) -> Outcome {
        let digest = Digest::sha256(b"");
        if let Err(error) = self.content.size(&digest).await {
            tracing::error!(%error, "the storage cannot be reached");
            let mut reply = reply::whole(
                "application/json",
                "{\"status\":\"the storage cannot be reached\"}\n",
            );
            *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(reply);
        }
        let body = json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") });
        Ok(reply::whole("application/json", body.to_string() + "\n"))
    }

    pub(crate) fn metrics_text(&self) -> Reply {
        let text = self.metrics.text(self.state.count());
        reply::whole("text/plain; version=0.0.4; charset=utf-8", text)
    }

    /// Notes a request that was answered.
    pub(crate) fn note(&self, noted: &Noted, kind: usize, identity: &Identity, reply: &Reply) {
        let bytes = match noted.method {
            Method::HEAD => 0,
            _ => reply.body().size_hint().exact().unwrap_or(0),
        };
        let took = noted.start.elapsed();
        self.metrics
            .count(kind, &noted.method, reply.status().as_u16(), took, bytes);
        if let Some(journal) = &self.journal {
            journal.write(&Entry {
                peer: noted.peer.address,
                user: identity.name(),
                method: noted.method.as_str(),
                path: &noted.path,
                status: reply.status().as_u16(),
                bytes,
                agent: &noted.agent,
                took,
            });
        }
    }

    /// Tells those who want to know what a request has done.
    pub(crate) fn tell(
        &self,
        noted: &Noted,
        route: &Route,
        mounts: bool,
        identity: &Identity,
        reply: &Reply,
    ) {
        let status = reply.status();
        let (action, repository, tag) = match (route, &noted.method) {
            (Route::Manifest(name, reference), method) if status.is_success() => {
                let action = match *method {
                    Method::GET => "pull",
                    Method::PUT => "push",
                    Method::DELETE => "delete",
                    _ => return,
                };
                let tag = match reference {
                    Reference::Tag(tag) => Some(tag.as_str()),
                    Reference::Digest(_) => None,
                };
                (action, name, tag)
            }
            (Route::Blob(name, _), &Method::GET) if status.is_success() => ("pull", name, None),
            (Route::Blob(name, _), &Method::DELETE) if status.is_success() => ("delete", name, None),
            (Route::Uploads(name), _) if status == StatusCode::CREATED && mounts => ("mount", name, None),
            (Route::Upload(name, _) | Route::Uploads(name), _) if status == StatusCode::CREATED => {
                ("push", name, None)
            }
            _ => return,
        };
        let said = reply
            .headers()
            .get(CONTENT_DIGEST)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let digest: Option<Digest> = match route {
            Route::Manifest(_, Reference::Digest(digest)) | Route::Blob(_, digest) => Some(digest.clone()),
            _ => said,
        };
        let manifest = digest
            .as_ref()
            .and_then(|digest| self.state.manifest(repository, digest));
        let blob = digest
            .as_ref()
            .and_then(|digest| self.state.blob(repository, digest));
        let size = manifest
            .as_ref()
            .map(|row| row.size)
            .or(blob.map(|link| link.size));
        self.notifier.tell(&Event {
            action,
            repository,
            digest: digest.as_ref(),
            tag,
            media_type: manifest
                .as_ref()
                .map_or("application/octet-stream", |row| &row.media_type),
            size: size.unwrap_or(0),
            user: identity.name(),
            peer: noted.peer.address,
            method: noted.method.as_str(),
            host: &noted.host,
            agent: &noted.agent,
        });
    }
}
