//! Images beside each other: who shares which layers, and what differs between two file systems.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;

use api_types::image::Layer;
use archive::{Change, ChangeKind};
use oci::digest::Digest;
use storage_drivers::{Key, StorageError};

use crate::error::file;
use crate::layers::Pin;
use crate::state::Entry;
use crate::{Image, ImageError, Images};

/// The file system of an image, mounted where nobody sees it; its layers stay as long as this does.
pub(crate) struct View {
    pub(crate) root: File,
    pub(crate) pin: Option<Pin>,
}

impl Images {
    /// The layers of an image, the lowest first, with their sizes and the other images that have them.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn layers_of(&self, name: &str) -> Result<Vec<Layer>, ImageError> {
        let image = self.resolve(name)?;
        let state = self.read();
        let others: Vec<(&Digest, &Entry)> = state.images.iter().filter(|(id, _)| **id != image.id).collect();
        let mut steps = image.config.history.iter().filter(|step| !step.empty_layer);
        let chain = image.chain_ids.iter().enumerate();
        chain
            .zip(&image.config.rootfs.diff_ids)
            .map(|((place, chain), diff_id)| {
                let no_layer = || ImageError::NoLayer { chain: chain.clone() };
                let row = self.layers.row(chain).ok_or_else(no_layer)?;
                let shares = |entry: &Entry| entry.chain_ids.get(place) == Some(chain);
                let sharing = others.iter().filter(|(_, entry)| shares(entry));
                Ok(Layer {
                    diff_id: diff_id.to_string(),
                    chain_id: chain.to_string(),
                    size: row.size,
                    archive_size: row.archive_size,
                    created_by: steps
                        .next()
                        .map(|step| step.created_by.clone())
                        .unwrap_or_default(),
                    shared_with: sharing.map(|(id, entry)| called(id, entry)).collect(),
                })
            })
            .collect()
    }

    /// What differs between the file systems of two images, as `docker diff` lists it: what was added, changed and
    /// deleted on the way from `old` to `new`.
    ///
    /// # Errors
    /// As [`Images::resolve`]; [`ImageError::Storage`].
    pub async fn differences(
        self: &Arc<Self>,
        old: &str,
        new: &str,
    ) -> Result<Vec<api_types::container::Change>, ImageError> {
        let (old, new) = (self.resolve(old)?, self.resolve(new)?);
        self.blocking(move |images| {
            let (below, above) = (images.mount(&old)?, images.mount(&new)?);
            let found = differences(&new, &below, &above)?;
            Ok(found.into_iter().map(shown_change).collect())
        })
        .await
    }

    /// Mounts an image's file system read-only.
    pub(crate) fn mount(&self, image: &Image) -> Result<View, ImageError> {
        let pin = self.image_pin(Some(&image.id))?;
        let keys = self.layers.keys(pin.as_ref().map(Pin::chain))?;
        let key = Key::new(image.id.hex())?;
        let mounted = self.layers.driver().view(&keys)?.mount_detached();
        let mounted = mounted.map_err(|source| StorageError::Mount { key, source })?;
        // What mounting gives is only a place, which cannot be read.
        let path = Path::new("/proc/self/fd").join(mounted.as_raw_fd().to_string());
        let root = File::open(&path).map_err(file("open", &path))?;
        Ok(View { root, pin })
    }
}

/// A change as the API shows it.
pub fn shown_change(change: Change) -> api_types::container::Change {
    api_types::container::Change {
        kind: match change.kind {
            ChangeKind::Modified => 0,
            ChangeKind::Added => 1,
            ChangeKind::Deleted => 2,
        },
        path: String::from_utf8_lossy(&change.path).into_owned(),
    }
}

/// What makes the tree `above`, which is that of `image`, of the tree `below`.
pub(crate) fn differences(image: &Image, below: &View, above: &View) -> Result<Vec<Change>, ImageError> {
    let compared = archive::differences_between(below.root.as_fd(), above.root.as_fd());
    compared.map_err(|source| pack_error(image, source))
}

pub(crate) fn pack_error(image: &Image, source: archive::PackError) -> ImageError {
    let key = Key::new(image.id.hex());
    key.map_or_else(|error| error, |key| StorageError::Archive { key, source })
        .into()
}

/// A name of the image, or else its short id.
fn called(id: &Digest, entry: &Entry) -> String {
    let tagged = entry.names.iter().find(|name| name.tag().is_some());
    let name = tagged.or_else(|| entry.names.first());
    name.map_or_else(|| id.short().to_owned(), |name| name.familiar())
}
