//! A whole blob on its way to a registry: where the connection broke, it is taken up again.
//!
//! What a registry has received is asked for, and the rest is sent (distribution-spec, «Resumable push»). The source is
//! read again from its beginning: it need not be able to do more. A registry that has forgotten the upload, or gets something
//! else together than what was sent, is sent the whole again.

use bytes::Bytes;
use oci::digest::Digest;
use oci::image::Descriptor;
use tokio::sync::mpsc;

use crate::access::Access;
use crate::blob::BlobStream;
use crate::error::DistributionError;
use crate::upload::{Mounted, Upload};

/// Pieces of a blob that may wait for the network.
const QUEUE: usize = 8;

/// Why a blob was not sent.
#[derive(Debug)]
pub enum SendError<E> {
    /// Its source failed.
    Source(E),
    /// The registry that it goes to failed, after as many attempts as are allowed without progress.
    Registry(DistributionError),
}

/// How far one blob has come.
struct Sending {
    upload: Option<Upload>,
    /// Something has been sent to it, and it broke off.
    broken: bool,
    /// What the registry has of it.
    there: u64,
    /// What all was, once the source has come to its end.
    whole: Option<(Digest, u64)>,
}

impl Access {
    /// Sends a blob. `source` writes all of it, whenever it is called, and tells digest and size; when nobody takes its
    /// chunks any more, it may fail as it likes. Chunks are best as large as what it reads at once.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_blob<E, Writing>(
        &self,
        begun: Option<Upload>,
        mut source: impl FnMut(mpsc::Sender<Bytes>) -> Writing,
    ) -> Result<(Digest, u64), SendError<E>>
    where
        Writing: Future<Output = Result<(Digest, u64), E>>,
    {
        let mut sending = Sending {
            upload: begun,
            broken: false,
            there: 0,
            whole: None,
        };
        let (mut failed, mut furthest) = (0, 0);
        loop {
            let error = match self.attempt(&mut sending, &mut source).await {
                Ok(whole) => return Ok(whole),
                Err(SendError::Registry(error)) => error,
                Err(other) => {
                    if let Some(upload) = sending.upload.take() {
                        upload.cancel().await;
                    }
                    return Err(other);
                }
            };
            failed += 1;
            if sending.there > furthest {
                (failed, furthest) = (1, sending.there);
            }
            if !error.is_passing() && sending.there > 0 && failed < self.session.settings.limits.attempts {
                // The registry may have put the pieces together wrongly: the whole at once is another matter.
                tracing::debug!(%error, "an upload that was taken up again is begun anew");
                if let Some(upload) = sending.upload.take() {
                    upload.cancel().await;
                }
                continue;
            }
            if !self.session.pause(failed, &error).await {
                return Err(SendError::Registry(error));
            }
        }
    }

    async fn attempt<E, Writing>(
        &self,
        sending: &mut Sending,
        source: &mut impl FnMut(mpsc::Sender<Bytes>) -> Writing,
    ) -> Result<(Digest, u64), SendError<E>>
    where
        Writing: Future<Output = Result<(Digest, u64), E>>,
    {
        let registry = SendError::Registry;
        if let Some(whole) = &sending.whole
            && self.blob_size(&whole.0).await.map_err(registry)?.is_some()
        {
            // It was there already when the answer got lost.
            return Ok(whole.clone());
        }
        if let (Some(upload), true) = (&mut sending.upload, sending.broken) {
            match upload.received().await {
                Ok(Some(there)) => sending.there = there,
                Err(error) if error.is_passing() => return Err(registry(error)),
                Ok(None) | Err(_) => sending.upload = None,
            }
        }
        let upload = match &mut sending.upload {
            Some(upload) => upload,
            none => {
                sending.there = 0;
                none.insert(self.upload().await.map_err(registry)?)
            }
        };
        sending.broken = true;
        let whole = match sending.whole.take() {
            Some(whole) if whole.1 == sending.there => whole,
            _ => {
                let (sender, chunks) = mpsc::channel(QUEUE);
                let (written, sent) = tokio::join!(source(sender), upload.send(chunks, sending.there));
                // Whoever takes no more breaks the pipe of the source: the registry is the cause of both.
                sent.map_err(registry)?;
                written.map_err(SendError::Source)?
            }
        };
        sending.whole = Some(whole.clone());
        upload.commit(&whole.0).await.map_err(registry)?;
        Ok(whole)
    }

    /// Sends a blob that another repository has, of this registry or another one; verified on the way. `seen` is told how
    /// many bytes have come from there.
    ///
    /// # Errors
    /// [`SendError`]: the source is the other repository.
    pub async fn relay(
        &self,
        blob: &Descriptor,
        from: &Self,
        begun: Option<Upload>,
        seen: impl Fn(u64),
    ) -> Result<(), SendError<DistributionError>> {
        let source = |sender: mpsc::Sender<Bytes>| {
            let mut stream = BlobStream::new(from.clone(), blob.clone());
            let seen = &seen;
            async move {
                while let Some(chunk) = stream.chunk().await? {
                    seen(stream.offset());
                    if sender.send(chunk).await.is_err() {
                        // Given up by the other side, which tells why.
                        break;
                    }
                }
                Ok((blob.digest.clone(), blob.size))
            }
        };
        self.send_blob(begun, source).await.map(drop)
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
        let relayed = self.relay(blob, from, Some(*upload), |_| {}).await;
        relayed.map_err(|(SendError::Source(error) | SendError::Registry(error))| error)
    }
}
