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

/// Reply of `POST /auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LoginReply {
    /// A token that stands for name and password; empty for none.
    pub identity_token: String,
    /// `Login Succeeded`.
    pub status: String,
}
