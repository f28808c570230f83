//! The JSON documents of an image: configuration, manifest, index, and Docker's `manifest.json`.
//!
//! An image's id is the digest of its configuration exactly as it came, so keep those bytes; the types here are
//! for reading them and for making new ones. Fields that are not known here are kept in `extra`. What Go's
//! encoder writes for empty values (`null`) is read as empty.

mod config;
mod manifest;

pub use config::{Empty, Healthcheck, History, ImageConfig, RootFs, RunConfig};
pub use manifest::{Descriptor, Index, Manifest, OciLayout, SaveEntry, media_type};

use serde::{Deserialize, Deserializer};

/// Reads `null` as the empty value.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
