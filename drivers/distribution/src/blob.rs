//! A blob on its way: taken up again where it broke off, and verified.

use bytes::Bytes;
use hyper::Method;
use hyper::header::RANGE;
use oci::digest::{Digest, Digester};
use oci::image::Descriptor;

use crate::access::{Access, is_absent};
use crate::error::DistributionError;
use crate::exchange::Answer;
use crate::session::Outgoing;

/// The bytes of a blob in order. Its end is told only when the digest is right.
#[derive(Debug)]
pub struct BlobStream {
    access: Access,
    descriptor: Descriptor,
    /// Bytes that are here.
    offset: u64,
    /// Has seen them.
    digester: Option<Digester>,
    answer: Option<Box<Open>>,
    failed: u32,
}

struct Open {
    answer: Answer,
    /// Bytes that the server sends although we have them.
    skip: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    /// A blob from its beginning; nothing is asked yet.
    pub fn new(access: Access, descriptor: Descriptor) -> Self {
        let digester = Digester::new(descriptor.digest.algorithm());
        Self::resume(access, descriptor, 0, digester)
    }

    /// A blob of which `offset` bytes are here; `digester` has seen them.
    pub fn resume(access: Access, descriptor: Descriptor, offset: u64, digester: Digester) -> Self {
        Self {
            access,
            descriptor,
            offset,
            digester: Some(digester),
            answer: None,
            failed: 0,
        }
    }

    /// How many bytes are here.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes; `None` at the end of a blob that is what it should be.
    ///
    /// # Errors
    /// [`DistributionError`], after as many attempts as are allowed without progress.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, DistributionError> {
        loop {
            if self.digester.is_none() {
                return Ok(None);
            }
            if self.offset == self.descriptor.size && self.answer.is_none() {
                return self.finish().map(|()| None);
            }
            match self.advance().await {
                Ok(Some(bytes)) => {
                    self.failed = 0;
                    return Ok(Some(bytes));
                }
                Ok(None) => return self.finish().map(|()| None),
                Err(error) => {
                    self.answer = None;
                    self.failed += 1;
                    if !self.access.session.pause(self.failed, &error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, DistributionError> {
        loop {
            let mut open = match self.answer.take() {
                Some(open) => open,
                None => Box::new(self.open().await?),
            };
            let Some(mut bytes) = open.answer.chunk().await? else {
                if self.offset < self.descriptor.size {
                    return Err(self.short(&open.answer));
                }
                return Ok(None);
            };
            let known = usize::try_from(open.skip).unwrap_or(usize::MAX).min(bytes.len());
            open.skip -= known as u64;
            let _ = bytes.split_to(known);
            self.answer = Some(open);
            if bytes.is_empty() {
                continue;
            }
            self.offset += bytes.len() as u64;
            if self.offset > self.descriptor.size {
                return Err(self.size_error());
            }
            if let Some(digester) = &mut self.digester {
                digester.update(&bytes);
            }
            return Ok(Some(bytes));
        }
    }

    async fn open(&self) -> Result<Open, DistributionError> {
        let url = self.access.url(&format!("blobs/{}", self.descriptor.digest));
        let mut outgoing = Outgoing::new(Method::GET, url);
        if self.offset > 0 {
            outgoing = outgoing.header(RANGE, format!("bytes={}-", self.offset));
        }
        let answer = self
            .access
            .send(outgoing)
            .await
            .map_err(|error| match is_absent(&error) {
                true => DistributionError::BlobUnknown(self.descriptor.digest.clone()),
                false => error,
            })?;
        let resumed = answer.status.as_u16() == 206;
        if resumed {
            let range = answer.header("content-range").unwrap_or_default();
            if !range.starts_with(&format!("bytes {}-", self.offset)) {
                return Err(answer.protocol(format!("asked for bytes from {}, got {range:?}", self.offset)));
            }
        }
        // A server that knows no ranges begins again.
        let skip = if resumed { 0 } else { self.offset };
        let promised = answer.length().map(|length| length + self.offset - skip);
        if promised.is_some_and(|promised| promised != self.descriptor.size) {
            return Err(DistributionError::Size {
                digest: self.descriptor.digest.clone(),
                expected: self.descriptor.size,
                actual: promised.unwrap_or_default(),
            });
        }
        Ok(Open { answer, skip })
    }

    /// An answer without length that ends early is a cut connection.
    fn short(&self, answer: &Answer) -> DistributionError {
        DistributionError::Connection {
            method: "Get",
            url: answer.url.without_query(),
            reason: format!(
                "the connection ended after {} of {} bytes",
                self.offset, self.descriptor.size
            ),
        }
    }

    fn size_error(&self) -> DistributionError {
        DistributionError::Size {
            digest: self.descriptor.digest.clone(),
            expected: self.descriptor.size,
            actual: self.offset,
        }
    }

    fn finish(&mut self) -> Result<(), DistributionError> {
        let Some(digester) = self.digester.take() else {
            return Ok(());
        };
        if self.offset != self.descriptor.size {
            return Err(self.size_error());
        }
        let actual: Digest = digester.finish();
        if actual == self.descriptor.digest {
            return Ok(());
        }
        Err(DistributionError::Digest {
            what: "layer",
            expected: self.descriptor.digest.clone(),
            actual,
        })
    }
}
