//! [`Failure`]: how a command ends when it does not end well.

use client::ClientError;

use crate::template::TemplateError;

/// What is printed on standard error, if anything, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Text for standard error; empty for none.
    pub(crate) message: String,
    /// Exit code.
    pub(crate) code: i32,
}

impl Failure {
    /// A message, with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    /// Only an exit code.
    pub(crate) fn exit(code: i32) -> Self {
        Self {
            message: String::new(),
            code,
        }
    }

    /// The same with another exit code.
    pub(crate) fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        Self::new(format!("template parsing error: {error}"))
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;

/// Collects what went wrong for some of many objects: each is said at the end, in docker's order, one per line.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// Notes a failure and goes on.
    pub(crate) fn note(&mut self, error: impl ToString) {
        self.0.push(error.to_string());
    }

    /// All of them as one failure, or success.
    pub(crate) fn outcome(self) -> Outcome {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(self.0.join("\n")))
        }
    }
}
