//! An image as the manifest of one platform, for `docker image ls --tree`.

use api_types::descriptor::{Descriptor, Platform};
use api_types::image::{ManifestImage, ManifestImageSize, ManifestSize, ManifestSummary};
use oci::digest::Digest;
use oci::image::media_type;

use crate::{ImageError, Images};

impl Images {
    /// The manifest of an image: the last one that a registry had of it, or else that of its archive. Of the packed layers
    /// nothing is kept, so its content is the documents alone.
    ///
    /// # Errors
    /// [`ImageError::NotFound`].
    pub fn manifest_summary(&self, id: &Digest) -> Result<ManifestSummary, ImageError> {
        let not_found = || ImageError::NotFound(id.to_string());
        let (image, containers) = {
            let state = self.read();
            let entry = state.images.get(id).ok_or_else(not_found)?;
            let labels = entry.holders.values().map(|holder| holder.label.as_str());
            let containers = labels.filter_map(|label| label.strip_prefix("container "));
            let containers: Vec<String> = containers.map(str::to_owned).collect();
            (entry.snapshot(id), containers)
        };
        let (media_type, text) = match self.origins_of(id).into_iter().next() {
            Some(origin) => (origin.media_type, origin.manifest.into_bytes()),
            None => {
                let manifest = serde_json::to_vec(&self.manifest(&image)?);
                let text = manifest.map_err(|source| ImageError::Document {
                    path: id.to_string(),
                    source,
                })?;
                (media_type::OCI_MANIFEST.to_owned(), text)
            }
        };
        let own = image.config.platform();
        let platform = Platform {
            architecture: own.architecture,
            os: own.os,
            variant: own.variant.unwrap_or_default(),
            ..Platform::default()
        };
        let digest = Digest::sha256(&text).to_string();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let content = signed((text.len() + image.config_json.len()) as u64);
        let unpacked = signed(image.size);
        Ok(ManifestSummary {
            id: digest.clone(),
            descriptor: Descriptor {
                media_type,
                digest,
                size: signed(text.len() as u64),
                platform: Some(platform.clone()),
                ..Descriptor::default()
            },
            available: true,
            kind: "image".to_owned(),
            size: ManifestSize {
                content,
                total: content.saturating_add(unpacked),
            },
            image_data: Some(ManifestImage {
                platform,
                containers,
                size: ManifestImageSize { unpacked },
            }),
        })
    }
}
