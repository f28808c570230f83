//! What `state` says of a container (runtime.md, "State").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::nullable;

/// State of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct State {
    /// Version of the runtime-spec.
    pub oci_version: String,
    /// Id.
    pub id: String,
    /// Where in its life it is.
    pub status: Status,
    /// Process id on the host, while it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Annotations of the spec.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Where in its life a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Being created.
    #[default]
    #[serde(rename = "creating")]
    Creating,
    /// Waits for start.
    #[serde(rename = "created")]
    Created,
    /// The process runs.
    #[serde(rename = "running")]
    Running,
    /// The process has ended.
    #[serde(rename = "stopped")]
    Stopped,
    /// Frozen.
    #[serde(rename = "paused")]
    Paused,
}

/// What a seccomp agent gets with the descriptor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProcessState {
    /// Version of the runtime-spec.
    pub oci_version: String,
    /// Names of the descriptors sent.
    #[serde(deserialize_with = "nullable")]
    pub fds: Vec<String>,
    /// Process id as seen by the runtime.
    pub pid: i32,
    /// `listenerMetadata` of the spec.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// State of the container.
    pub state: State,
}
