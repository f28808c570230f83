//! What a name means at a registry: from a tag to a manifest for one platform, and its configuration.

use std::sync::Arc;

use distribution::access::{Access, Intent};
use distribution::{Credentials, Document, Manifest, manifest};
use oci::digest::Digest;
use oci::image::{Descriptor, ImageConfig, Index, media_type};
use oci::platform::Platform;
use oci::reference::Reference;

use crate::error::registry;
use crate::layers::MAX_DEPTH;
use crate::{ImageError, Images};

/// A configuration is larger than this only by mistake.
const CONFIG_LIMIT: usize = 8 << 20;

/// One image at a registry.
pub(crate) struct Resolved {
    /// The digest of what the name stands for: of an index, if it is one.
    pub(crate) top: Digest,
    /// The manifest of the image.
    pub(crate) document: Document,
    pub(crate) manifest: Box<oci::image::Manifest>,
}

/// What a registry has under a name, for `GET /distribution/{name}/json`.
#[derive(Clone, Debug)]
pub struct RemoteImage {
    /// Of what the name stands for.
    pub descriptor: Descriptor,
    /// The platforms that it is for.
    pub platforms: Vec<Platform>,
}

pub(crate) async fn resolve(
    place: &Access,
    name: &Reference,
    platform: Option<&Platform>,
) -> Result<Resolved, ImageError> {
    let document = document(place, name).await?;
    let top = document.digest.clone();
    let failed = registry(name);
    match document.parse().map_err(&failed)? {
        Manifest::Image(manifest) => Ok(Resolved {
            top,
            document,
            manifest,
        }),
        Manifest::Index(index) => {
            let host = Platform::host();
            let platform = platform.unwrap_or(&host);
            let Some(chosen) = manifest::choose(&index, platform) else {
                return Err(no_platform(&index, platform));
            };
            let document = place
                .manifest(&chosen.digest.to_string())
                .await
                .map_err(&failed)?;
            match document.parse().map_err(&failed)? {
                Manifest::Image(manifest) => Ok(Resolved {
                    top,
                    document,
                    manifest,
                }),
                Manifest::Index(_) => Err(ImageError::Remote(format!(
                    "{}: an index of indexes is not supported",
                    name.familiar()
                ))),
            }
        }
    }
}

async fn document(place: &Access, name: &Reference) -> Result<Document, ImageError> {
    let wanted = match (name.digest(), name.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or(oci::reference::DEFAULT_TAG).to_owned(),
    };
    place.manifest(&wanted).await.map_err(registry(name))
}

fn no_platform(index: &Index, platform: &Platform) -> ImageError {
    let there: Vec<String> = platforms(index).iter().map(ToString::to_string).collect();
    tracing::debug!(there = there.join(", "), "no manifest fits");
    ImageError::NoPlatform(platform.to_string())
}

/// The platforms of an index; attestations have none.
fn platforms(index: &Index) -> Vec<Platform> {
    let all = index.manifests.iter().filter_map(|m| m.platform.clone());
    all.filter(|p| p.os != "unknown").collect()
}

/// The configuration as it came, and what it means.
pub(crate) async fn configuration(
    place: &Access,
    name: &Reference,
    manifest: &oci::image::Manifest,
) -> Result<(String, ImageConfig), ImageError> {
    let kind = manifest.config.media_type.as_str();
    if !matches!(
        kind,
        media_type::DOCKER_CONFIG | media_type::OCI_CONFIG | "application/octet-stream"
    ) {
        return Err(ImageError::Remote(format!(
            "Encountered remote {kind:?}(unknown) when fetching: {} is no image of a container",
            name.familiar()
        )));
    }
    for layer in &manifest.layers {
        check_layer(layer)?;
    }
    let bytes = place
        .small_blob(&manifest.config, CONFIG_LIMIT)
        .await
        .map_err(registry(name))?;
    let broken =
        |reason: String| ImageError::Remote(format!("configuration {}: {reason}", manifest.config.digest));
    let text = String::from_utf8(bytes).map_err(|error| broken(error.to_string()))?;
    let config: ImageConfig = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    if !config.os.is_empty() && config.os != "linux" {
        return Err(ImageError::Remote(format!(
            "image operating system {:?} cannot be used on this platform: operating system is not supported",
            config.os
        )));
    }
    let (named, there) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if named != there {
        return Err(broken(format!(
            "it names {named} layers, but the manifest has {there}"
        )));
    }
    if there > MAX_DEPTH {
        return Err(ImageError::TooDeep);
    }
    Ok((text, config))
}

fn check_layer(layer: &Descriptor) -> Result<(), ImageError> {
    let kind = layer.media_type.as_str();
    let refuse = |why: &str| {
        Err(ImageError::Remote(format!(
            "layer {} ({kind}): {why}",
            layer.digest
        )))
    };
    match kind {
        media_type::DOCKER_LAYER
        | media_type::DOCKER_LAYER_GZIP
        | media_type::OCI_LAYER
        | media_type::OCI_LAYER_GZIP
        | media_type::OCI_LAYER_ZSTD
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(()),
        _ if kind.contains("foreign") || kind.contains("nondistributable") => refuse(
            "foreign layers are not fetched: they lie outside of the registry, at addresses that anybody may name",
        ),
        _ => refuse("this kind of layer is not known"),
    }
}

impl Images {
    /// What a registry has under a name.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn inspect_remote(
        self: &Arc<Self>,
        name: &Reference,
        credentials: &Credentials,
    ) -> Result<RemoteImage, ImageError> {
        let settings = self.registries.settings();
        let failed = registry(name);
        let place = Access::open(&settings, credentials, name, Intent::Pull)
            .await
            .map_err(&failed)?;
        let document = document(&place, name).await?;
        let descriptor = Descriptor::new(
            &document.media_type,
            document.digest.clone(),
            document.bytes.len() as u64,
        );
        let platforms = match document.parse().map_err(&failed)? {
            Manifest::Index(index) => platforms(&index),
            Manifest::Image(manifest) => {
                let (_, config) = configuration(&place, name, &manifest).await?;
                vec![config.platform()]
            }
        };
        Ok(RemoteImage {
            descriptor,
            platforms,
        })
    }
}
