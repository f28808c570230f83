//! Volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::omit;

/// A volume as `inspect`, `create` and `list` show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Volume {
    /// Time of creation, RFC 3339 (`2026-11-21T09:00:00Z`).
    #[serde(skip_serializing_if = "omit::zero")]
    pub created_at: String,
    /// Name of the driver.
    pub driver: String,
    /// Labels; Docker has null where none were given.
    pub labels: Option<BTreeMap<String, String>>,
    /// Where the volume's files are on the host.
    pub mountpoint: String,
    /// Name of the volume.
    pub name: String,
    /// Options of the driver; null where none were given.
    pub options: Option<BTreeMap<String, String>>,
    /// `local` or `global`.
    pub scope: String,
    /// Whatever the driver wants to tell; only in `inspect`.
    #[serde(skip_serializing_if = "omit::map")]
    pub status: Option<BTreeMap<String, Value>>,
    /// Size and users; only in `system df`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<UsageData>,
}

/// What a volume costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsageData {
    /// Containers that refer to it; -1 if not known.
    pub ref_count: i64,
    /// Bytes; -1 if not known.
    pub size: i64,
}

/// Body of `POST /volumes/create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// Name; empty for a generated one.
    pub name: String,
    /// Driver; empty for `local`.
    pub driver: String,
    /// Options of the driver.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Cluster volumes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_volume_spec: Option<Value>,
}

/// Reply of `GET /volumes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListResponse {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// What a driver complained about.
    pub warnings: Option<Vec<String>>,
}

/// Reply of `POST /volumes/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// Names of the removed volumes.
    pub volumes_deleted: Vec<String>,
    /// Bytes freed.
    pub space_reclaimed: u64,
}
