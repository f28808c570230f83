//! The layers of one image on their way to a registry.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use distribution::access::Access;
use distribution::{DistributionError, Mounted, SendError, Upload};
use flate2::Compression;
use flate2::write::GzEncoder;
use oci::digest::{Digest, Digester};
use oci::image::{Descriptor, media_type};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bar::{Bar, layer_line};
use crate::error::stream;
use crate::layers::Pin;
use crate::load::Progress;
use crate::origins::Source;
use crate::push::places::Origins;
use crate::{Image, ImageError, Images};

/// So many repositories may be named as places to mount from.
pub(super) const MOST_MOUNTS: usize = 4;
/// So many of the names that a layer is known by are looked for.
const MOST_LOOKS: usize = 5;
/// gzip's level: a little larger than the default one's output, in a third of the time.
const LEVEL: u32 = 3;
/// The size of the pieces that are sent.
const CHUNK: usize = 128 << 10;

/// One layer to send.
#[derive(Clone)]
struct Parcel {
    access: Access,
    diff_id: Digest,
    /// Keeps it while it is sent.
    pin: Pin,
    size: u64,
    sources: Vec<Source>,
    /// What the layer is called in manifests of this very image.
    own: Arc<Vec<Digest>>,
    origins: Arc<Origins>,
    progress: Progress,
}

impl Parcel {
    fn tell(&self, status: &str) {
        (self.progress)(layer_line(self.diff_id.short(), status));
    }
}

/// The path of a canonical repository, if it lies at that registry.
pub(super) fn path_at(repository: &str, domain: &str) -> Option<String> {
    let path = repository.strip_prefix(domain)?.strip_prefix('/')?;
    Some(path.to_owned())
}

impl Images {
    /// Sends what the registry lacks; how it calls each layer.
    pub(super) async fn push_layers(
        self: &Arc<Self>,
        access: &Access,
        image: &Image,
        progress: &Progress,
    ) -> Result<Vec<Descriptor>, ImageError> {
        let own: Vec<Digest> = self.origins_of(&image.id).iter().flat_map(digests).collect();
        let own = Arc::new(own);
        let origins = Arc::new(Origins::new(self.registries.settings()));
        let mut tasks = JoinSet::new();
        let mut sent: Vec<Option<Descriptor>> = Vec::new();
        for (at, (diff_id, chain)) in image
            .config
            .rootfs
            .diff_ids
            .iter()
            .zip(image.chain_ids.iter())
            .enumerate()
        {
            let no_layer = || ImageError::NoLayer { chain: chain.clone() };
            let pin = self.layers.pin(chain).ok_or_else(no_layer)?;
            let size = self.layers.row(chain).ok_or_else(no_layer)?.archive_size;
            let mut sources = self.sources_of(diff_id);
            // With the names of its own manifest, that can be pushed as it is.
            sources.sort_by_key(|source| !own.contains(&source.descriptor.digest));
            let parcel = Parcel {
                access: access.clone(),
                diff_id: diff_id.clone(),
                pin,
                size,
                sources,
                own: Arc::clone(&own),
                origins: Arc::clone(&origins),
                progress: Progress::clone(progress),
            };
            parcel.tell("Preparing");
            sent.push(None);
            let images = Arc::clone(self);
            tasks.spawn(async move { (at, images.send_layer(parcel).await) });
        }
        while let Some(done) = tasks.join_next().await {
            let (at, layer) = done.map_err(|error| stream("send a layer")(io::Error::other(error)))?;
            sent[at] = Some(layer?);
        }
        Ok(sent.into_iter().flatten().collect())
    }

    async fn send_layer(self: &Arc<Self>, parcel: Parcel) -> Result<Descriptor, ImageError> {
        let failed = ImageError::Push;
        parcel.tell("Waiting");
        let _leave = self.registries.upload().await.ok_or(ImageError::ShuttingDown)?;
        // Layers that are in one image twice are sent once.
        let _alone = self.registries.alone(&format!("push {}", parcel.diff_id)).await;
        if let Some(there) = find(&parcel).await.map_err(failed)? {
            parcel.tell("Layer already exists");
            return Ok(there);
        }
        let mut begun = None;
        for source in parcel.sources.iter().take(MOST_LOOKS) {
            let Some(path) = path_at(&source.repository, parcel.access.domain()) else {
                continue;
            };
            match parcel
                .access
                .mount(&source.descriptor.digest, &path)
                .await
                .map_err(failed)?
            {
                Mounted::There => {
                    parcel.tell(&format!("Mounted from {path}"));
                    return Ok(source.descriptor.clone());
                }
                Mounted::Not(upload) => begun = Some(*upload),
            }
        }
        if let Some(there) = relay(&parcel, &mut begun).await? {
            return Ok(there);
        }
        let sent = parcel
            .access
            .send_blob(begun, |sender| self.pack(&parcel, sender))
            .await;
        match sent {
            Ok((digest, size)) => {
                parcel.tell("Pushed");
                Ok(Descriptor::new(media_type::DOCKER_LAYER_GZIP, digest, size))
            }
            Err(SendError::Source(error)) => Err(error),
            Err(SendError::Registry(error)) => Err(failed(error)),
        }
    }

    /// Compresses the layer while it is sent; the same bytes every time.
    async fn pack(
        self: &Arc<Self>,
        parcel: &Parcel,
        sender: mpsc::Sender<Bytes>,
    ) -> Result<(Digest, u64), ImageError> {
        let pin = parcel.pin.clone();
        let bar = Bar::new(&parcel.progress, parcel.diff_id.short(), "Pushing", parcel.size);
        self.blocking(move |images| {
            let wire = Wire {
                sender,
                chunk: Vec::new(),
                digester: Digester::sha256(),
                size: 0,
            };
            let mut counted = Counted {
                out: GzEncoder::new(wire, Compression::new(LEVEL)),
                done: 0,
                bar,
            };
            images.layers.rebuild(pin.chain(), &mut counted)?;
            let wire = counted.out.finish().map_err(stream("compress layer"))?;
            wire.finish().map_err(stream("send layer"))
        })
        .await
    }
}

/// Sends a layer of a pulled image as another repository has it, so that it stays what it is, byte for byte; nothing where
/// none of them can be asked.
async fn relay(parcel: &Parcel, begun: &mut Option<Upload>) -> Result<Option<Descriptor>, ImageError> {
    let of_this_image = |source: &&Source| parcel.own.contains(&source.descriptor.digest);
    for source in parcel.sources.iter().filter(of_this_image).take(MOST_LOOKS) {
        let blob = &source.descriptor;
        let places = match path_at(&source.repository, parcel.access.domain()) {
            Some(path) => vec![parcel.access.beside(&path)],
            None => parcel.origins.places(&source.repository).await,
        };
        for place in places {
            let bar = Bar::new(&parcel.progress, parcel.diff_id.short(), "Pushing", blob.size);
            let bar = Mutex::new(bar);
            let seen = |bytes| bar.lock().unwrap_or_else(PoisonError::into_inner).at(bytes);
            match parcel.access.relay(blob, &place, begun.take(), seen).await {
                Ok(()) => {
                    parcel.tell("Pushed");
                    return Ok(Some(blob.clone()));
                }
                Err(SendError::Registry(error)) => return Err(ImageError::Push(error)),
                Err(SendError::Source(error)) => {
                    tracing::debug!(%error, repository = source.repository, "a layer cannot be relayed");
                }
            }
        }
    }
    Ok(None)
}

fn digests(origin: &crate::origins::Origin) -> Vec<Digest> {
    let manifest = serde_json::from_str::<oci::image::Manifest>(&origin.manifest);
    manifest
        .map(|m| m.layers.into_iter().map(|layer| layer.digest).collect())
        .unwrap_or_default()
}

/// The layer under a name that the repository has.
async fn find(parcel: &Parcel) -> Result<Option<Descriptor>, DistributionError> {
    let mut seen = BTreeSet::new();
    let fresh = parcel
        .sources
        .iter()
        .filter(|source| seen.insert(&source.descriptor.digest));
    for source in fresh.take(MOST_LOOKS) {
        if parcel
            .access
            .blob_size(&source.descriptor.digest)
            .await?
            .is_some()
        {
            return Ok(Some(source.descriptor.clone()));
        }
    }
    Ok(None)
}

/// Counts the plain bytes on their way to the compressor.
struct Counted {
    out: GzEncoder<Wire>,
    done: u64,
    bar: Bar,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.done += written as u64;
        self.bar.at(self.done);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The blocking end of what is sent.
struct Wire {
    sender: mpsc::Sender<Bytes>,
    chunk: Vec<u8>,
    digester: Digester,
    size: u64,
}

impl Wire {
    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.digester.update(&chunk);
        self.size += chunk.len() as u64;
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the registry hung up");
        self.sender.blocking_send(chunk.into()).map_err(gone)
    }

    fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.send()?;
        Ok((self.digester.clone().finish(), self.size))
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK);
        }
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
