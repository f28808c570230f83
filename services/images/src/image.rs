//! An image as it was at one moment.

use std::sync::Arc;

use oci::digest::Digest;
use oci::image::ImageConfig;
use oci::platform::Platform;

use crate::ImageError;

/// An image as it was when it was asked for: cheap to clone, never changes.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of the configuration.
    pub id: Digest,
    /// The configuration.
    pub config: Arc<ImageConfig>,
    /// The configuration exactly as it came.
    pub config_json: Arc<str>,
    /// `repository:tag` in familiar form, sorted.
    pub repo_tags: Vec<String>,
    /// `repository@sha256:…` in familiar form, sorted.
    pub repo_digests: Vec<String>,
    /// Bytes of the files of all layers.
    pub size: u64,
    /// The id of the image it was built on or committed from, if it was here.
    pub parent: Option<Digest>,
    /// The chain ids of its layers, the lowest first.
    pub chain_ids: Arc<[Digest]>,
    /// When it was last tagged here, nanoseconds since 1970.
    pub last_tagged: Option<i64>,
    /// How many containers hold it.
    pub containers: usize,
}

impl Image {
    /// Refuses an image that is for none of these platforms; without any, every image is right.
    ///
    /// # Errors
    /// [`ImageError::OtherPlatform`].
    pub fn check_platform(&self, platforms: &[Platform]) -> Result<(), ImageError> {
        let own = self.config.platform();
        if platforms.is_empty() || platforms.iter().any(|platform| platform.accepts(&own)) {
            return Ok(());
        }
        let wanted: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        Err(ImageError::OtherPlatform {
            image: self
                .repo_tags
                .first()
                .cloned()
                .unwrap_or_else(|| self.id.short().to_owned()),
            wanted: wanted.join(", "),
        })
    }
}
