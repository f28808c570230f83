//! The layers of one image: fetched side by side, unpacked while they come, put in order.

use std::io::BufReader;
use std::sync::Arc;

use distribution::access::Access;
use distribution::{BlobStream, DistributionError};
use oci::chain_id::chain_ids;
use oci::digest::Digest;
use oci::image::Descriptor;
use oci::reference::Reference;
use tokio::task::JoinSet;

use crate::bar::{Bar, layer_line};
use crate::error::{is_full, registry, stream};
use crate::layers::{Pin, Staged, piped};
use crate::load::Progress;
use crate::spool::Spool;
use crate::transfer::{InputSender, input};
use crate::{ImageError, Images};

/// One layer that is missing.
#[derive(Clone)]
struct Wanted {
    place: Access,
    name: Reference,
    layer: Descriptor,
    diff_id: Digest,
    /// The chain below it, for drivers that copy it.
    below: Option<Digest>,
    progress: Progress,
}

impl Wanted {
    fn tell(&self, status: &str) {
        (self.progress)(layer_line(self.layer.digest.short(), status));
    }
}

impl Images {
    /// Makes the chain of an image; its top, `None` for an image without layers.
    pub(super) async fn fetch_layers(
        self: &Arc<Self>,
        place: &Access,
        name: &Reference,
        layers: &[Descriptor],
        diff_ids: &[Digest],
        progress: &Progress,
    ) -> Result<Option<Pin>, ImageError> {
        let chain = chain_ids(diff_ids);
        let there = (0..chain.len())
            .rev()
            .find_map(|i| Some((i, self.layers.pin(&chain[i])?)));
        let (first, mut top) = match there {
            Some((place, pin)) => (place + 1, Some(pin)),
            None => (0, None),
        };
        for (place, layer) in layers.iter().enumerate() {
            let status = if place < first {
                "Already exists"
            } else {
                "Pulling fs layer"
            };
            progress(layer_line(layer.digest.short(), status));
        }
        let ordered = self.layers.driver().needs_parent();
        // Dropped with this future: what is not done then is given up.
        let mut tasks = JoinSet::new();
        let mut staged: Vec<Option<Staged>> = layers.iter().map(|_| None).collect();
        let mut next = first;
        let begin = |tasks: &mut JoinSet<_>, at: usize| {
            let wanted = Wanted {
                place: place.clone(),
                name: name.clone(),
                layer: layers[at].clone(),
                diff_id: diff_ids[at].clone(),
                below: at.checked_sub(1).map(|below| chain[below].clone()),
                progress: Progress::clone(progress),
            };
            let images = Arc::clone(self);
            tasks.spawn(async move { (at, images.get_layer(wanted).await) });
        };
        let at_once = if ordered {
            layers.len().min(first + 1)
        } else {
            layers.len()
        };
        for at in first..at_once {
            begin(&mut tasks, at);
        }
        while let Some(done) = tasks.join_next().await {
            let (at, got) = done.map_err(|error| stream("fetch a layer")(std::io::Error::other(error)))?;
            staged[at] = Some(got?);
            while let Some(ready) = staged.get_mut(next).and_then(Option::take) {
                let below = top.take();
                let pin = self
                    .blocking(move |images| images.layers.register(below.as_ref(), ready))
                    .await?;
                durable::crash_point("images.pull.registered");
                top = Some(pin);
                progress(layer_line(layers[next].digest.short(), "Pull complete"));
                next += 1;
                if ordered && next < layers.len() {
                    begin(&mut tasks, next);
                }
            }
        }
        Ok(top)
    }

    async fn get_layer(self: &Arc<Self>, wanted: Wanted) -> Result<Staged, ImageError> {
        let digest = wanted.layer.digest.to_string();
        // One at a time: they share the spool.
        let _alone = self.registries.alone(&digest).await;
        let _leave = self.registries.download().await.ok_or(ImageError::ShuttingDown)?;
        if let Some(staged) = self.copy_known(&wanted).await? {
            return Ok(staged);
        }
        let spool = self.open_spool(&wanted).await?;
        let resumed = spool.length > 0;
        match self.fetch_layer(&wanted, spool).await {
            Err(error) if is_other_content(&error) => {
                // What was kept is not the beginning of this layer, or the registry lies. Only the first can be mended.
                let digest = wanted.layer.digest.clone();
                self.blocking(move |images| {
                    images.spools.remove(&digest);
                    Ok(())
                })
                .await?;
                if !resumed {
                    return Err(error);
                }
                let spool = self.open_spool(&wanted).await?;
                self.fetch_layer(&wanted, spool).await
            }
            Err(error) if is_full(&error) => {
                // There may be room for it once: in that case it must come in one go.
                let digest = wanted.layer.digest.clone();
                let spool = Spool::not_kept(&digest);
                self.blocking(move |images| {
                    images.spools.remove(&digest);
                    Ok(())
                })
                .await?;
                self.fetch_layer(&wanted, spool).await
            }
            done => done,
        }
    }

    async fn open_spool(self: &Arc<Self>, wanted: &Wanted) -> Result<Spool, ImageError> {
        let (digest, size) = (wanted.layer.digest.clone(), wanted.layer.size);
        self.blocking(move |images| images.spools.open(&digest, size))
            .await
    }

    /// The same content may be here above other layers: then nothing is fetched.
    async fn copy_known(self: &Arc<Self>, wanted: &Wanted) -> Result<Option<Staged>, ImageError> {
        let Some(pin) = self.layers.pin_content(&wanted.diff_id) else {
            return Ok(None);
        };
        let below = wanted
            .below
            .clone()
            .filter(|_| self.layers.driver().needs_parent());
        let staged = self
            .blocking(move |images| {
                let (_, staged) = piped(
                    |out| images.layers.rebuild(pin.chain(), out),
                    |plain| images.layers.stage(below.as_ref(), plain),
                )?;
                Ok(staged)
            })
            .await?;
        // If it has rotted here, the registry has it still.
        if staged.diff_id != wanted.diff_id {
            return Ok(None);
        }
        wanted.tell("Already exists");
        Ok(Some(staged))
    }

    async fn fetch_layer(self: &Arc<Self>, wanted: &Wanted, spool: Spool) -> Result<Staged, ImageError> {
        let layer = &wanted.layer;
        let blob = BlobStream::resume(
            wanted.place.clone(),
            layer.clone(),
            spool.length,
            spool.digester.clone(),
        );
        let (sender, reader) = input();
        let below = wanted
            .below
            .clone()
            .filter(|_| self.layers.driver().needs_parent());
        let unpack = self.blocking(move |images| {
            let source = spool.reader(reader).map_err(stream("read layer"))?;
            let source = BufReader::with_capacity(256 << 10, source);
            let (_, plain) = blobs::decompress(source).map_err(stream("read layer"))?;
            images.layers.stage(below.as_ref(), plain)
        });
        let (fetched, unpacked) = tokio::join!(feed(wanted, blob, sender), unpack);
        // The download's failure is the cause of the other one; a broken archive is a failure of its own.
        match (fetched, unpacked) {
            (Err(error), _) => Err(registry(&wanted.name)(error)),
            (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(staged)) if staged.diff_id != wanted.diff_id => Err(ImageError::Remote(format!(
                "layer verification failed for digest {}: its content is {}, but the configuration says {}",
                layer.digest, staged.diff_id, wanted.diff_id
            ))),
            (Ok(()), Ok(staged)) => Ok(staged),
        }
    }
}

/// Takes the bytes from the registry to the unpacking thread.
async fn feed(wanted: &Wanted, mut blob: BlobStream, sender: InputSender) -> Result<(), DistributionError> {
    let id = wanted.layer.digest.short();
    let mut bar = Bar::new(&wanted.progress, id, "Downloading", wanted.layer.size);
    loop {
        match blob.chunk().await {
            Ok(Some(bytes)) => {
                durable::crash_point("images.pull.downloading");
                bar.at(blob.offset());
                if !sender.send(bytes).await {
                    // The unpacking has failed, and tells why.
                    return Ok(());
                }
            }
            Ok(None) => break,
            Err(error) => {
                sender.fail(std::io::Error::other(error.clone())).await;
                return Err(error);
            }
        }
    }
    wanted.tell("Verifying Checksum");
    wanted.tell("Download complete");
    Bar::new(&wanted.progress, id, "Extracting", wanted.layer.size).at(wanted.layer.size);
    sender.finish().await;
    Ok(())
}

fn is_other_content(error: &ImageError) -> bool {
    matches!(
        error,
        ImageError::Registry {
            cause: DistributionError::Digest { .. } | DistributionError::Size { .. },
            ..
        }
    )
}
