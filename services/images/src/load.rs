//! Images out of an archive: of `docker save`, or an OCI image layout.
//!
//! One pass, and no copy of the archive: whatever in it looks like a layer is unpacked at once, by a few workers,
//! into a directory that is nobody's yet; the small documents are kept in memory. When the archive has ended, its table
//! of contents says which directories become the layers of which images. (Only a driver that copies parents has to wait
//! for that: for it, layers are put into unnamed files first.)

mod contents;
mod known;
mod members;

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use api_types::progress::Message;
use oci::chain_id;
use oci::digest::Digest;
use oci::image::ImageConfig;
use oci::platform::Platform;
use oci::reference::Reference;

use crate::error::stream;
use crate::given_up::{Waiting, Wanted};
use crate::layers::{MAX_DEPTH, Pin, Staged, piped};
use crate::{Image, ImageError, Images};

use contents::ImagePlan;
use members::{Layer, Members};

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Without bars.
    pub quiet: bool,
    /// The platforms to load; with none, all of a Docker archive, and of an OCI layout the host's.
    pub platforms: Vec<Platform>,
}

/// Receives the lines of a progress stream; called on blocking threads.
pub type Progress = Arc<dyn Fn(Message) + Send + Sync>;

impl Images {
    /// Reads images from an archive (of `docker save` or an OCI layout; plain, gzip, zstd, xz or bzip2). Dropping the
    /// future gives it up.
    ///
    /// # Errors
    /// [`ImageError`]; images that were complete before the failure stay.
    pub async fn load(
        self: &Arc<Self>,
        source: impl Read + Send + 'static,
        options: LoadOptions,
        progress: Progress,
    ) -> Result<Vec<Image>, ImageError> {
        let waiting = Waiting::default();
        let wanted = waiting.wanted();
        let loaded = self
            .blocking(move |images| images.load_now(source, &wanted, &options, &progress))
            .await;
        drop(waiting);
        self.plan_sync();
        loaded
    }

    fn load_now(
        self: &Arc<Self>,
        source: impl Read + Send,
        wanted: &Wanted,
        options: &LoadOptions,
        progress: &Progress,
    ) -> Result<Vec<Image>, ImageError> {
        let source = BufReader::with_capacity(256 << 10, source);
        let (_, plain) = blobs::decompress(source).map_err(stream("read archive"))?;
        let archive = BufReader::with_capacity(256 << 10, wanted.reader(plain));
        let mut members = members::read(&self.layers, &self.data_root, archive, wanted, &|line| {
            if !options.quiet {
                progress(line);
            }
        })?;
        let plans = contents::plans(&members, &options.platforms)?;
        let mut used = Used::default();
        for plan in &plans {
            for path in &plan.layers {
                *used.left.entry(members.resolve(path).to_owned()).or_default() += 1;
            }
        }
        let mut loaded = Vec::new();
        for plan in plans {
            loaded.push(self.load_image(&mut members, &mut used, plan, progress)?);
        }
        Ok(loaded)
    }

    fn load_image(
        self: &Arc<Self>,
        members: &mut Members,
        used: &mut Used,
        plan: ImagePlan,
        progress: &Progress,
    ) -> Result<Image, ImageError> {
        let config: ImageConfig =
            serde_json::from_str(&plan.config).map_err(|source| ImageError::Document {
                path: plan.config_path.clone(),
                source,
            })?;
        if !config.os.is_empty() && config.os != std::env::consts::OS {
            return Err(ImageError::Platform(config.os));
        }
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != plan.layers.len() {
            return Err(ImageError::Archive(format!(
                "layers length mismatch: expected {}, got {}",
                diff_ids.len(),
                plan.layers.len()
            )));
        }
        if diff_ids.len() > MAX_DEPTH {
            return Err(ImageError::TooDeep);
        }
        let chain_ids = chain_id::chain_ids(diff_ids);
        let mut pin: Option<Pin> = None;
        for (index, path) in plan.layers.iter().enumerate() {
            let resolved = members.resolve(path).to_owned();
            let last = used.take(&resolved);
            let next = match self.layers.pin(&chain_ids[index]) {
                Some(there) => there,
                None => {
                    let staged =
                        self.stage_member(members, &resolved, pin.as_ref(), &diff_ids[index], last)?;
                    if staged.diff_id != diff_ids[index] {
                        return Err(ImageError::DiffId {
                            index,
                            expected: diff_ids[index].clone(),
                            found: staged.diff_id.clone(),
                        });
                    }
                    self.layers.register(pin.as_ref(), staged)?
                }
            };
            pin = Some(next);
        }
        let (image, _) = self.put_named(&plan, pin, progress)?;
        durable::crash_point("images.load.put");
        self.tell("load", &image, &image.id.to_string());
        let said = if plan.names.is_empty() {
            vec![format!("Loaded image ID: {}\n", image.id)]
        } else {
            plan.names
                .iter()
                .map(|name| format!("Loaded image: {}\n", name.familiar()))
                .collect()
        };
        for stream in said {
            progress(Message {
                stream,
                ..Message::default()
            });
        }
        Ok(image)
    }

    fn put_named(
        &self,
        plan: &ImagePlan,
        pin: Option<Pin>,
        progress: &Progress,
    ) -> Result<(Image, bool), ImageError> {
        let id = Digest::sha256(&plan.config);
        for name in &plan.names {
            let old = self.read().find_name(name).filter(|old| *old != id);
            if let Some(old) = old {
                let name = name.familiar();
                progress(Message {
                    stream: format!(
                        "The image {name} already exists, renaming the old one with ID {old} to empty string\n"
                    ),
                    ..Message::default()
                });
            }
        }
        self.put(&plan.config, plan.parent.clone(), pin, &plan.names)
    }

    /// The directory with the content of a member of the archive. The last image that needs the member gets what was
    /// unpacked while reading; others get a copy of it.
    fn stage_member(
        self: &Arc<Self>,
        members: &mut Members,
        path: &str,
        below: Option<&Pin>,
        diff_id: &Digest,
        last: bool,
    ) -> Result<Staged, ImageError> {
        let missing = || {
            ImageError::Archive(format!(
                "layer {path} is not in the archive, and not here (what `save --since` left out must be here)"
            ))
        };
        let below = below.map(Pin::chain);
        let wanted = members.wanted.clone();
        match members.layers.get_mut(path).ok_or_else(missing)? {
            Layer::Spooled(file) => {
                use std::io::Seek;
                file.rewind().map_err(stream("read layer"))?;
                let (_, plain) = blobs::decompress(BufReader::new(file)).map_err(stream("read layer"))?;
                self.layers.stage(below, wanted.reader(plain))
            }
            Layer::Known(pin) => self.copy_layer(&pin.chain().clone(), below),
            Layer::Staged(staged) if last => staged.take().ok_or_else(missing),
            // Another image needs the same archive above other layers. What it was unpacked to is made a layer of its
            // own for the time being, and then copied through its archive.
            Layer::Staged(staged) => {
                let first = staged.take().ok_or_else(missing)?;
                if first.diff_id != *diff_id {
                    return Ok(first);
                }
                let pin = self.layers.register(None, first)?;
                let copy = self.copy_layer(&pin.chain().clone(), below);
                members.layers.insert(path.to_owned(), Layer::Known(pin));
                copy
            }
        }
    }

    fn copy_layer(self: &Arc<Self>, chain: &Digest, below: Option<&Digest>) -> Result<Staged, ImageError> {
        let (_, staged) = piped(
            |out| self.layers.rebuild(chain, out),
            |plain| self.layers.stage(below, plain),
        )?;
        Ok(staged)
    }
}

/// How many images still need each member.
#[derive(Default)]
struct Used {
    left: HashMap<String, usize>,
}

impl Used {
    /// One image less needs it; whether that was the last one.
    fn take(&mut self, path: &str) -> bool {
        let Some(left) = self.left.get_mut(path) else {
            return true;
        };
        *left = left.saturating_sub(1);
        *left == 0
    }
}

/// A name from an archive; it must have a tag.
fn archive_name(text: &str) -> Result<Reference, ImageError> {
    let name = Reference::parse_normalized(text)?;
    match (name.tag(), name.digest()) {
        (Some(_), None) => Ok(name),
        _ => Err(ImageError::Archive(format!("invalid tag {text:?}"))),
    }
}
