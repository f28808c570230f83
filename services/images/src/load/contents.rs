//! The table of contents of an archive: `manifest.json` (Docker), or else `index.json` (OCI image layout).

use std::collections::HashSet;

use oci::digest::Digest;
use oci::image::{Descriptor, ImageConfig, Index, Manifest, SaveEntry, media_type};
use oci::platform::Platform;
use oci::reference::Reference;

use super::archive_name;
use super::members::Members;
use crate::ImageError;
use crate::layers::MAX_DEPTH;

/// More images than this are no honest archive.
const MAX_IMAGES: usize = 1000;
/// How deep indexes may point to indexes.
const MAX_NESTING: usize = 4;

/// One image of an archive.
#[derive(Debug)]
pub(super) struct ImagePlan {
    pub(super) config_path: String,
    /// The configuration as it came.
    pub(super) config: String,
    /// Paths in the archive.
    pub(super) layers: Vec<String>,
    pub(super) names: Vec<Reference>,
    pub(super) parent: Option<Digest>,
}

/// The images that are to be loaded: those of `platforms`, if any are named.
pub(super) fn plans(members: &Members, platforms: &[Platform]) -> Result<Vec<ImagePlan>, ImageError> {
    let (saved, layout) = (members.document("manifest.json"), members.document("index.json"));
    if saved.is_none() && layout.is_none() {
        return Err(ImageError::Archive("does not contain a manifest.json".to_owned()));
    }
    let mut plans = Vec::new();
    if let Some(json) = saved {
        let entries: Vec<SaveEntry> = parse("manifest.json", json)?;
        if entries.len() > MAX_IMAGES {
            return Err(too_many());
        }
        for entry in entries {
            let plan = docker(members, entry)?;
            if plan.is_for(platforms)? {
                plans.push(plan);
            }
        }
    }
    // Where both are there they tell of the same images; but the first may leave out those of other platforms.
    if let Some(json) = layout
        && (saved.is_none() || plans.is_empty() && !platforms.is_empty())
    {
        let index: Index = parse("index.json", json)?;
        let host = [Platform::host()];
        let mut reading = Layout {
            members,
            platforms: if platforms.is_empty() { &host } else { platforms },
            seen: HashSet::new(),
            plans: Vec::new(),
        };
        reading.index(&index, &[], 0)?;
        for plan in reading.plans {
            if plan.is_for(platforms)? {
                plans.push(plan);
            }
        }
    }
    if plans.is_empty() {
        return Err(ImageError::Archive(
            "does not contain an image for this platform".to_owned(),
        ));
    }
    Ok(plans)
}

impl ImagePlan {
    /// Whether its configuration is of one of these platforms; every one is, if none is named.
    fn is_for(&self, platforms: &[Platform]) -> Result<bool, ImageError> {
        if platforms.is_empty() {
            return Ok(true);
        }
        let config: ImageConfig = parse(&self.config_path, self.config.as_bytes())?;
        let own = config.platform();
        Ok(platforms.iter().any(|platform| platform.accepts(&own)))
    }
}

fn docker(members: &Members, entry: SaveEntry) -> Result<ImagePlan, ImageError> {
    if entry.layers.len() > MAX_DEPTH {
        return Err(ImageError::TooDeep);
    }
    let names = entry
        .repo_tags
        .iter()
        .map(|name| archive_name(name))
        .collect::<Result<_, _>>()?;
    let config = text(members, &entry.config)?;
    let layers = entry.layers.iter().map(|path| normal(path)).collect();
    Ok(ImagePlan {
        config_path: entry.config,
        config,
        layers,
        names,
        parent: entry.parent.parse().ok(),
    })
}

/// An OCI image layout while it is read.
struct Layout<'a> {
    members: &'a Members,
    platforms: &'a [Platform],
    seen: HashSet<Digest>,
    plans: Vec<ImagePlan>,
}

impl Layout<'_> {
    fn index(&mut self, index: &Index, outer_names: &[Reference], depth: usize) -> Result<(), ImageError> {
        if depth > MAX_NESTING || self.plans.len() > MAX_IMAGES {
            return Err(too_many());
        }
        for descriptor in &index.manifests {
            let is_attestation = descriptor.annotations.contains_key("vnd.docker.reference.type");
            let accepted = |platform| self.platforms.iter().any(|wanted| wanted.accepts(platform));
            if is_attestation || !descriptor.platform.as_ref().is_none_or(accepted) {
                continue;
            }
            let mut names = outer_names.to_vec();
            names.extend(annotated_name(descriptor));
            let path = blob(&descriptor.digest);
            let json = verified(self.members, descriptor)?;
            let is_index =
                [media_type::OCI_INDEX, media_type::DOCKER_LIST].contains(&descriptor.media_type.as_str());
            if is_index {
                if !self.seen.insert(descriptor.digest.clone()) {
                    continue;
                }
                let inner: Index = parse(&path, json)?;
                self.index(&inner, &names, depth + 1)?;
                continue;
            }
            let manifest: Manifest = parse(&path, json)?;
            if manifest.layers.len() > MAX_DEPTH {
                return Err(ImageError::TooDeep);
            }
            let config = verified(self.members, &manifest.config)?;
            self.plans.push(ImagePlan {
                config_path: blob(&manifest.config.digest),
                config: utf8(&blob(&manifest.config.digest), config)?,
                layers: manifest.layers.iter().map(|layer| blob(&layer.digest)).collect(),
                names,
                parent: None,
            });
        }
        Ok(())
    }
}

/// The name in an index: a whole one, or containerd's.
fn annotated_name(descriptor: &Descriptor) -> Option<Reference> {
    let annotation = |key: &str| descriptor.annotations.get(key);
    let whole = annotation("io.containerd.image.name");
    let name = whole
        .or_else(|| annotation("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/'])));
    name.and_then(|name| archive_name(name).ok())
}

fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// A document whose content is what its name says.
fn verified<'a>(members: &'a Members, descriptor: &Descriptor) -> Result<&'a [u8], ImageError> {
    let path = blob(&descriptor.digest);
    let json = members.document(&path).ok_or_else(|| missing(&path))?;
    if !descriptor.digest.verifies(json) {
        return Err(ImageError::Archive(format!(
            "{path} does not have the digest that its name says"
        )));
    }
    Ok(json)
}

fn text(members: &Members, path: &str) -> Result<String, ImageError> {
    let json = members
        .document(&normal(path))
        .ok_or_else(|| missing(path))?
        .to_vec();
    utf8(path, &json)
}

fn utf8(path: &str, bytes: &[u8]) -> Result<String, ImageError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(ImageError::Archive(format!("{path} is not text"))),
    }
}

/// Paths in a table of contents are only names of members, so nothing can lead out of anywhere; but `./a` means `a`.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, json: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(json).map_err(|source| ImageError::Document {
        path: path.to_owned(),
        source,
    })
}

fn missing(path: &str) -> ImageError {
    let shown: String = path.chars().take(200).collect();
    ImageError::Archive(format!("{shown:?} is not in the archive"))
}

fn too_many() -> ImageError {
    ImageError::Archive("too many images".to_owned())
}
