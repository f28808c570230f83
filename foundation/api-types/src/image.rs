//! Images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::{Config, Empty, GraphDriver, HealthConfig};
use crate::descriptor::Descriptor;
use crate::omit;

/// One element of `GET /images/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    /// Containers that use it; -1 for not counted (always below API 1.51).
    pub containers: i64,
    /// Seconds since 1970.
    pub created: i64,
    /// `sha256:...`.
    pub id: String,
    /// Labels; null for none.
    pub labels: Option<BTreeMap<String, String>>,
    /// Id of the image it was built on, or empty.
    pub parent_id: String,
    /// OCI descriptor (API 1.48, only with a multi-platform store).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// The platforms that are here (API 1.47, only if asked for).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
    /// `repository@sha256:...`.
    pub repo_digests: Vec<String>,
    /// `repository:tag`; empty for a dangling image.
    pub repo_tags: Vec<String>,
    /// Bytes shared with other images; -1 for not counted.
    pub shared_size: i64,
    /// Bytes of all layers.
    pub size: i64,
    /// The same; only in replies below API 1.44.
    #[serde(skip_serializing_if = "omit::zero")]
    pub virtual_size: i64,
}

/// An image of one platform, as the list shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestSummary {
    /// Digest of the manifest.
    #[serde(rename = "ID")]
    pub id: String,
    /// What it is.
    pub descriptor: Descriptor,
    /// Whether all of it is here.
    pub available: bool,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    /// How much it takes.
    pub size: ManifestSize,
    /// Only of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ManifestImage>,
}

/// Bytes of a manifest and of what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestSize {
    /// Documents and packed layers that are kept.
    pub content: i64,
    /// Those and the unpacked layers.
    pub total: i64,
}

/// What is special about the manifest of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestImage {
    /// What it runs on.
    pub platform: crate::descriptor::Platform,
    /// Containers that use it.
    pub containers: Vec<String>,
    /// How much it takes.
    pub size: ManifestImageSize,
}

/// Bytes of an image that can be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestImageSize {
    /// Of all unpacked layers.
    pub unpacked: i64,
}

/// Reply of `GET /images/{name}/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Inspect {
    /// `sha256:...`.
    pub id: String,
    /// `repository:tag`.
    pub repo_tags: Vec<String>,
    /// `repository@sha256:...`.
    pub repo_digests: Vec<String>,
    /// Id of the image it was built on; left out when empty since API 1.52.
    pub parent: String,
    /// Comment of the one who made it; left out when empty since API 1.52.
    pub comment: String,
    /// RFC 3339 with nanoseconds; left out when not known since API 1.44.
    pub created: String,
    /// Version of the engine that made it; left out when empty since API 1.52.
    pub docker_version: String,
    /// Who made it; left out when empty since API 1.52.
    pub author: String,
    /// What containers inherit.
    pub config: ImageConfig,
    /// CPU architecture.
    pub architecture: String,
    /// Variant of the CPU.
    #[serde(skip_serializing_if = "omit::zero")]
    pub variant: String,
    /// Operating system.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(skip_serializing_if = "omit::zero")]
    pub os_version: String,
    /// Bytes of all layers.
    pub size: i64,
    /// The same; only in replies below API 1.44.
    #[serde(skip_serializing_if = "omit::zero")]
    pub virtual_size: i64,
    /// Where its layers are.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What this daemon knows about it.
    pub metadata: Metadata,
    /// OCI descriptor (API 1.48, only with a multi-platform store).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// Container that it was committed from; only in replies below API 1.45.
    #[serde(skip_serializing_if = "omit::zero")]
    pub container: String,
    /// Settings of that container; only in replies below API 1.45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<Config>,
}

/// The settings in an image's configuration (docker image-spec 1.3): those members that an image can have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// `user[:group]`.
    pub user: String,
    /// Keys such as `80/tcp`.
    #[serde(skip_serializing_if = "omit::map")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Arguments or command.
    pub cmd: Option<Vec<String>>,
    /// How health is probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// The command is one escaped line (Windows).
    #[serde(skip_serializing_if = "omit::zero")]
    pub args_escaped: bool,
    /// Paths that are anonymous volumes.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Directory in which the process starts.
    pub working_dir: String,
    /// Program.
    pub entrypoint: Option<Vec<String>>,
    /// Instructions for images built on this one.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks the process to end.
    #[serde(skip_serializing_if = "omit::zero")]
    pub stop_signal: String,
    /// Shell of instructions in their text form.
    #[serde(skip_serializing_if = "omit::list")]
    pub shell: Option<Vec<String>>,
}

/// Layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Diff ids, from the lowest up.
    #[serde(skip_serializing_if = "omit::list")]
    pub layers: Option<Vec<String>>,
}

/// What this daemon knows about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Metadata {
    /// RFC 3339, `0001-01-01T00:00:00Z` for never.
    pub last_tag_time: String,
}

/// One element of `GET /images/{name}/history`, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HistoryItem {
    /// Comment.
    pub comment: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The instruction.
    pub created_by: String,
    /// Id of the image of that step, or `<missing>`.
    pub id: String,
    /// Bytes of its layer.
    pub size: i64,
    /// `repository:tag` of that image; null for none.
    pub tags: Option<Vec<String>>,
}

/// One element of the reply of `DELETE /images/{name}`: one of the two is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteItem {
    /// Id of a removed image or layer.
    #[serde(skip_serializing_if = "omit::zero")]
    pub deleted: String,
    /// Removed name.
    #[serde(skip_serializing_if = "omit::zero")]
    pub untagged: String,
}

/// Reply of `POST /images/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// What was removed; null for nothing.
    pub images_deleted: Option<Vec<DeleteItem>>,
    /// Bytes freed.
    pub space_reclaimed: u64,
}

/// Reply of `POST /commit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IdResponse {
    /// The new object's id.
    pub id: String,
}

/// Reply of `GET /distribution/{name}/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DistributionInspect {
    /// What the name stands for.
    pub descriptor: crate::descriptor::Descriptor,
    /// The platforms that it is for.
    pub platforms: Vec<crate::descriptor::Platform>,
}

/// One element of `GET /images/{name}/layers`, which only dhow has; the lowest layer comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Layer {
    /// Digest of its plain archive.
    #[serde(rename = "DiffID")]
    pub diff_id: String,
    /// Digest of it and all layers below (image-spec, "Layer ChainID").
    #[serde(rename = "ChainID")]
    pub chain_id: String,
    /// Bytes of its files.
    pub size: u64,
    /// Bytes of its plain archive.
    pub archive_size: u64,
    /// The step of the image's history that made it; empty if none says so.
    pub created_by: String,
    /// The other images that have the same layer: a name of each, or its id.
    pub shared_with: Vec<String>,
}

/// Reply of `POST /auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LoginReply {
    /// A token that stands for name and password; empty for none.
    pub identity_token: String,
    /// `Login Succeeded`.
    pub status: String,
}
