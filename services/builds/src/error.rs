//! Why a build fails; the texts are Docker's where clients show or parse them.

use std::path::PathBuf;

use api_types::progress::Message;
use fault::{Fault, Kind};

/// Why a build fails.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile cannot be read.
    #[error("{0}")]
    Dockerfile(#[from] dockerfile::Located),
    /// A warning of the linter counts as an error (`# check=error=true`).
    #[error("lint violation found for rules: {0}")]
    Lint(String),
    /// There is no Dockerfile in the context.
    #[error("Cannot locate specified Dockerfile: {0}")]
    NoDockerfile(String),
    /// There is nothing in the Dockerfile.
    #[error("the Dockerfile ({0}) cannot be empty")]
    EmptyDockerfile(String),
    /// The Dockerfile's path leads out of the context.
    #[error("the Dockerfile ({0}) must be within the build context")]
    DockerfileOutside(String),
    /// The context is no archive, or a hostile one.
    #[error("unpack the build context: {0}")]
    Context(String),
    /// A variable cannot be put in.
    #[error("failed to process {text:?}: {source}")]
    Expand {
        /// The word.
        text: String,
        /// Why.
        source: dockerfile::expand::ExpandError,
    },
    /// FROM names nothing.
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    /// `--target` names nothing.
    #[error("target stage {0:?} could not be found")]
    NoTarget(String),
    /// `--from` names no stage.
    #[error("invalid from flag value {from}: {problem}")]
    NoFrom {
        /// The number.
        from: String,
        /// Why it is none.
        problem: &'static str,
    },
    /// The image that `--from` names cannot be had.
    #[error("invalid from flag value {from}: {source}")]
    From {
        /// The flag's value.
        from: String,
        /// Why.
        source: Box<BuildError>,
    },
    /// A parameter makes no sense.
    #[error("{0}")]
    Parameter(String),
    /// COPY or ADD cannot do what it should.
    #[error("{name} failed: {problem}")]
    Copy {
        /// `COPY` or `ADD`.
        name: &'static str,
        /// Why.
        problem: String,
    },
    /// A program ended with an error.
    #[error("The command '{command}' returned a non-zero code: {code}")]
    Command {
        /// Its command line.
        command: String,
        /// Its exit code.
        code: i64,
    },
    /// An instruction's value makes no sense.
    #[error("{0}")]
    Instruction(String),
    /// Something that is known but cannot be done here.
    #[error("{0} is not available in this version of dhow")]
    NotAvailable(String),
    /// The client cannot give what it was asked for.
    #[error("{what}: the client answers: {problem}")]
    Client {
        /// What it was asked for.
        what: String,
        /// Its words.
        problem: String,
    },
    /// The client went away or asked to stop.
    #[error("build cancelled")]
    Cancelled,
    /// More triggers than a base image may have.
    #[error("the base image has too many ONBUILD triggers")]
    TooManyTriggers,
    /// A file of the builder failed.
    #[error("{step} {path}: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A part of the engine failed.
    #[error("{message}")]
    Part {
        /// Its own words.
        message: String,
        /// Its own kind.
        kind: Kind,
    },
}

impl BuildError {
    /// The error of a part of the engine, in its own words.
    pub(crate) fn part(error: impl Fault) -> Self {
        Self::Part {
            message: error.to_string(),
            kind: error.kind(),
        }
    }

    /// A task that panicked or was stopped.
    pub(crate) fn task(error: &tokio::task::JoinError) -> Self {
        Self::Part {
            message: format!("a step of the build ended badly: {error}"),
            kind: Kind::System,
        }
    }

    /// As BuildKit says it, where it has words of its own.
    pub fn step_message(&self) -> String {
        match self {
            Self::Command { command, code } => {
                format!("process {command:?} did not complete successfully: exit code: {code}")
            }
            Self::Cancelled => "context canceled".to_owned(),
            other => other.to_string(),
        }
    }

    /// The line that tells it at the end of a stream.
    pub fn message(&self) -> Message {
        let mut message = Message::error(self.to_string());
        if let (Self::Command { code, .. }, Some(detail)) = (self, &mut message.error_detail) {
            detail.code = *code;
        }
        message
    }
}

impl Fault for BuildError {
    fn kind(&self) -> Kind {
        match self {
            Self::Dockerfile(_)
            | Self::Lint(_)
            | Self::NoDockerfile(_)
            | Self::EmptyDockerfile(_)
            | Self::DockerfileOutside(_)
            | Self::Context(_)
            | Self::Expand { .. }
            | Self::BlankBase(_)
            | Self::NoTarget(_)
            | Self::NoFrom { .. }
            | Self::Parameter(_)
            | Self::Copy { .. }
            | Self::Instruction(_)
            | Self::TooManyTriggers => Kind::InvalidParameter,
            Self::From { source, .. } => source.kind(),
            Self::Command { .. } | Self::File { .. } | Self::Client { .. } => Kind::System,
            Self::NotAvailable(_) => Kind::NotImplemented,
            Self::Cancelled => Kind::Cancelled,
            Self::Part { kind, .. } => *kind,
        }
    }
}

/// For `map_err`: a file operation failed.
pub(crate) fn file(step: &'static str, path: &std::path::Path) -> impl Fn(std::io::Error) -> BuildError {
    let path = path.to_path_buf();
    move |source| BuildError::File {
        step,
        path: path.clone(),
        source,
    }
}
