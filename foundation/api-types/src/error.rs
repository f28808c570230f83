//! The body of every error reply.

use serde::{Deserialize, Serialize};

/// `{"message": "..."}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// What went wrong, in one sentence for a person.
    #[serde(default)]
    pub message: String,
}

impl ErrorResponse {
    /// A body with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}
