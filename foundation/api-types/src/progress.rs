//! Lines of a progress stream (`load`, `import`, `pull`, `push`, `build`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::omit;

/// One line; most fields are absent in most lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Text to print as it is (build, load).
    #[serde(skip_serializing_if = "omit::zero")]
    pub stream: String,
    /// What is being done.
    #[serde(skip_serializing_if = "omit::zero")]
    pub status: String,
    /// How far it is.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<Detail>,
    /// The bar as text, for old clients.
    #[serde(skip_serializing_if = "omit::zero")]
    pub progress: String,
    /// What the line is about, such as a layer's short id.
    #[serde(skip_serializing_if = "omit::zero")]
    pub id: String,
    /// Why it ended badly.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The error's text again, for old clients.
    #[serde(skip_serializing_if = "omit::zero")]
    pub error: String,
    /// Something for programs, such as the id of a built image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Value>,
}

/// Progress of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// Done so far, in `units` (bytes unless said otherwise).
    #[serde(skip_serializing_if = "omit::zero")]
    pub current: i64,
    /// The whole; 0 if not known.
    #[serde(skip_serializing_if = "omit::zero")]
    pub total: i64,
    /// When it began, seconds since 1970.
    #[serde(skip_serializing_if = "omit::zero")]
    pub start: i64,
    /// Do not print the numbers.
    #[serde(rename = "hidecounts", skip_serializing_if = "omit::zero")]
    pub hide_counts: bool,
    /// Unit of the numbers.
    #[serde(skip_serializing_if = "omit::zero")]
    pub units: String,
}

/// An error inside a stream whose status was already sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// An exit status, if a command failed.
    #[serde(skip_serializing_if = "omit::zero")]
    pub code: i64,
    /// The text.
    pub message: String,
}

impl Message {
    /// The line that ends a failed stream.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        let error_detail = Some(ErrorDetail {
            code: 0,
            message: message.clone(),
        });
        Self {
            error_detail,
            error: message,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_progress_are_told_in_both_forms() {
        let error = serde_json::to_value(Message::error("broken")).unwrap();
        assert_eq!(
            (&error["errorDetail"]["message"], &error["error"]),
            (&"broken".into(), &"broken".into())
        );
        let bar = Message {
            progress: "[=>  ]".into(),
            progress_detail: Some(Detail {
                current: 1,
                total: 4,
                ..Detail::default()
            }),
            ..Message::default()
        };
        let bar = serde_json::to_value(bar).unwrap();
        assert!(bar["progress"].is_string() && bar["progressDetail"]["total"] == 4);
    }
}
