//! New images: import, commit, and what a build made.

use std::io::{BufReader, Read};
use std::sync::Arc;

use jiff::Timestamp;
use oci::digest::Digest;
use oci::image::{History, ImageConfig, RootFs, RunConfig};
use oci::platform::Platform;

use crate::changes;
use crate::error::stream;
use crate::given_up::Waiting;
use crate::layers::{Pin, piped};
use crate::load::Progress;
use crate::names::new_name;
use crate::{Image, ImageError, Images};

/// How to make an image from a plain archive.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// `repository[:tag]` for the new image; empty for none.
    pub reference: String,
    /// The note in the history, and the image's comment.
    pub message: String,
    /// Instructions of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// The platform to write into the configuration; the host's if `None`.
    pub platform: Option<Platform>,
}

/// How to make an image from a container.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The configuration of the new image (before `changes`).
    pub config: RunConfig,
    /// How the container ran; kept in the image for old clients.
    pub container_config: Option<RunConfig>,
    /// The text of the new history line, usually the container's command.
    pub created_by: String,
    /// Who made it.
    pub author: String,
    /// The note in the history, and the image's comment.
    pub comment: String,
    /// Instructions of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// The name for the new image: `(repository, tag)`, the tag may be empty.
    pub reference: Option<(String, String)>,
}

/// The digest of an archive without entries: such a layer is left out.
pub(crate) const EMPTY_LAYER: &str =
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

impl Images {
    /// Makes an image of one layer from an archive of a root file system (plain, gzip, zstd, xz or bzip2). Dropping
    /// the future gives it up.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn import(
        self: &Arc<Self>,
        source: impl Read + Send + 'static,
        options: ImportOptions,
        progress: Progress,
    ) -> Result<Image, ImageError> {
        let name = match options.reference.as_str() {
            "" => None,
            reference => Some(new_name(reference, "")?),
        };
        let mut run = RunConfig::default();
        changes::apply(&mut run, &options.changes)?;
        let waiting = Waiting::default();
        let wanted = waiting.wanted();
        let image = self
            .blocking(move |images| {
                let (_, plain) = blobs::decompress(BufReader::new(source)).map_err(stream("read archive"))?;
                let staged = images.layers.stage(None, wanted.reader(plain))?;
                let now = Timestamp::now().to_string();
                let message = match options.message.as_str() {
                    "" => "Imported from -".to_owned(),
                    message => message.to_owned(),
                };
                let platform = options.platform.unwrap_or_else(Platform::host);
                let config = ImageConfig {
                    created: Some(now.clone()),
                    architecture: platform.architecture,
                    variant: platform.variant.unwrap_or_default(),
                    os: platform.os,
                    config: run,
                    comment: message.clone(),
                    history: vec![History {
                        created: Some(now),
                        comment: message,
                        ..History::default()
                    }],
                    rootfs: RootFs {
                        diff_ids: vec![staged.diff_id.clone()],
                        ..RootFs::default()
                    },
                    ..ImageConfig::default()
                };
                let pin = images.layers.register(None, staged)?;
                let names: Vec<_> = name.into_iter().collect();
                let (image, _) = images.put(&encode(&config)?, None, Some(pin), &names)?;
                Ok(image)
            })
            .await?;
        drop(waiting);
        self.plan_sync();
        progress(api_types::progress::Message {
            status: image.id.to_string(),
            ..api_types::progress::Message::default()
        });
        self.tell("import", &image, &image.id.to_string());
        Ok(image)
    }

    /// Makes an image from what a container changed. The caller pauses the container if that is wished.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn commit(
        self: &Arc<Self>,
        container: &str,
        options: CommitOptions,
    ) -> Result<Image, ImageError> {
        let (layer, key) = self.container(container)?;
        let name = match &options.reference {
            None => None,
            Some((repository, tag)) => Some(new_name(repository, tag)?),
        };
        let mut run = options.config.clone();
        changes::apply(&mut run, &options.changes)?;
        let image = self
            .blocking(move |images| {
                // The image may have been deleted by force; the layers are there as long as the container is.
                let parent = images.get(&layer.image);
                let below = images.container_pin(&layer.container);
                let driver = images.layers.driver();
                let (_, staged) = piped(
                    |mut out| Ok(driver.diff(&key, &mut out)?),
                    |diff| images.layers.stage(below.as_ref().map(Pin::chain), diff),
                )?;
                let empty = staged.diff_id.to_string() == EMPTY_LAYER;
                let diff_ids = images.diff_ids(below.as_ref());
                let config = committed(
                    parent.as_ref(),
                    &layer.container,
                    run,
                    options,
                    diff_ids,
                    (!empty).then_some(&staged.diff_id),
                );
                let pin = if empty {
                    below
                } else {
                    Some(images.layers.register(below.as_ref(), staged)?)
                };
                let names: Vec<_> = name.into_iter().collect();
                let parent = parent.map(|parent| parent.id);
                let (image, _) = images.put(&encode(&config)?, parent, pin, &names)?;
                Ok(image)
            })
            .await?;
        self.plan_sync();
        for name in &image.repo_tags {
            self.tell("tag", &image, name);
        }
        Ok(image)
    }

    fn diff_ids(&self, top: Option<&Pin>) -> Vec<Digest> {
        let mut diff_ids = Vec::new();
        let mut next = top.map(|pin| pin.chain().clone());
        while let Some(row) = next.and_then(|chain| self.layers.row(&chain)) {
            diff_ids.push(row.diff_id);
            next = row.parent;
        }
        diff_ids.reverse();
        diff_ids
    }

    /// Adds an image whose layers are here already (a build's result).
    ///
    /// # Errors
    /// [`ImageError`] when a layer is missing.
    pub async fn add(
        self: &Arc<Self>,
        config: &ImageConfig,
        parent: Option<Digest>,
    ) -> Result<Image, ImageError> {
        let config = config.clone();
        self.blocking(move |images| {
            let pin = match oci::chain_id::chain_ids(&config.rootfs.diff_ids).pop() {
                None => None,
                Some(chain) => {
                    let pin = images.layers.pin(&chain);
                    Some(pin.ok_or(ImageError::NoLayer { chain })?)
                }
            };
            let (image, _) = images.put(&encode(&config)?, parent, pin, &[])?;
            Ok(image)
        })
        .await
    }
}

fn committed(
    parent: Option<&Image>,
    container: &str,
    run: RunConfig,
    options: CommitOptions,
    mut diff_ids: Vec<Digest>,
    layer: Option<&Digest>,
) -> ImageConfig {
    let now = Timestamp::now().to_string();
    let mut config = match parent {
        Some(parent) => (*parent.config).clone(),
        None => {
            let host = Platform::host();
            ImageConfig {
                architecture: host.architecture,
                os: host.os,
                ..ImageConfig::default()
            }
        }
    };
    config.history.push(History {
        created: Some(now.clone()),
        author: options.author.clone(),
        created_by: options.created_by,
        comment: options.comment.clone(),
        empty_layer: layer.is_none(),
        ..History::default()
    });
    diff_ids.extend(layer.cloned());
    config.rootfs.diff_ids = diff_ids;
    config.created = Some(now);
    config.author = options.author;
    config.comment = options.comment;
    config.container = container.to_owned();
    config.container_config = options.container_config;
    config.config = run;
    config
}

pub(crate) fn encode(config: &ImageConfig) -> Result<String, ImageError> {
    serde_json::to_string(config).map_err(|source| ImageError::Document {
        path: "the new image's configuration".to_owned(),
        source,
    })
}
