//! [`Access`]: one repository of one registry, for the time of one operation.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use oci::digest::Digest;
use oci::image::{Descriptor, Index, media_type};
use oci::reference::Reference;
use serde::Deserialize;

use crate::blob::BlobStream;
use crate::credentials::Credentials;
use crate::endpoint::{Endpoint, endpoints};
use crate::error::DistributionError;
use crate::exchange::{Answer, Payload};
use crate::manifest::{self, Document, MANIFEST_LIMIT};
use crate::session::{Outgoing, Session, Trust};
use crate::settings::Settings;
use crate::url::Url;

/// A page of tags is larger than this only by mistake.
const PAGE_LIMIT: usize = 8 << 20;
/// More tags are not read.
const MOST_TAGS: usize = 100_000;
/// A list of referrers is larger than this only by mistake.
const REFERRERS_LIMIT: usize = 4 << 20;

/// What is to be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Only read; mirrors may answer.
    Pull,
    /// Only read; the registry itself must answer.
    Look,
    /// Read and write; the registry itself must answer.
    Push,
    /// Remove; the registry itself must answer.
    Delete,
}

/// One repository at one place.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) session: Arc<Session>,
    pub(crate) endpoint: Endpoint,
    pub(crate) repository: String,
    domain: String,
    intent: Intent,
    /// Repositories that layers may be mounted from.
    sources: Vec<String>,
}

impl Access {
    /// The places of a repository, the best first; nothing is asked yet.
    ///
    /// # Errors
    /// [`DistributionError::Blocked`], [`DistributionError::Url`].
    pub fn places(
        settings: &Arc<Settings>,
        credentials: &Credentials,
        name: &Reference,
        intent: Intent,
    ) -> Result<Vec<Self>, DistributionError> {
        let found = endpoints(settings, name.domain(), name.path(), intent == Intent::Pull)?;
        let place = |endpoint: Endpoint| {
            // What proves who asks goes to the registry it is for, not to those that stand in for it.
            let credentials = if endpoint.mirror {
                Credentials::Anonymous
            } else {
                credentials.clone()
            };
            Self {
                session: Session::new(Arc::clone(settings), credentials),
                endpoint,
                repository: name.path().to_owned(),
                domain: name.domain().to_owned(),
                intent,
                sources: Vec::new(),
            }
        };
        Ok(found.into_iter().map(place).collect())
    }

    /// The first place that answers.
    ///
    /// # Errors
    /// What the last one said.
    pub async fn open(
        settings: &Arc<Settings>,
        credentials: &Credentials,
        name: &Reference,
        intent: Intent,
    ) -> Result<Self, DistributionError> {
        let mut last = None;
        for place in Self::places(settings, credentials, name, intent)? {
            match place.ping().await {
                Ok(()) => return Ok(place),
                // Who is there and refuses is the one; who is not may be spoken to in another way.
                Err(error) if !error.is_passing() && !place.endpoint.mirror => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| DistributionError::NameUnknown(name.name())))
    }

    /// Lets layers be mounted from other repositories of the same registry.
    pub fn allow_sources(&mut self, repositories: impl IntoIterator<Item = String>) {
        self.sources = repositories.into_iter().collect();
        self.sources.retain(|source| *source != self.repository);
    }

    /// Another repository of the same registry, by its path; connections and tokens are shared.
    #[must_use]
    pub fn beside(&self, repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            intent: Intent::Look,
            sources: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether this place only stands in for the registry.
    pub fn is_mirror(&self) -> bool {
        self.endpoint.mirror
    }

    /// The registry's name (`docker.io`), also where a mirror answers.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the server is there and speaks the protocol; learns what it wants to see.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn ping(&self) -> Result<(), DistributionError> {
        let outgoing = Outgoing::new(Method::GET, self.endpoint.url(""));
        let answer = self.session.send(outgoing, &self.trust()).await?;
        if answer.status.as_u16() == 401 {
            if !self.session.tokens.learn(&answer) {
                return Err(
                    answer.protocol("the server wants a kind of authentication that is not known here")
                );
            }
            answer.discard().await;
            return Ok(());
        }
        answer.check().await?.discard().await;
        Ok(())
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::of(&self.endpoint)
    }

    /// What a token must allow.
    pub(crate) fn scopes(&self) -> String {
        let actions = match self.intent {
            Intent::Pull | Intent::Look => "pull",
            Intent::Push => "pull,push",
            Intent::Delete => "pull,delete",
        };
        let mut scopes = format!("repository:{}:{actions}", self.repository);
        for source in &self.sources {
            scopes.push_str(&format!(" repository:{source}:pull"));
        }
        scopes
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.endpoint.url(&format!("{}/{path}", self.repository))
    }

    /// Sends once, with what the server wants to see; an error status is an error.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<Answer, DistributionError> {
        let answer = self
            .session
            .send_authorized(outgoing, &self.scopes(), &self.trust())
            .await?;
        answer.check().await
    }

    /// Sends until it succeeds, or fails for good.
    pub(crate) async fn send_retrying(
        &self,
        make: impl Fn() -> Outgoing,
    ) -> Result<Answer, DistributionError> {
        let mut failed = 0;
        loop {
            match self.send(make()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    failed += 1;
                    if !self.session.pause(failed, &error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The manifest of a tag, or of a digest, which is then verified.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn manifest(&self, tag_or_digest: &str) -> Result<Document, DistributionError> {
        let url = self.url(&format!("manifests/{tag_or_digest}"));
        let request = || Outgoing::new(Method::GET, url.clone()).header(ACCEPT, manifest::ACCEPT);
        let mut answer = self
            .send_retrying(request)
            .await
            .map_err(|e| absent(e, tag_or_digest))?;
        let bytes = answer.bytes(MANIFEST_LIMIT).await?;
        let kind = answer
            .header(CONTENT_TYPE.as_str())
            .unwrap_or_default()
            .to_owned();
        let document = Document::new(&url.to_string(), &kind, bytes.to_vec())?;
        let expected = match tag_or_digest.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(_) => answer
                .header("docker-content-digest")
                .and_then(|d| d.parse().ok()),
        };
        match expected {
            Some(expected) if !expected.verifies(&document.bytes) => Err(DistributionError::Digest {
                what: "manifest",
                expected,
                actual: document.digest,
            }),
            _ => Ok(document),
        }
    }

    /// A small blob as a whole, such as a configuration; verified.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn small_blob(
        &self,
        descriptor: &Descriptor,
        limit: usize,
    ) -> Result<Vec<u8>, DistributionError> {
        if descriptor.size > limit as u64 {
            return Err(DistributionError::Protocol {
                url: descriptor.digest.to_string(),
                reason: format!(
                    "its {} bytes are more than the {limit} that are allowed here",
                    descriptor.size
                ),
            });
        }
        let mut whole = Vec::new();
        let mut stream = BlobStream::new(self.clone(), descriptor.clone());
        while let Some(chunk) = stream.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    /// Whether the repository has a blob, and its size.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, DistributionError> {
        let url = self.url(&format!("blobs/{digest}"));
        match self
            .send_retrying(|| Outgoing::new(Method::HEAD, url.clone()))
            .await
        {
            Ok(answer) => Ok(Some(answer.length().unwrap_or(0))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All tags.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn tags(&self) -> Result<Vec<String>, DistributionError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next = Some(self.url("tags/list"));
        while let Some(url) = next.take() {
            let mut answer = self
                .send_retrying(|| Outgoing::new(Method::GET, url.clone()))
                .await?;
            let text = answer.bytes(PAGE_LIMIT).await?;
            let page: Page = serde_json::from_slice(&text)
                .map_err(|error| answer.protocol(format!("the list of tags cannot be read: {error}")))?;
            let new = page.tags.unwrap_or_default();
            let grew = !new.is_empty();
            tags.extend(new);
            if tags.len() > MOST_TAGS {
                return Err(answer.protocol(format!("the repository has more than {MOST_TAGS} tags")));
            }
            if let Some(link) = answer.header("link").and_then(next_page).filter(|_| grew) {
                let joined = url.join(link)?;
                if !joined.same_origin(&url) {
                    return Err(answer.protocol("the next page is on another server"));
                }
                next = Some(joined);
            }
        }
        Ok(tags)
    }

    /// Stores a manifest under a tag or its digest; the digest that it has there.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn put_manifest(
        &self,
        tag_or_digest: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, DistributionError> {
        let url = self.url(&format!("manifests/{tag_or_digest}"));
        let bytes = Bytes::copy_from_slice(bytes);
        let request = || {
            Outgoing::new(Method::PUT, url.clone())
                .header(CONTENT_TYPE, media_type)
                .payload(Payload::Bytes(bytes.clone()))
        };
        self.send_retrying(request).await?.discard().await;
        Ok(Digest::sha256(&bytes))
    }

    /// Removes a manifest and all its tags, or, by a tag, that tag where the registry can.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn delete_manifest(&self, tag_or_digest: &str) -> Result<(), DistributionError> {
        let url = self.url(&format!("manifests/{tag_or_digest}"));
        let request = || Outgoing::new(Method::DELETE, url.clone());
        let answer = self
            .send_retrying(request)
            .await
            .map_err(|e| absent(e, tag_or_digest))?;
        answer.discard().await;
        Ok(())
    }

    /// What refers to a manifest: signatures, bills of materials. An empty list where the registry does not know.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, DistributionError> {
        let url = self.url(&format!("referrers/{digest}"));
        let asked = self
            .send_retrying(|| Outgoing::new(Method::GET, url.clone()).header(ACCEPT, media_type::OCI_INDEX))
            .await;
        let index: Index = match asked {
            Ok(mut answer) => {
                let text = answer.bytes(REFERRERS_LIMIT).await?;
                serde_json::from_slice(&text).map_err(|error| {
                    answer.protocol(format!("the list of referrers cannot be read: {error}"))
                })?
            }
            // A registry of the time before referrers: they are listed under a tag (distribution-spec, «Referrers Tag Schema»).
            Err(error) if is_absent(&error) => {
                let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
                match self.manifest(&tag).await {
                    Ok(document) => match document.parse()? {
                        manifest::Manifest::Index(index) => index,
                        manifest::Manifest::Image(_) => return Ok(Vec::new()),
                    },
                    Err(error) if is_absent(&error) => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        Ok(index.manifests)
    }
}

/// A 404 for a manifest is about that manifest, whatever else it says.
fn absent(error: DistributionError, what: &str) -> DistributionError {
    match error {
        DistributionError::Status { ref status, .. } if status.starts_with("404") => {
            DistributionError::ManifestUnknown(what.to_owned())
        }
        other => other,
    }
}

pub(crate) fn is_absent(error: &DistributionError) -> bool {
    match error {
        DistributionError::ManifestUnknown(_)
        | DistributionError::NameUnknown(_)
        | DistributionError::BlobUnknown(_) => true,
        DistributionError::Status { status, .. } => status.starts_with("404"),
        _ => false,
    }
}

/// The target of `Link: <...>; rel="next"` (RFC 5988).
pub(crate) fn next_page(header: &str) -> Option<&str> {
    let (target, rest) = header.trim().strip_prefix('<')?.split_once('>')?;
    rest.replace(' ', "").contains("rel=\"next\"").then_some(target)
}
