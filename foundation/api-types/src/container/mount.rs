//! Mounts: asked for (`Mount`) and in use (`MountPoint`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit;

/// A mount in the long form of `HostConfig.Mounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe`, `cluster`.
    #[serde(rename = "Type", skip_serializing_if = "omit::zero")]
    pub kind: String,
    /// Host path, name of a volume or image; empty for an anonymous volume.
    #[serde(skip_serializing_if = "omit::zero")]
    pub source: String,
    /// Path in the container.
    #[serde(skip_serializing_if = "omit::zero")]
    pub target: String,
    /// Read-only.
    #[serde(skip_serializing_if = "omit::zero")]
    pub read_only: bool,
    /// Obsolete hint for Docker Desktop.
    #[serde(skip_serializing_if = "omit::zero")]
    pub consistency: String,
    /// For `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For `image` (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// For `tmpfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BindOptions {
    /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
    #[serde(skip_serializing_if = "omit::zero")]
    pub propagation: String,
    /// Without the mounts below the source (API 1.40).
    #[serde(skip_serializing_if = "omit::zero")]
    pub non_recursive: bool,
    /// Make the source if it is missing (API 1.43).
    #[serde(skip_serializing_if = "omit::zero")]
    pub create_mountpoint: bool,
    /// Mounts below a read-only source stay writable (API 1.44).
    #[serde(skip_serializing_if = "omit::zero")]
    pub read_only_non_recursive: bool,
    /// Fail if the mounts below cannot be made read-only (API 1.44).
    #[serde(skip_serializing_if = "omit::zero")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeOptions {
    /// Do not copy the image's files into an empty volume.
    #[serde(skip_serializing_if = "omit::zero")]
    pub no_copy: bool,
    /// Labels of a volume that is made.
    #[serde(skip_serializing_if = "omit::map")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Directory inside the volume (API 1.45).
    #[serde(skip_serializing_if = "omit::zero")]
    pub subpath: String,
    /// Driver of a volume that is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// A driver with options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DriverConfig {
    /// Name.
    #[serde(skip_serializing_if = "omit::zero")]
    pub name: String,
    /// Options.
    #[serde(skip_serializing_if = "omit::map")]
    pub options: Option<BTreeMap<String, String>>,
}

/// Options of an image mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageOptions {
    /// Directory inside the image.
    #[serde(skip_serializing_if = "omit::zero")]
    pub subpath: String,
}

/// Options of a tmpfs mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TmpfsOptions {
    /// Size in bytes; 0 for the kernel's default.
    #[serde(skip_serializing_if = "omit::zero")]
    pub size_bytes: i64,
    /// Mode of its root; 0 for 1777.
    #[serde(skip_serializing_if = "omit::zero")]
    pub mode: u32,
    /// Mount options: `["noexec"]`, `["size", "1m"]` (API 1.46).
    #[serde(skip_serializing_if = "omit::list")]
    pub options: Option<Vec<Vec<String>>>,
}

/// A mount that a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, `image`.
    #[serde(rename = "Type", skip_serializing_if = "omit::zero")]
    pub kind: String,
    /// Name of the volume.
    #[serde(skip_serializing_if = "omit::zero")]
    pub name: String,
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// Driver of the volume.
    #[serde(skip_serializing_if = "omit::zero")]
    pub driver: String,
    /// The options of the short form as they were given (`ro,z`).
    pub mode: String,
    /// Writable.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// Propagation of a bind mount.
    pub propagation: String,
}
