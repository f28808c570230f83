//! Images into one archive that both docker and dhow load.
//!
//! The layout is that of Docker since version 25: `manifest.json` (which every Docker reads) beside an OCI image layout
//! over the same `blobs/`. The documents come first, so that a reader knows what the layers are for when they come.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::sync::Arc;

use archive::{Entry, EntryKind, Timestamp, Writer};
use oci::digest::Digest;
use oci::image::{Descriptor, Index, Manifest, OciLayout, SaveEntry, media_type};
use oci::platform::Platform;
use oci::reference::{AnyReference, Reference};
use serde::Serialize;
use serde_json::Map;

use crate::error::stream;
use crate::layers::Pin;
use crate::lookup::created;
use crate::state::stored_form;
use crate::{Image, ImageError, Images};

/// Less than this is collected before it is written; files that are larger need no copy more.
const SMALL: usize = 32 << 10;

/// What of the images to save.
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    /// An image whose layers are left out: the archive can be loaded where that image is.
    pub since: Option<String>,
    /// The platforms to save; none for all. An image of another one is an error.
    pub platforms: Vec<Platform>,
}

/// An image that is to be saved, and the names it shall have in the archive.
struct Saved {
    image: Image,
    names: BTreeSet<Reference>,
    /// Keeps its layers while they are written.
    pin: Option<Pin>,
}

impl Images {
    /// Writes the named images into one archive that docker and dhow load.
    ///
    /// A name with a tag (or none: then `latest`) is written with the image; an id is not; the name of a repository alone
    /// stands for all its tags.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], [`ImageError::OtherPlatform`] before anything is written.
    pub async fn save(
        self: &Arc<Self>,
        names: Vec<String>,
        options: SaveOptions,
        out: impl Write + Send + 'static,
    ) -> Result<(), ImageError> {
        let left_out = match &options.since {
            None => BTreeSet::new(),
            Some(since) => self.resolve(since)?.chain_ids.iter().cloned().collect(),
        };
        let saved = self.select(&names, &options.platforms)?;
        let told: Vec<Image> = saved.values().map(|saved| saved.image.clone()).collect();
        self.blocking(move |images| images.save_now(&saved, &left_out, out))
            .await?;
        for image in told {
            self.tell("save", &image, &image.id.to_string());
        }
        Ok(())
    }

    /// Writes one image into such an archive under names that it need not have here.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], [`ImageError::Reference`].
    pub async fn save_as(
        self: &Arc<Self>,
        id: &Digest,
        names: &[String],
        out: impl Write + Send + 'static,
    ) -> Result<(), ImageError> {
        let mut saved = self.select(&[id.to_string()], &[])?;
        let named: Result<BTreeSet<_>, _> = names
            .iter()
            .map(|name| Reference::parse_normalized(name).map(|name| stored_form(&name)))
            .collect();
        let named = named?;
        saved
            .values_mut()
            .for_each(|saved| saved.names.clone_from(&named));
        let left_out = BTreeSet::new();
        self.blocking(move |images| images.save_now(&saved, &left_out, out))
            .await
    }

    fn select(
        &self,
        names: &[String],
        platforms: &[Platform],
    ) -> Result<BTreeMap<Digest, Saved>, ImageError> {
        let state = self.read();
        let mut saved: BTreeMap<Digest, Saved> = BTreeMap::new();
        let mut add = |id: Digest, name: Option<Reference>| {
            let Some(entry) = state.images.get(&id) else {
                return;
            };
            let saved = saved.entry(id.clone()).or_insert_with(|| Saved {
                image: entry.snapshot(&id),
                names: BTreeSet::new(),
                pin: entry.pin.clone(),
            });
            saved.names.extend(name);
        };
        for text in names {
            let id = state.find(text);
            let AnyReference::Named(reference) = AnyReference::parse(text)? else {
                add(id?, None);
                continue;
            };
            if reference.is_name_only() {
                // A whole repository.
                let tags: Vec<_> = state
                    .names
                    .iter()
                    .filter(|(name, _)| name.name() == reference.name() && name.tag().is_some())
                    .collect();
                if !tags.is_empty() {
                    for (name, id) in tags {
                        add(id.clone(), Some(name.clone()));
                    }
                    continue;
                }
            }
            let stored = stored_form(&reference);
            let is_tag = stored.tag().is_some() && state.names.contains_key(&stored);
            add(id?, is_tag.then_some(stored));
        }
        drop(state);
        for saved in saved.values() {
            saved.image.check_platform(platforms)?;
        }
        Ok(saved)
    }

    fn save_now(
        self: &Arc<Self>,
        saved: &BTreeMap<Digest, Saved>,
        left_out: &BTreeSet<Digest>,
        out: impl Write,
    ) -> Result<(), ImageError> {
        let mut tar = Tar {
            writer: Writer::new(BufWriter::with_capacity(SMALL, out)),
            written: BTreeSet::new(),
        };
        let mut index = Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.to_owned(),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
            extra: Map::new(),
        };
        let mut entries = Vec::new();
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut manifests = Vec::new();
        for saved in saved.values() {
            let manifest = self.manifest(&saved.image)?;
            let json = encode(&manifest)?;
            let descriptor =
                Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(&json), json.len() as u64);
            index
                .manifests
                .extend(named_descriptors(&descriptor, &saved.names));
            entries.push(save_entry(saved, &manifest));
            for name in &saved.names {
                let top = saved.image.chain_ids.last().unwrap_or(&saved.image.id);
                let tags = repositories.entry(name.familiar_name()).or_default();
                tags.insert(name.tag().unwrap_or_default().to_owned(), top.hex().to_owned());
            }
            manifests.push((descriptor.digest, json));
        }
        tar.directory("blobs")?;
        tar.directory("blobs/sha256")?;
        let layout = OciLayout {
            image_layout_version: "1.0.0".to_owned(),
        };
        tar.file("oci-layout", &encode(&layout)?)?;
        tar.file("index.json", &encode(&index)?)?;
        tar.file("manifest.json", &encode(&entries)?)?;
        if !repositories.is_empty() {
            tar.file("repositories", &encode(&repositories)?)?;
        }
        for (digest, json) in manifests {
            tar.file(&blob(&digest), &json)?;
        }
        for saved in saved.values() {
            tar.file(&blob(&saved.image.id), saved.image.config_json.as_bytes())?;
        }
        for saved in saved.values() {
            for (chain, diff_id) in saved
                .image
                .chain_ids
                .iter()
                .zip(&saved.image.config.rootfs.diff_ids)
                .filter(|(chain, _)| !left_out.contains(*chain))
            {
                self.save_layer(&mut tar, chain, diff_id, &saved.image)?;
            }
            // Held until its last byte is written.
            let _ = &saved.pin;
        }
        let mut out = tar.writer.finish().map_err(stream("write archive"))?;
        out.flush().map_err(stream("write archive"))
    }

    fn save_layer<W: Write>(
        self: &Arc<Self>,
        tar: &mut Tar<W>,
        chain: &Digest,
        diff_id: &Digest,
        image: &Image,
    ) -> Result<(), ImageError> {
        let path = blob(diff_id);
        if !tar.written.insert(path.clone()) {
            return Ok(());
        }
        let row = self
            .layers
            .row(chain)
            .ok_or_else(|| ImageError::NoLayer { chain: chain.clone() })?;
        let mut entry = Entry::file(path, 0o644, row.archive_size);
        entry.mtime.seconds = created(image).map_or(0, |time| time.as_second()).max(0);
        let mut data = tar.writer.begin(&entry).map_err(stream("write archive"))?;
        self.layers.rebuild(chain, &mut data)?;
        data.end().map_err(stream("write archive"))
    }

    pub(crate) fn manifest(&self, image: &Image) -> Result<Manifest, ImageError> {
        let mut layers = Vec::new();
        for (chain, diff_id) in image.chain_ids.iter().zip(&image.config.rootfs.diff_ids) {
            let row = self
                .layers
                .row(chain)
                .ok_or_else(|| ImageError::NoLayer { chain: chain.clone() })?;
            layers.push(Descriptor::new(
                media_type::OCI_LAYER,
                diff_id.clone(),
                row.archive_size,
            ));
        }
        Ok(Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            config: Descriptor::new(
                media_type::OCI_CONFIG,
                image.id.clone(),
                image.config_json.len() as u64,
            ),
            layers,
            annotations: BTreeMap::new(),
            extra: Map::new(),
        })
    }
}

fn named_descriptors(descriptor: &Descriptor, names: &BTreeSet<Reference>) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![descriptor.clone()];
    }
    let named = |name: &Reference| {
        let mut descriptor = descriptor.clone();
        let mut annotate = |key: &str, value: String| descriptor.annotations.insert(key.to_owned(), value);
        annotate("io.containerd.image.name", name.to_string());
        annotate(
            "org.opencontainers.image.ref.name",
            name.tag().unwrap_or_default().to_owned(),
        );
        descriptor
    };
    names.iter().map(named).collect()
}

fn save_entry(saved: &Saved, manifest: &Manifest) -> SaveEntry {
    let sources = manifest
        .layers
        .iter()
        .map(|layer| (layer.digest.clone(), layer.clone()));
    SaveEntry {
        config: blob(&saved.image.id),
        repo_tags: saved.names.iter().map(Reference::familiar).collect(),
        layers: manifest.layers.iter().map(|layer| blob(&layer.digest)).collect(),
        parent: saved
            .image
            .parent
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        layer_sources: sources.collect(),
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn encode(document: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(document).map_err(|source| ImageError::Document {
        path: "the archive's table of contents".to_owned(),
        source,
    })
}

struct Tar<W: Write> {
    writer: Writer<BufWriter<W>>,
    written: BTreeSet<String>,
}

impl<W: Write> Tar<W> {
    fn directory(&mut self, path: &str) -> Result<(), ImageError> {
        let mut entry = Entry::new(EntryKind::Directory, format!("{path}/"), 0o755);
        entry.mtime = Timestamp::default();
        self.writer
            .append_bytes(&entry, &[])
            .map_err(stream("write archive"))
    }

    fn file(&mut self, path: &str, content: &[u8]) -> Result<(), ImageError> {
        if !self.written.insert(path.to_owned()) {
            return Ok(());
        }
        let entry = Entry::file(path, 0o644, content.len() as u64);
        self.writer
            .append_bytes(&entry, content)
            .map_err(stream("write archive"))
    }
}
