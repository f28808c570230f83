//! Blobs towards a registry: mounted from another repository, or sent.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, LOCATION, RANGE};
use oci::digest::Digest;
use tokio::sync::mpsc;

use crate::access::Access;
use crate::error::DistributionError;
use crate::exchange::{Answer, Payload};
use crate::session::Outgoing;
use crate::url::Url;

/// What became of an attempt to mount.
#[derive(Debug)]
pub enum Mounted {
    /// The blob is there.
    There,
    /// It must be sent.
    Not(Box<Upload>),
}

/// A blob that is being sent.
#[derive(Debug)]
pub struct Upload {
    access: Access,
    location: Url,
}

impl Access {
    /// Lets the registry take a blob from another of its repositories.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<Mounted, DistributionError> {
        let url = self
            .url("blobs/uploads/")
            .with("mount", &digest.to_string())
            .with("from", from);
        let answer = self
            .send_retrying(|| Outgoing::new(Method::POST, url.clone()))
            .await?;
        match answer.status.as_u16() {
            201 => Ok(Mounted::There),
            _ => Ok(Mounted::Not(Box::new(self.begun(answer).await?))),
        }
    }

    /// Begins to send a blob; asks once.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn upload(&self) -> Result<Upload, DistributionError> {
        let outgoing = Outgoing::new(Method::POST, self.url("blobs/uploads/"));
        let answer = self.send(outgoing).await?;
        self.begun(answer).await
    }

    async fn begun(&self, answer: Answer) -> Result<Upload, DistributionError> {
        let location = location(&answer)?;
        answer.discard().await;
        Ok(Upload {
            access: self.clone(),
            location,
        })
    }

    /// Sends a small blob in one piece, unless it is there.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), DistributionError> {
        if self.blob_size(digest).await?.is_some() {
            return Ok(());
        }
        let mut failed = 0;
        loop {
            let sent = async {
                let upload = self.upload().await?;
                let place = upload.location.with("digest", &digest.to_string());
                let outgoing = Outgoing::new(Method::PUT, place)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .payload(Payload::Bytes(Bytes::copy_from_slice(bytes)));
                self.send(outgoing).await?.discard().await;
                Ok(())
            };
            match sent.await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    failed += 1;
                    if !self.session.pause(failed, &error).await {
                        return Err(error);
                    }
                }
            }
        }
    }
}

impl Upload {
    /// Sends all chunks but their first `skip` bytes, which are there, as one stream.
    ///
    /// # Errors
    /// [`DistributionError`]; what has arrived may be there still, see [`Upload::received`].
    pub async fn send(&mut self, chunks: mpsc::Receiver<Bytes>, skip: u64) -> Result<(), DistributionError> {
        let outgoing = Outgoing::new(Method::PATCH, self.location.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .payload(Payload::Chunks(chunks, skip));
        let answer = self.access.send(outgoing).await?;
        self.location = location(&answer)?;
        answer.discard().await;
        Ok(())
    }

    /// How many bytes have arrived; nothing when the registry does not tell.
    ///
    /// # Errors
    /// [`DistributionError`]: also that the registry has forgotten it.
    pub async fn received(&mut self) -> Result<Option<u64>, DistributionError> {
        let answer = self
            .access
            .send(Outgoing::new(Method::GET, self.location.clone()))
            .await?;
        if answer.header(LOCATION.as_str()).is_some() {
            self.location = location(&answer)?;
        }
        let range = answer.header(RANGE.as_str()).unwrap_or_default();
        // Both ends are meant: «0-0» is one byte, or, as registries have it, none.
        let last = range.trim_start_matches("bytes=").strip_prefix("0-");
        let last: Option<u64> = last.and_then(|last| last.trim().parse().ok());
        answer.discard().await;
        Ok(last
            .filter(|last| *last > 0 && *last < u64::MAX)
            .map(|last| last + 1))
    }

    /// Names what was sent; the registry verifies it.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn commit(&self, digest: &Digest) -> Result<(), DistributionError> {
        let place = self.location.clone().with("digest", &digest.to_string());
        let outgoing = Outgoing::new(Method::PUT, place);
        self.access.send(outgoing).await?.discard().await;
        Ok(())
    }

    /// Lets the registry forget what was sent; it would do so by itself later.
    pub async fn cancel(self) {
        let outgoing = Outgoing::new(Method::DELETE, self.location);
        if let Err(error) = self.access.send(outgoing).await {
            tracing::debug!(%error, "an upload is not cancelled");
        }
    }
}

fn location(answer: &Answer) -> Result<Url, DistributionError> {
    let Some(text) = answer.header(LOCATION.as_str()) else {
        return Err(answer.protocol("the registry does not say where to send the blob (no Location)"));
    };
    let url = answer.url.join(text)?;
    if answer.url.tls && !url.tls {
        return Err(answer.protocol("refusing to send a blob without TLS"));
    }
    Ok(url)
}
