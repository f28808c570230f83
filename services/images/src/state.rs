//! Which images there are, how they are named, and who holds them: the part of the service that is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use durable::Row;
use oci::chain_id::chain_ids;
use oci::digest::Digest;
use oci::image::ImageConfig;
use oci::reference::{AnyReference, Reference};
use serde::{Deserialize, Serialize};

use crate::hold::Holder;
use crate::layers::Pin;
use crate::{Image, ImageError};

/// An image; its key is its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageRow {
    /// The configuration exactly as it came.
    pub(crate) config: String,
    /// The image it was built on or committed from.
    pub(crate) parent: Option<Digest>,
    /// When it was last tagged, nanoseconds since 1970.
    pub(crate) last_tagged: Option<i64>,
}

impl Row for ImageRow {
    const TABLE: &'static str = "images";
    const VERSION: u32 = 1;
}

/// A name; its key is the canonical reference with tag or digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NameRow {
    /// The image.
    pub(crate) image: Digest,
}

impl Row for NameRow {
    const TABLE: &'static str = "names";
    const VERSION: u32 = 1;
}

/// When an image came, or was last held, to an hour; its key is the image's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UseRow {
    /// Nanoseconds since 1970.
    pub(crate) last: i64,
}

impl Row for UseRow {
    const TABLE: &'static str = "uses";
    const VERSION: u32 = 1;
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) row: ImageRow,
    pub(crate) config: Arc<ImageConfig>,
    pub(crate) config_json: Arc<str>,
    pub(crate) chain_ids: Arc<[Digest]>,
    pub(crate) size: u64,
    /// Keeps the layers; `None` for an image without layers.
    pub(crate) pin: Option<Pin>,
    pub(crate) names: BTreeSet<Reference>,
    pub(crate) holders: BTreeMap<u64, Holder>,
}

impl Entry {
    pub(crate) fn new(row: ImageRow, config: ImageConfig, size: u64, pin: Option<Pin>) -> Self {
        Self {
            config_json: row.config.as_str().into(),
            chain_ids: chain_ids(&config.rootfs.diff_ids).into(),
            config: Arc::new(config),
            row,
            size,
            pin,
            names: BTreeSet::new(),
            holders: BTreeMap::new(),
        }
    }

    pub(crate) fn snapshot(&self, id: &Digest) -> Image {
        let familiar = |wants_digest: bool| {
            let names = self
                .names
                .iter()
                .filter(|name| name.digest().is_some() == wants_digest);
            let mut names: Vec<String> = names.map(Reference::familiar).collect();
            names.sort();
            names
        };
        Image {
            id: id.clone(),
            config: Arc::clone(&self.config),
            config_json: Arc::clone(&self.config_json),
            repo_tags: familiar(false),
            repo_digests: familiar(true),
            size: self.size,
            parent: self.row.parent.clone(),
            chain_ids: Arc::clone(&self.chain_ids),
            last_tagged: self.row.last_tagged,
            containers: self.holders.len(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) images: BTreeMap<Digest, Entry>,
    pub(crate) names: BTreeMap<Reference, Digest>,
}

impl State {
    /// Docker's order: a full id, then a name, then the beginning of an id (if only one image has it).
    pub(crate) fn find(&self, text: &str) -> Result<Digest, ImageError> {
        let reference = match AnyReference::parse(text)? {
            AnyReference::Id(id) => {
                return match self.images.contains_key(&id) {
                    true => Ok(id),
                    false => Err(ImageError::NotFound(id.to_string())),
                };
            }
            AnyReference::Named(reference) => reference,
        };
        if let Some(id) = self.find_name(&reference) {
            return Ok(id);
        }
        if let Some(id) = self.find_prefix(text) {
            return Ok(id);
        }
        Err(ImageError::NotFound(reference.tag_or_latest().familiar()))
    }

    pub(crate) fn find_name(&self, reference: &Reference) -> Option<Digest> {
        self.names.get(&stored_form(reference)).cloned()
    }

    fn find_prefix(&self, text: &str) -> Option<Digest> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let lowest = Digest::from_sha256_hex(&format!("{prefix:0<64}")).ok()?;
        let mut found = self
            .images
            .range(lowest..)
            .take_while(|(id, _)| id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some((id, _)), None) => Some(id.clone()),
            _ => None,
        }
    }

    pub(crate) fn snapshot(&self, id: &Digest) -> Option<Image> {
        self.images.get(id).map(|entry| entry.snapshot(id))
    }

    pub(crate) fn has_children(&self, id: &Digest) -> bool {
        self.images
            .values()
            .any(|entry| entry.row.parent.as_ref() == Some(id))
    }

    pub(crate) fn add_name(&mut self, name: Reference, id: &Digest) {
        if let Some(entry) = self.names.get(&name).and_then(|old| self.images.get_mut(old)) {
            entry.names.remove(&name);
        }
        if let Some(entry) = self.images.get_mut(id) {
            entry.names.insert(name.clone());
            self.names.insert(name, id.clone());
        }
    }

    pub(crate) fn remove_name(&mut self, name: &Reference) {
        if let Some(entry) = self.names.remove(name).and_then(|id| self.images.get_mut(&id)) {
            entry.names.remove(name);
        }
    }
}

/// How a name is stored: a digest wins over a tag, and without both it is `latest`.
pub(crate) fn stored_form(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.without_tag_and_digest().with_digest(digest.clone()),
        None => reference.clone().tag_or_latest(),
    }
}
