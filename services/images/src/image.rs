//! An image as it was at one moment.

use std::sync::Arc;

use oci::digest::Digest;
use oci::image::ImageConfig;

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
