//! One element of `GET /containers/json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MountPoint;
use crate::descriptor::Descriptor;
use crate::network::EndpointSettings;
use crate::omit;

/// A container in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    /// 64 hex digits.
    pub id: String,
    /// Names with a leading slash.
    pub names: Vec<String>,
    /// The image as the user named it, or its id if that name now means another image.
    pub image: String,
    /// Id of the image (`sha256:...`).
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// Program and arguments as one line.
    pub command: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Published and exposed ports.
    pub ports: Vec<Port>,
    /// Bytes changed in the writable layer; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes of all layers; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub state: String,
    /// For people: `Up 2 minutes`, `Exited (0) 3 hours ago`.
    pub status: String,
    /// A little of the host part.
    pub host_config: SummaryHostConfig,
    /// Endpoints.
    pub network_settings: SummaryNetworkSettings,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// Health (API 1.52).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<SummaryHealth>,
    /// The platform's manifest of the image (API 1.48, only with a multi-platform store).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<Descriptor>,
}

/// Host part of a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryHostConfig {
    /// Network mode.
    #[serde(skip_serializing_if = "omit::zero")]
    pub network_mode: String,
    /// Annotations (API 1.46).
    #[serde(skip_serializing_if = "omit::map")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Endpoints of a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryNetworkSettings {
    /// By name of the network.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// Health in a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryHealth {
    /// `none`, `starting`, `healthy`, `unhealthy`.
    #[serde(skip_serializing_if = "omit::zero")]
    pub status: String,
    /// Failures in a row.
    #[serde(skip_serializing_if = "omit::zero")]
    pub failing_streak: i64,
}

/// A port in a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Port {
    /// Address of the host, if published.
    #[serde(rename = "IP", skip_serializing_if = "omit::zero")]
    pub ip: String,
    /// Port in the container.
    pub private_port: u16,
    /// Port of the host, if published.
    #[serde(skip_serializing_if = "omit::zero")]
    pub public_port: u16,
    /// `tcp`, `udp`, `sctp`.
    #[serde(rename = "Type")]
    pub kind: String,
}
