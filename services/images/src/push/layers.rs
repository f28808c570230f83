//! The layers of one image on their way to a registry.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use distribution::access::Access;
use distribution::{DistributionError, Mounted, Upload};
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
use crate::{Image, ImageError, Images};

/// So many repositories may be named as places to mount from.
pub(super) const MOST_MOUNTS: usize = 4;
/// So many of the names that a layer is known by are looked for.
const MOST_LOOKS: usize = 5;
/// gzip's level: a little larger than the default one's output, in a third of the time.
const LEVEL: u32 = 3;
/// The size of the pieces that are sent.
const CHUNK: usize = 128 << 10;
/// How many of them may wait for the network.
const QUEUE: usize = 8;

/// One layer to send.
#[derive(Clone)]
struct Parcel {
    access: Access,
    diff_id: Digest,
    /// Keeps it while it is sent.
    pin: Pin,
    size: u64,
    sources: Vec<Source>,
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
        let mut attempts = 0;
        loop {
            match self.send_once(&parcel, begun.take()).await {
                Ok(layer) => {
                    parcel.tell("Pushed");
                    return Ok(layer);
                }
                Err(Trouble::Local(error)) => return Err(error),
                Err(Trouble::Remote(error)) => {
                    attempts += 1;
                    if !parcel.access.pause(attempts, &error).await {
                        return Err(failed(error));
                    }
                }
            }
        }
    }

    /// Compresses the layer while it is sent.
    async fn send_once(
        self: &Arc<Self>,
        parcel: &Parcel,
        begun: Option<Upload>,
    ) -> Result<Descriptor, Trouble> {
        let upload = match begun {
            Some(upload) => upload,
            None => parcel.access.upload().await.map_err(Trouble::Remote)?,
        };
        let (sender, chunks) = mpsc::channel(QUEUE);
        let pin = parcel.pin.clone();
        let bar = Bar::new(&parcel.progress, parcel.diff_id.short(), "Pushing", parcel.size);
        let pack = self.blocking(move |images| {
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
        });
        let (packed, sent) = tokio::join!(pack, upload.send(chunks, None));
        match (packed, sent) {
            (Ok((digest, size)), Ok(upload)) => {
                upload.commit(&digest).await.map_err(Trouble::Remote)?;
                Ok(Descriptor::new(media_type::DOCKER_LAYER_GZIP, digest, size))
            }
            // Whoever failed first is the cause: a registry that hangs up breaks the pipe of the other side.
            (Err(ImageError::Stream { .. } | ImageError::Rebuild { .. }), Err(error)) => {
                Err(Trouble::Remote(error))
            }
            (Err(error), _) => Err(Trouble::Local(error)),
            (Ok(_), Err(error)) => Err(Trouble::Remote(error)),
        }
    }
}

enum Trouble {
    /// Here: trying again does not help.
    Local(ImageError),
    /// There.
    Remote(DistributionError),
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
    sender: mpsc::Sender<io::Result<Bytes>>,
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
        self.sender.blocking_send(Ok(chunk.into())).map_err(gone)
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
