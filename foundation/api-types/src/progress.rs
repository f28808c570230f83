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

/// What happens to the steps of a build, which only dhow's daemon tells (`steps=1` of `POST /build`). A step is known by its
/// number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Event", rename_all_fields = "PascalCase")]
pub enum StepEvent {
    /// It begins.
    Started {
        /// Its number, the first one is 1.
        step: usize,
        /// As it is shown: `[stage 2/3] RUN make`.
        name: String,
    },
    /// It was found in the cache.
    Cached {
        /// Its number.
        step: usize,
    },
    /// Its program wrote something.
    Output {
        /// Its number.
        step: usize,
        /// On its standard error.
        is_error: bool,
        /// What it wrote.
        text: String,
    },
    /// A layer or another thing is on its way.
    Transfer {
        /// The number of the step that waits for it.
        step: usize,
        /// What is on its way, and what is done with it.
        name: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in all; 0 when nobody knows.
        total: u64,
    },
    /// It is over.
    Ended {
        /// Its number.
        step: usize,
        /// Why it failed; empty when it did not or when the build was given up.
        error: String,
    },
    /// Something is odd, but the build goes on.
    Warning {
        /// What.
        text: String,
    },
}

/// What a message with a [`StepEvent`] is about.
const STEP: &str = "dhow.step";

impl Message {
    /// A message that tells of a step.
    pub fn step(event: &StepEvent) -> Self {
        Self {
            id: STEP.to_owned(),
            aux: serde_json::to_value(event).ok(),
            ..Self::default()
        }
    }

    /// What it tells of a step, if it does.
    pub fn as_step(&self) -> Option<StepEvent> {
        let about = self.aux.as_ref().filter(|_| self.id == STEP)?;
        StepEvent::deserialize(about).ok()
    }

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
    fn a_step_is_told_in_a_message_and_read_again() {
        let event = StepEvent::Output {
            step: 2,
            is_error: true,
            text: "text".into(),
        };
        let message = serde_json::to_value(Message::step(&event)).unwrap();
        assert_eq!(message["aux"]["Event"], "Output");
        let read: Message = serde_json::from_value(message).unwrap();
        assert_eq!(read.as_step(), Some(event));
        let other = Message {
            aux: Some(serde_json::json!({"ID": "x"})),
            ..Message::default()
        };
        assert_eq!(other.as_step(), None);
    }

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
