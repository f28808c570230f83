//! Where an image came from, and where it has gone: the manifests that registries have of it.
//!
//! A manifest that was pulled is pushed again byte for byte, if the registry can be given its very layers; and layers that
//! a registry has in another repository are mounted instead of sent.

use std::sync::Arc;

use durable::Row;
use oci::digest::Digest;
use oci::image::{Descriptor, ImageConfig, Manifest};
use oci::reference::Reference;
use serde::{Deserialize, Serialize};

use crate::{ImageError, Images};

/// More are not remembered of one image; the oldest go.
const MOST: usize = 16;

/// The manifests of one image; its key is the image's id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OriginRow {
    pub(crate) manifests: Vec<Origin>,
}

/// A manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Canonical, without tag.
    pub(crate) repository: String,
    pub(crate) media_type: String,
    /// Its bytes as they are there.
    pub(crate) manifest: String,
}

impl Row for OriginRow {
    const TABLE: &'static str = "origins";
    const VERSION: u32 = 1;
}

/// A layer as some repository has it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) descriptor: Descriptor,
    /// Canonical.
    pub(crate) repository: String,
}

impl Images {
    /// Remembers that a repository has this image; blocks.
    pub(crate) fn remember(&self, id: &Digest, origin: Origin) -> Result<(), ImageError> {
        let key = id.to_string();
        let _changing = self.lock_changes();
        if !self.read().images.contains_key(id) {
            return Ok(());
        }
        let mut row = self
            .origins
            .get(&key)
            .map(|row| (*row).clone())
            .unwrap_or_default();
        if row.manifests.last() == Some(&origin) {
            return Ok(());
        }
        row.manifests.retain(|known| *known != origin);
        row.manifests.push(origin);
        let surplus = row.manifests.len().saturating_sub(MOST);
        row.manifests.drain(..surplus);
        let transaction = self.tables.transaction().put(&self.origins, &key, &row);
        Ok(transaction.commit().wait()?)
    }

    /// The manifests that are known of an image, the newest first.
    pub(crate) fn origins_of(&self, id: &Digest) -> Vec<Origin> {
        let row = self.origins.get(&id.to_string());
        row.map(|row| row.manifests.iter().rev().cloned().collect())
            .unwrap_or_default()
    }

    /// Every place where a layer with this content is known to be.
    pub(crate) fn sources_of(&self, diff_id: &Digest) -> Vec<Source> {
        let mut found = Vec::new();
        for (id, row) in self.origins.all() {
            let Some(image) = id.parse().ok().and_then(|id| self.get(&id)) else {
                continue;
            };
            let places: Vec<usize> = places(&image.config, diff_id);
            if !places.is_empty() {
                found.extend(
                    row.manifests
                        .iter()
                        .rev()
                        .flat_map(|origin| sources(origin, &places)),
                );
            }
        }
        found
    }

    /// Whether a registry has an image under this name, as far as is known: the canonical name with a digest.
    pub(crate) fn has_name(&self, id: &Digest, name: &Reference) -> bool {
        self.read().find_name(name).as_ref() == Some(id)
    }
}

fn places(config: &Arc<ImageConfig>, diff_id: &Digest) -> Vec<usize> {
    let all = config.rootfs.diff_ids.iter().enumerate();
    all.filter(|(_, own)| *own == diff_id)
        .map(|(place, _)| place)
        .collect()
}

fn sources(origin: &Origin, places: &[usize]) -> Vec<Source> {
    let Ok(manifest) = serde_json::from_str::<Manifest>(&origin.manifest) else {
        return Vec::new();
    };
    let layers = places.iter().filter_map(|place| manifest.layers.get(*place));
    layers
        .map(|descriptor| Source {
            descriptor: descriptor.clone(),
            repository: origin.repository.clone(),
        })
        .collect()
}
