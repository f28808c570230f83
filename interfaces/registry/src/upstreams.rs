//! Other registries that this one stands in for: what is pulled through it is kept, and served when they are away.
//!
//! What comes from an upstream lies in repositories below its name: `hub/library/busybox`. A request finds it by that path, by
//! `?ns=` with the upstream's registry, or, for one upstream, by the bare path. A manifest by digest and a blob never change
//! and are fetched once; what a tag means is asked again after some time. `fetches.rs` brings blobs.

mod fetches;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use distribution::access::Intent;
use distribution::{Access, Credentials, DistributionError, Settings};
use fault::{Fault, Kind};
use hyper::StatusCode;
use oci::digest::Digest;
use oci::reference::Reference as Name;

use crate::config::Upstream;
use crate::error::{Code, Failure};
use crate::manifest::Parsed;
use crate::registry::Registry;
use crate::route::{Reference, Route};
use crate::state::{self, now};

pub(crate) use fetches::Fetches;

/// As many tags are remembered as asked for lately.
const MOST_REMEMBERED: usize = 100_000;

/// An upstream cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its name cannot be the beginning of a repository's.
    #[error(
        "upstream {registry}: give it a \"name\" of lower-case letters, digits and separators ({name:?} is none)"
    )]
    Name {
        /// The registry.
        registry: String,
        /// The name.
        name: String,
    },
    /// Two have the same name, or both are the default.
    #[error("upstream {registry}: another one has its name, or is the default too")]
    Double {
        /// The registry.
        registry: String,
    },
    /// The password cannot be read.
    #[error("upstream {registry}: read the password {path}: {source}")]
    Password {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Fault for UpstreamError {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

/// One upstream, ready to be asked.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    registry: String,
    default: bool,
    fresh_for: Duration,
    credentials: Credentials,
}

/// All upstreams.
#[derive(Debug)]
pub(crate) struct Upstreams {
    sources: Vec<Source>,
    settings: Arc<Settings>,
    /// When a tag was asked for last.
    asked: Mutex<HashMap<String, Instant>>,
    pub(crate) fetches: Fetches,
}

impl Upstreams {
    pub(crate) fn new(configured: &[Upstream]) -> Result<Self, UpstreamError> {
        let mut sources: Vec<Source> = Vec::new();
        let mut settings = Settings::new(concat!("dhow-registry/", env!("CARGO_PKG_VERSION")));
        for upstream in configured {
            let registry = upstream.registry.clone();
            let name = upstream.name.clone().unwrap_or_else(|| registry.clone());
            if !oci::reference::is_repository(&name) {
                return Err(UpstreamError::Name { registry, name });
            }
            let double = |other: &Source| other.name == name || other.default && upstream.default;
            if sources.iter().any(double) {
                return Err(UpstreamError::Double { registry });
            }
            if upstream.insecure {
                settings.insecure.push(registry.clone());
            }
            let password = upstream
                .password_file
                .as_deref()
                .map(|path| read_password(&registry, path));
            let credentials = match (&upstream.user, password.transpose()?) {
                (Some(user), Some(password)) => Credentials::Password {
                    user: user.clone(),
                    password,
                },
                _ => Credentials::Anonymous,
            };
            sources.push(Source {
                name,
                registry,
                default: upstream.default,
                fresh_for: upstream.fresh_for,
                credentials,
            });
        }
        // Clients wait: it is better to say soon that the other side is away, and to serve what is kept.
        settings.limits.connect = Duration::from_secs(10);
        settings.limits.answer = Duration::from_secs(30);
        settings.limits.attempts = 3;
        Ok(Self {
            sources,
            settings: Arc::new(settings),
            asked: Mutex::default(),
            fetches: Fetches::default(),
        })
    }

    /// The upstream that a repository belongs to, and the repository's path there.
    fn find<'a>(&self, repository: &'a str) -> Option<(&Source, &'a str)> {
        self.sources.iter().find_map(|source| {
            let path = repository.strip_prefix(&source.name)?.strip_prefix('/')?;
            Some((source, path))
        })
    }

    fn of_namespace(&self, namespace: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.registry == namespace)
    }

    fn is_fresh(&self, key: &str, time: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(key).is_some_and(|since| since.elapsed() < time)
    }

    fn refreshed(&self, key: String) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MOST_REMEMBERED {
            asked.clear();
        }
        asked.insert(key, Instant::now());
    }

    /// The way to a repository of an upstream.
    async fn open(&self, source: &Source, path: &str) -> Result<Access, Failure> {
        let full = format!("{}/{path}", source.registry);
        let name = Name::parse_normalized(&full)
            .map_err(|error| Failure::new(Code::NameInvalid, error.to_string()).about(&full))?;
        let access = Access::open(&self.settings, &source.credentials, &name, Intent::Pull).await;
        access.map_err(away)
    }
}

fn read_password(registry: &str, path: &Path) -> Result<String, UpstreamError> {
    let text = std::fs::read_to_string(path).map_err(|source| UpstreamError::Password {
        registry: registry.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// What a client is told when an upstream does not give something.
pub(crate) fn away(error: DistributionError) -> Failure {
    match error.kind() {
        Kind::NotFound => Failure::new(Code::ManifestUnknown, format!("the upstream registry: {error}")),
        Kind::Unauthorized | Kind::Forbidden => {
            Failure::new(Code::Denied, format!("the upstream registry refuses: {error}"))
        }
        _ => {
            tracing::warn!(%error, "an upstream registry fails");
            Failure::new(Code::Unknown, format!("the upstream registry fails: {error}"))
                .with_status(StatusCode::BAD_GATEWAY)
        }
    }
}

impl Registry {
    /// Where a request leads when upstreams are looked at: below an upstream's name for `?ns=`, and for what is not here.
    pub(crate) fn redirect(&self, route: Route, namespace: Option<&str>) -> Route {
        let Some(name) = route.repository() else {
            return route;
        };
        if self.upstreams.sources.is_empty() || self.upstreams.find(name).is_some() {
            return route;
        }
        let named = namespace.and_then(|namespace| self.upstreams.of_namespace(namespace));
        let default = || self.upstreams.sources.iter().find(|source| source.default);
        let source = match named {
            Some(source) => Some(source),
            None if namespace.is_none() && !self.state.has_repository(name) => default(),
            None => None,
        };
        let Some(source) = source else { return route };
        let inside = if source.registry == "docker.io" && !name.contains('/') {
            format!("{}/library/{name}", source.name)
        } else {
            format!("{}/{name}", source.name)
        };
        route.in_repository(inside)
    }

    /// Whether a repository is filled from elsewhere, so that nobody may push to it.
    pub(crate) fn is_cached(&self, name: &str) -> bool {
        self.upstreams.find(name).is_some()
    }

    /// Makes a manifest be here, as new as it has to be.
    pub(crate) async fn bring_manifest(
        self: &Arc<Self>,
        name: &str,
        reference: &Reference,
    ) -> Result<(), Failure> {
        let Some((source, path)) = self.upstreams.find(name) else {
            return Ok(());
        };
        let key = format!("{name}:{reference}");
        let here = match reference {
            Reference::Digest(digest) if self.state.manifest(name, digest).is_some() => return Ok(()),
            Reference::Digest(_) => false,
            Reference::Tag(tag) => {
                let here = self.state.tag(name, tag).is_some();
                if here && self.upstreams.is_fresh(&key, source.fresh_for) {
                    return Ok(());
                }
                here
            }
        };
        let fetched = async {
            let access = self.upstreams.open(source, path).await?;
            access.manifest(&reference.to_string()).await.map_err(away)
        };
        let document = match fetched.await {
            Ok(document) => document,
            // What is kept is better than nothing, unless the other side says that there is nothing.
            Err(failure) if here && failure.status != StatusCode::NOT_FOUND => {
                tracing::warn!(name, %reference, "serving what is kept: the upstream registry does not answer");
                return Ok(());
            }
            Err(failure) => {
                if let Reference::Tag(tag) = reference
                    && failure.status == StatusCode::NOT_FOUND
                {
                    self.state.delete_tag(name, tag).await?;
                }
                return Err(failure);
            }
        };
        let bytes = Bytes::from(document.bytes);
        let parsed = Parsed::read(&bytes, Some(&document.media_type))?;
        let registry = Arc::clone(self);
        let (name, reference) = (name.to_owned(), reference.clone());
        let stored = tokio::spawn(async move {
            let _shared = registry.lock_of(&name).read().await;
            registry.keep_manifest(&name, &reference, bytes, parsed).await
        });
        stored.await.map_err(|error| {
            tracing::error!(%error, "keeping a manifest ended badly");
            Failure::new(Code::Unknown, "the registry failed; its log says why")
        })??;
        self.upstreams.refreshed(key);
        Ok(())
    }

    async fn keep_manifest(
        &self,
        name: &str,
        reference: &Reference,
        bytes: Bytes,
        parsed: Parsed,
    ) -> Result<(), Failure> {
        let digest = Digest::sha256(&bytes);
        let _pin = self.claims.pin(&digest).await;
        let row = state::Manifest {
            media_type: parsed.media_type,
            size: bytes.len() as u64,
            pushed: now(),
            subject: parsed.subject,
            artifact_type: parsed.artifact_type,
        };
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => Vec::new(),
        };
        self.content.put(bytes).await?;
        self.state.put_manifest(name, &digest, &row, &tags).await?;
        Ok(())
    }

    /// The size of a blob of an upstream that is not here yet.
    pub(crate) async fn size_elsewhere(
        &self,
        name: &str,
        digest: &Digest,
    ) -> Result<Option<(Access, u64)>, Failure> {
        let Some((source, path)) = self.upstreams.find(name) else {
            return Ok(None);
        };
        let access = self.upstreams.open(source, path).await?;
        let size = access.blob_size(digest).await.map_err(away)?;
        Ok(size.map(|size| (access, size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(registry: &str, name: Option<&str>, default: bool) -> Upstream {
        Upstream {
            name: name.map(str::to_owned),
            default,
            ..serde_json::from_value(serde_json::json!({ "registry": registry })).unwrap()
        }
    }

    #[test]
    fn a_repository_belongs_to_the_upstream_whose_name_it_begins_with() {
        let both = [
            upstream("docker.io", None, true),
            upstream("10.0.0.1:5000", Some("lab"), false),
        ];
        let upstreams = Upstreams::new(&both).unwrap();
        let found = |name| {
            upstreams
                .find(name)
                .map(|(source, path)| (source.registry.as_str(), path))
        };
        assert_eq!(found("docker.io/library/x"), Some(("docker.io", "library/x")));
        assert_eq!(found("lab/x"), Some(("10.0.0.1:5000", "x")));
        assert_eq!(found("laboratory/x"), None);
        assert_eq!(found("lab"), None);
    }

    #[test]
    fn upstreams_that_cannot_be_told_apart_are_refused() {
        assert!(
            Upstreams::new(&[upstream("10.0.0.1:5000", None, false)]).is_err(),
            "a port is no name"
        );
        assert!(Upstreams::new(&[upstream("a.b", None, false), upstream("a.b", None, false)]).is_err());
        assert!(Upstreams::new(&[upstream("a.b", None, true), upstream("c.d", None, true)]).is_err());
    }
}
