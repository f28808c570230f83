//! Blobs towards a registry: mounted from another repository, or sent.

use std::io;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, LOCATION};
use oci::digest::Digest;
use oci::image::Descriptor;
use tokio::sync::mpsc;

use crate::access::Access;
use crate::blob::BlobStream;
use crate::error::DistributionError;
use crate::exchange::{Answer, Payload};
use crate::session::Outgoing;
use crate::url::Url;

/// Pieces of a blob that may wait on their way from one repository to another.
const COPY_QUEUE: usize = 8;

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

    /// Begins to send a blob.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn upload(&self) -> Result<Upload, DistributionError> {
        let url = self.url("blobs/uploads/");
        let answer = self
            .send_retrying(|| Outgoing::new(Method::POST, url.clone()))
            .await?;
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

    /// Brings a blob from another repository of the same registry, unless it is here: mounted, or else by way of us.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn bring(&self, blob: &Descriptor, from: &Self) -> Result<(), DistributionError> {
        if self.blob_size(&blob.digest).await?.is_some() {
            return Ok(());
        }
        let Mounted::Not(upload) = self.mount(&blob.digest, &from.repository).await? else {
            return Ok(());
        };
        let (sender, chunks) = mpsc::channel(COPY_QUEUE);
        let mut source = BlobStream::new(from.clone(), blob.clone());
        let read = async move {
            loop {
                match source.chunk().await {
                    Ok(Some(chunk)) => {
                        if sender.send(Ok(chunk)).await.is_err() {
                            // Given up by the other side, which tells why.
                            return Ok(());
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        // Breaks the request: what was sent is not the whole.
                        let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
                        return Err(error);
                    }
                }
            }
        };
        let (read, sent) = tokio::join!(read, upload.send(chunks, Some(blob.size)));
        read?;
        sent?.commit(&blob.digest).await
    }

    /// Waits before a failed upload is begun anew; `false` when it must not be.
    pub async fn pause(&self, failed: u32, error: &DistributionError) -> bool {
        self.session.pause(failed, error).await
    }
}

impl Upload {
    /// Sends all chunks as one stream.
    ///
    /// # Errors
    /// [`DistributionError`]; an error among the chunks breaks the connection.
    pub async fn send(
        self,
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        length: Option<u64>,
    ) -> Result<Self, DistributionError> {
        let outgoing = Outgoing::new(Method::PATCH, self.location)
            .header(CONTENT_TYPE, "application/octet-stream")
            .payload(Payload::Chunks(chunks, length));
        let answer = self.access.send(outgoing).await?;
        let location = location(&answer)?;
        answer.discard().await;
        Ok(Self {
            access: self.access,
            location,
        })
    }

    /// Names what was sent; the registry verifies it.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn commit(self, digest: &Digest) -> Result<(), DistributionError> {
        let place = self.location.with("digest", &digest.to_string());
        self.access
            .send(Outgoing::new(Method::PUT, place))
            .await?
            .discard()
            .await;
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
