//! The row of a network.

use serde::{Deserialize, Serialize};

use crate::NetworkSpec;

/// What is kept of a network; the key is its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRow {
    pub(crate) id: String,
    pub(crate) created: String,
    pub(crate) spec: NetworkSpec,
    /// The link on the host; empty for host and null.
    pub(crate) bridge: String,
}

impl durable::Row for NetworkRow {
    const TABLE: &'static str = "networks";
    const VERSION: u32 = 1;
}
