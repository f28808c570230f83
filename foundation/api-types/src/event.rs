//! One line of `GET /events`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit;

/// Something that happened to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// The action again, for containers and images; only in replies below API 1.52.
    #[serde(skip_serializing_if = "omit::zero")]
    pub status: String,
    /// The actor's id again; only in replies below API 1.52.
    #[serde(skip_serializing_if = "omit::zero")]
    pub id: String,
    /// The container's image again; only in replies below API 1.52.
    #[serde(skip_serializing_if = "omit::zero")]
    pub from: String,
    /// `container`, `image`, `volume`, `network`, `daemon`, `builder`, `plugin`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `start`, `die`, `exec_start: ls`, `health_status: healthy`, ...
    #[serde(rename = "Action")]
    pub action: String,
    /// Whom it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local` or `swarm`.
    #[serde(skip_serializing_if = "omit::zero")]
    pub scope: String,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "omit::zero")]
    pub time: i64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano", skip_serializing_if = "omit::zero")]
    pub time_nano: i64,
}

/// The object of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// Id of a container or network, name of an image or volume.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name, image, labels, exit code and the like.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}
