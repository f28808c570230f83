//! Images to a registry.
//!
//! A layer that the registry has already is not sent, one that it has in another repository is mounted, one of a pulled
//! image is sent as the place has it where it came from, and the rest is rebuilt and compressed while it is sent, several
//! at once. If all layers end up as a manifest that is known of this
//! image has them, that manifest is pushed byte for byte; else a new one is written.

mod layers;
mod places;

use std::sync::Arc;

use api_types::progress::{Detail, Message};
use distribution::Credentials;
use distribution::access::{Access, Intent};
use oci::digest::Digest;
use oci::image::{Descriptor, Manifest, media_type};
use oci::reference::Reference;

use crate::bar::line;
use crate::load::Progress;
use crate::origins::Origin;
use crate::{Image, ImageError, Images};

/// What to push.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// With a tag; without, all tags of the repository are meant.
    pub reference: Reference,
    /// Who asks.
    pub credentials: Credentials,
}

impl PushOptions {
    /// From what a client says: a name, and a tag beside it, which may be empty.
    ///
    /// # Errors
    /// [`ImageError::Reference`], [`ImageError::Name`].
    pub fn new(name: &str, tag: &str) -> Result<Self, ImageError> {
        let mut reference = Reference::parse_normalized(name)?;
        if !tag.is_empty() {
            reference = reference.with_tag(tag)?;
        }
        if reference.digest().is_some() {
            return Err(ImageError::Name("cannot push a digest reference"));
        }
        Ok(Self {
            reference,
            credentials: Credentials::Anonymous,
        })
    }
}

/// A manifest as it is to be stored.
struct Written {
    media_type: String,
    text: String,
}

impl Images {
    /// Pushes an image, or all tags of a repository.
    ///
    /// # Errors
    /// [`ImageError`]; what was complete before the failure stays at the registry.
    pub async fn push(self: &Arc<Self>, options: PushOptions, progress: Progress) -> Result<(), ImageError> {
        let name = &options.reference;
        progress(line(format!("The push refers to repository [{}]", name.name())));
        let wanted = self.to_push(name)?;
        let settings = self.registries.settings();
        let mut access = Access::open(&settings, &options.credentials, name, Intent::Push)
            .await
            .map_err(ImageError::Push)?;
        access.allow_sources(self.mountable(name, &wanted));
        for (tagged, image) in wanted {
            self.push_one(&access, &tagged, &image, &progress).await?;
            self.tell("push", &image, &tagged.familiar());
        }
        Ok(())
    }

    /// The images with their names, by tag.
    fn to_push(&self, name: &Reference) -> Result<Vec<(Reference, Image)>, ImageError> {
        let state = self.read();
        let own = state
            .names
            .iter()
            .filter(|(known, _)| known.name() == name.name());
        let tagged: Vec<(Reference, Digest)> = own
            .filter(|(known, _)| known.digest().is_none())
            .map(|(known, id)| (known.clone(), id.clone()))
            .collect();
        if tagged.is_empty() {
            return Err(ImageError::NothingToPush(name.familiar_name()));
        }
        let wanted: Vec<(Reference, Image)> = tagged
            .into_iter()
            .filter(|(known, _)| name.tag().is_none() || known.tag() == name.tag())
            .filter_map(|(known, id)| Some((known, state.snapshot(&id)?)))
            .collect();
        if wanted.is_empty() {
            return Err(ImageError::NoSuchTag(name.familiar()));
        }
        Ok(wanted)
    }

    /// Repositories of the same registry that have some of the layers.
    fn mountable(&self, name: &Reference, wanted: &[(Reference, Image)]) -> Vec<String> {
        let diff_ids = wanted.iter().flat_map(|(_, image)| &image.config.rootfs.diff_ids);
        let mut paths: Vec<String> = diff_ids
            .flat_map(|diff_id| self.sources_of(diff_id))
            .filter_map(|source| layers::path_at(&source.repository, name.domain()))
            .collect();
        paths.sort();
        paths.dedup();
        paths.truncate(layers::MOST_MOUNTS);
        paths
    }

    async fn push_one(
        self: &Arc<Self>,
        access: &Access,
        name: &Reference,
        image: &Image,
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let layers = self.push_layers(access, image, progress).await?;
        access
            .put_blob(&image.id, image.config_json.as_bytes())
            .await
            .map_err(ImageError::Push)?;
        let written = match self.known_manifest(image, &layers) {
            Some(written) => written,
            None => new_manifest(image, layers)?,
        };
        let tag = name.tag().unwrap_or(oci::reference::DEFAULT_TAG);
        let digest = access
            .put_manifest(tag, &written.media_type, written.text.as_bytes())
            .await
            .map_err(ImageError::Push)?;
        durable::crash_point("images.push.sent");
        let size = written.text.len();
        let origin = Origin {
            repository: name.name(),
            media_type: written.media_type,
            manifest: written.text,
        };
        let id = image.id.clone();
        self.blocking(move |images| images.remember(&id, origin)).await?;
        let by_digest = name.without_tag_and_digest().with_digest(digest.clone());
        match self.set_reference(&image.id, &by_digest).await {
            // It was deleted meanwhile; the registry has it nevertheless.
            Err(ImageError::NotFound(_)) => {}
            other => other?,
        }
        progress(line(format!("{tag}: digest: {digest} size: {size}")));
        progress(Message {
            progress_detail: Some(Detail::default()),
            aux: Some(serde_json::json!({"Tag": tag, "Digest": digest, "Size": size})),
            ..Message::default()
        });
        Ok(())
    }

    /// A manifest that is known of this image and has these very layers.
    fn known_manifest(&self, image: &Image, layers: &[Descriptor]) -> Option<Written> {
        let fits = |origin: &Origin| {
            let manifest: Manifest = serde_json::from_str(&origin.manifest).ok()?;
            let own = manifest.layers.iter().map(|layer| &layer.digest);
            (manifest.config.digest == image.id && own.eq(layers.iter().map(|layer| &layer.digest)))
                .then_some(())
        };
        let origin = self
            .origins_of(&image.id)
            .into_iter()
            .find(|origin| fits(origin).is_some())?;
        Some(Written {
            media_type: origin.media_type,
            text: origin.manifest,
        })
    }
}

/// Docker's own kind of manifest, or OCI's where a layer needs it.
fn new_manifest(image: &Image, mut layers: Vec<Descriptor>) -> Result<Written, ImageError> {
    let needs_oci = layers.iter().any(|layer| layer.media_type.contains("zstd"));
    for layer in &mut layers {
        *layer = Descriptor::new(
            in_family(&layer.media_type, needs_oci),
            layer.digest.clone(),
            layer.size,
        );
    }
    let (media_type, config) = match needs_oci {
        true => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
        false => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type.to_owned(),
        config: Descriptor::new(config, image.id.clone(), image.config_json.len() as u64),
        layers,
        annotations: Default::default(),
        extra: Default::default(),
    };
    let text = serde_json::to_string(&manifest).map_err(|source| ImageError::Document {
        path: "the new manifest".to_owned(),
        source,
    })?;
    Ok(Written {
        media_type: media_type.to_owned(),
        text,
    })
}

/// The same kind of layer in the words of the other specification.
fn in_family(kind: &str, oci: bool) -> &str {
    match (kind, oci) {
        (media_type::DOCKER_LAYER_GZIP, true) => media_type::OCI_LAYER_GZIP,
        (media_type::DOCKER_LAYER, true) => media_type::OCI_LAYER,
        (media_type::OCI_LAYER_GZIP, false) => media_type::DOCKER_LAYER_GZIP,
        (media_type::OCI_LAYER, false) => media_type::DOCKER_LAYER,
        (kind, _) => kind,
    }
}
