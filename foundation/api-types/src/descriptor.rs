//! OCI descriptors and platforms as the Engine API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit;

/// Names a blob by media type, digest and size (OCI image-spec, descriptor.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the blob.
    pub media_type: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Size in bytes.
    pub size: i64,
    /// Places from which the blob may be had.
    #[serde(skip_serializing_if = "omit::list")]
    pub urls: Option<Vec<String>>,
    /// Free annotations.
    #[serde(skip_serializing_if = "omit::map")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The platform that the blob is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Type of an artifact.
    #[serde(skip_serializing_if = "omit::zero")]
    pub artifact_type: String,
}

/// A platform: `linux/arm64/v8` and the like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// CPU architecture in Go's words (`amd64`, `arm64`).
    pub architecture: String,
    /// Operating system in Go's words (`linux`).
    pub os: String,
    /// Version of the operating system (Windows only).
    #[serde(rename = "os.version", skip_serializing_if = "omit::zero")]
    pub os_version: String,
    /// Features that the operating system must have (Windows only).
    #[serde(rename = "os.features", skip_serializing_if = "omit::list")]
    pub os_features: Option<Vec<String>>,
    /// Variant of the CPU (`v7`, `v8`).
    #[serde(skip_serializing_if = "omit::zero")]
    pub variant: String,
}
