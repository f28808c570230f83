//! The writable layers of containers.

use std::sync::Arc;

use archive::Change;
use oci::digest::Digest;
use serde::{Deserialize, Serialize};
use storage_drivers::{Key, Recipe};

use crate::layers::Pin;
use crate::{ImageError, Images};

/// The writable layer of a container: keep it in the container's record, and give it back to
/// [`Images::adopt_container_layer`] after a restart of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLayer {
    /// The container's id; also the name of the layer's directory.
    pub container: String,
    /// The id of the image.
    pub image: Digest,
    /// The chain id of the image's topmost layer; `None` for an image without layers.
    pub chain: Option<Digest>,
}

/// How large a container is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerSize {
    /// Bytes of the files in the writable layer (`SizeRw`).
    pub writable: u64,
    /// Bytes of the files in all its layers (`SizeRootFs`).
    pub total: u64,
}

/// A container as far as it matters here.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) layer: ContainerLayer,
    pub(crate) key: Key,
    /// Keeps the image's layers, even if the image itself is deleted by force.
    pub(crate) pin: Option<Pin>,
}

impl Images {
    /// Makes the writable layer of a container (and the image's init layer, if it is the first).
    ///
    /// No row is written: until the caller has recorded the [`ContainerLayer`], a crash makes it garbage that
    /// [`Images::sweep`] removes.
    ///
    /// # Errors
    /// [`ImageError`]; nothing is left behind then.
    pub async fn create_container_layer(
        self: &Arc<Self>,
        container: &str,
        image: &Digest,
    ) -> Result<ContainerLayer, ImageError> {
        let (container, image) = (container.to_owned(), image.clone());
        self.blocking(move |images| {
            let key = Key::new(container.clone())?;
            let pin = {
                let state = images.read();
                let entry = state.images.get(&image);
                entry
                    .ok_or_else(|| ImageError::NotFound(image.to_string()))?
                    .pin
                    .clone()
            };
            let chain = images.layers.container_chain(pin.as_ref().map(Pin::chain))?;
            images.layers.driver().prepare(&key, &chain)?;
            durable::crash_point("images.container.prepared");
            let layer = ContainerLayer {
                container: container.clone(),
                image,
                chain: pin.as_ref().map(|pin| pin.chain().clone()),
            };
            let entry = Container {
                layer: layer.clone(),
                key,
                pin,
            };
            images.lock_containers().insert(container, entry);
            Ok(layer)
        })
        .await
    }

    /// Limits the writable layer of a container, before its first start, to `bytes`, or to what the daemon's options say of
    /// containers that ask for nothing.
    ///
    /// # Errors
    /// [`ImageError::TooSmall`]; [`ImageError::Storage`] where the driver cannot limit.
    pub async fn limit_container_layer(
        self: &Arc<Self>,
        container: &str,
        bytes: Option<u64>,
    ) -> Result<(), ImageError> {
        let least = self.storage.least;
        if bytes.is_some_and(|bytes| bytes < least) {
            return Err(ImageError::TooSmall { least });
        }
        let Some(bytes) = bytes.or(self.storage.size) else {
            return Ok(());
        };
        let (_, key) = self.container(container)?;
        self.blocking(move |images| Ok(images.layers.driver().limit(&key, bytes)?))
            .await
    }

    /// Takes over, after a restart, a layer that [`Images::create_container_layer`] made before. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] when a layer below is gone.
    pub fn adopt_container_layer(self: &Arc<Self>, layer: &ContainerLayer) -> Result<(), ImageError> {
        let pin = match &layer.chain {
            None => None,
            Some(chain) => {
                let pin = self.layers.pin(chain);
                Some(pin.ok_or_else(|| ImageError::NoLayer { chain: chain.clone() })?)
            }
        };
        self.layers.container_chain(layer.chain.as_ref())?;
        let entry = Container {
            layer: layer.clone(),
            key: Key::new(layer.container.clone())?,
            pin,
        };
        self.lock_containers().insert(layer.container.clone(), entry);
        Ok(())
    }

    /// How to mount a container's root file system. At most one mount of it may exist at a time.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn container_recipe(&self, container: &str) -> Result<Recipe, ImageError> {
        let (_, key) = self.container(container)?;
        Ok(self.layers.driver().mounts(&key)?)
    }

    /// How to mount an image read-only.
    ///
    /// # Errors
    /// [`ImageError::NotFound`].
    pub fn image_recipe(&self, image: &Digest) -> Result<Recipe, ImageError> {
        let image = self
            .get(image)
            .ok_or_else(|| ImageError::NotFound(image.to_string()))?;
        let keys = self.layers.keys(image.chain_ids.last())?;
        Ok(self.layers.driver().view(&keys)?)
    }

    /// Removes the writable layer of a container; one that is not there is fine.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn remove_container_layer(self: &Arc<Self>, container: &str) -> Result<(), ImageError> {
        let container = container.to_owned();
        self.blocking(move |images| {
            // The directory goes first, and with it the need for the layers below.
            images.layers.driver().remove(&Key::new(container.clone())?)?;
            durable::crash_point("images.container.removed");
            let entry = images.lock_containers().remove(&container);
            drop(entry);
            Ok(())
        })
        .await
    }

    /// What a container changed, as `docker diff` shows it.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn container_changes(self: &Arc<Self>, container: &str) -> Result<Vec<Change>, ImageError> {
        let (_, key) = self.container(container)?;
        self.blocking(move |images| Ok(images.layers.driver().changes(&key)?))
            .await
    }

    /// How large a container is.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn container_size(self: &Arc<Self>, container: &str) -> Result<ContainerSize, ImageError> {
        let (layer, key) = self.container(container)?;
        self.blocking(move |images| {
            let writable = images.layers.driver().usage(&key)?.size;
            let total = writable + images.layers.chain_size(layer.chain.as_ref());
            Ok(ContainerSize { writable, total })
        })
        .await
    }

    pub(crate) fn container(&self, container: &str) -> Result<(ContainerLayer, Key), ImageError> {
        let containers = self.lock_containers();
        let entry = containers.get(container);
        let entry = entry.ok_or_else(|| ImageError::NoContainer(container.to_owned()))?;
        Ok((entry.layer.clone(), entry.key.clone()))
    }

    /// The image's layers of a container.
    pub(crate) fn container_pin(&self, container: &str) -> Option<Pin> {
        self.lock_containers()
            .get(container)
            .and_then(|entry| entry.pin.clone())
    }
}
