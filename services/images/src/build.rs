//! What the builder needs: layers made on the way to an image, and the images that stand on another.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use oci::digest::Digest;

use crate::error::stream;
use crate::layers::{MAX_DEPTH, Pin, Staged, piped};
use crate::make::EMPTY_LAYER;
use crate::{Image, ImageError, Images};

/// Writes an archive.
pub type WriteArchive = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;
/// Finds the file that an entry of an archive was made of, by the entry's path: a layer may have it by a link.
pub type FindFile = Box<dyn FnMut(&[u8]) -> Option<OwnedFd> + Send>;
/// Passes an archive on, changed.
pub type FilterArchive = Box<dyn FnOnce(&mut dyn Read, &mut dyn Write) -> io::Result<()> + Send>;

/// A layer that a build has made; kept until dropped, and from then on by the images that have it.
#[derive(Clone, Debug)]
pub struct BuiltLayer {
    _pin: Pin,
    diff_id: Digest,
}

impl BuiltLayer {
    /// The digest of its archive.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }
}

impl Images {
    /// The images that were built on `parent`; `None` for those that stand on nothing.
    pub fn children(&self, parent: Option<&Digest>) -> Vec<Image> {
        let state = self.read();
        let entries = state.images.iter();
        let children = entries.filter(|(_, entry)| entry.row.parent.as_ref() == parent);
        children.map(|(id, entry)| entry.snapshot(id)).collect()
    }

    /// Makes a layer above the image `below` from the archive that `write` writes; it is unpacked and hashed on the way.
    /// What `find` finds is linked, not written again; such files must never be changed. Nothing comes of an archive
    /// without entries.
    ///
    /// # Errors
    /// [`ImageError`]; nothing is left behind then.
    pub async fn build_layer(
        self: &Arc<Self>,
        below: Option<&Digest>,
        write: WriteArchive,
        find: Option<FindFile>,
    ) -> Result<Option<BuiltLayer>, ImageError> {
        let below = below.cloned();
        self.blocking(move |images| {
            let below = images.image_pin(below.as_ref())?;
            let (_, staged) = piped(
                |out| write(out).map_err(stream("write layer")),
                |archive| {
                    images
                        .layers
                        .stage_with(below.as_ref().map(Pin::chain), archive, find)
                },
            )?;
            images.built(below.as_ref(), staged)
        })
        .await
    }

    /// Makes a layer of what a container changed; `filter` may leave entries out.
    ///
    /// # Errors
    /// [`ImageError`]; nothing is left behind then.
    pub async fn container_layer(
        self: &Arc<Self>,
        container: &str,
        filter: Option<FilterArchive>,
    ) -> Result<Option<BuiltLayer>, ImageError> {
        let (_, key) = self.container(container)?;
        let container = container.to_owned();
        self.blocking(move |images| {
            let below = images.container_pin(&container);
            let chain = below.as_ref().map(Pin::chain);
            let driver = images.layers.driver();
            let staged = match filter {
                None => {
                    let write = |mut out: &mut dyn Write| Ok(driver.diff(&key, &mut out)?);
                    piped(write, |diff| images.layers.stage(chain, diff))?.1
                }
                Some(filter) => {
                    let pass = |out: &mut dyn Write| {
                        let write = |mut out: &mut dyn Write| Ok(driver.diff(&key, &mut out)?);
                        let read = |mut diff: &mut (dyn Read + Send)| {
                            filter(&mut diff, out).map_err(stream("filter layer"))
                        };
                        piped(write, read)
                    };
                    piped(pass, |diff| images.layers.stage(chain, diff))?.1
                }
            };
            images.built(below.as_ref(), staged)
        })
        .await
    }

    fn built(&self, below: Option<&Pin>, staged: Staged) -> Result<Option<BuiltLayer>, ImageError> {
        let diff_id = staged.diff_id.clone();
        if diff_id.to_string() == EMPTY_LAYER {
            return Ok(None);
        }
        if self.layers.keys(below.map(Pin::chain))?.len() >= MAX_DEPTH {
            return Err(ImageError::TooDeep);
        }
        let _pin = self.layers.register(below, staged)?;
        Ok(Some(BuiltLayer { _pin, diff_id }))
    }

    pub(crate) fn image_pin(&self, image: Option<&Digest>) -> Result<Option<Pin>, ImageError> {
        let Some(image) = image else { return Ok(None) };
        let state = self.read();
        let entry = state.images.get(image);
        Ok(entry
            .ok_or_else(|| ImageError::NotFound(image.to_string()))?
            .pin
            .clone())
    }
}
