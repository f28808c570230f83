//! What can go wrong with containers, in the words that docker's clients know.

use fault::{Fault, Kind};

use crate::machine::Refusal;

/// A failure of the containers service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this name, id or prefix of an id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// Several ids begin with this prefix.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    /// The image is for another platform.
    #[error("image with reference {image} was found but does not provide the specified platform ({wanted})")]
    NoSuchImageForPlatform {
        /// The image.
        image: String,
        /// The platform that was asked for.
        wanted: String,
    },
    /// No exec has this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// The name is taken.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The wanted name, without its slash.
        name: String,
        /// The id of the container that has it.
        owner: String,
    },
    /// The name breaks the rule for names.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    /// A container cannot be called so from now on.
    #[error("Error when allocating new name: {0}")]
    NewName(Box<Error>),
    /// No signal was sent to it.
    #[error("cannot kill container: {name}: {why}")]
    Kill {
        /// The container as it was named.
        name: String,
        /// Why not.
        why: Box<Error>,
    },
    /// A field of the request makes no sense; the text says which and why.
    #[error("{0}")]
    Invalid(String),
    /// A feature that this version does not have; the text names it.
    #[error("{0} is not available in this version of dhow")]
    NotAvailable(String),
    /// The present state of the container forbids it; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// It may not be done; the text says why.
    #[error("{0}")]
    Forbidden(String),
    /// The container is in the wished state already.
    #[error("{0}")]
    NotModified(String),
    /// A process could not be started; the text is the runtime's, the code 126, 127 or 128.
    #[error("{message}")]
    Launch {
        /// What the runtime said.
        message: String,
        /// The exit code that the record has for it.
        code: i32,
        /// What sort of failure it is.
        kind: Kind,
    },
    /// A path inside the container does not exist.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The path as it was asked for.
        path: String,
        /// The container as it was named.
        container: String,
    },
    /// A file of the container (log, record) could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: std::path::PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A system call that has no path failed.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The monitor did not answer as it must.
    #[error("the monitor of container {container} {problem}")]
    Monitor {
        /// The id of the container.
        container: String,
        /// What happened, as the rest of the sentence.
        problem: String,
    },
    /// A failure of another part, whose text and kind stand for themselves.
    #[error(transparent)]
    Part(Box<dyn Fault + Send + Sync>),
}

impl Error {
    /// Wraps a failure of another crate and keeps its text and kind.
    pub(crate) fn part(fault: impl Fault + Send + Sync + 'static) -> Self {
        Self::Part(Box::new(fault))
    }

    /// A failure of `create` that is not about the image. Clients take every «not found» there for a missing image and pull it.
    pub(crate) fn not_about_the_image(self) -> Self {
        if self.kind() == Kind::NotFound {
            Self::Invalid(self.to_string())
        } else {
            self
        }
    }

    /// The error behind a refusal, for the container called `name` with `id`.
    pub(crate) fn refused(refusal: Refusal, doing: &str, name: &str, id: &str) -> Self {
        match refusal {
            Refusal::AlreadyRunning => Self::NotModified(format!("container {id} is already running")),
            Refusal::AlreadyStopped => Self::NotModified(format!("container {id} is already stopped")),
            Refusal::NotRunning => Self::Conflict(format!("container {id} is not running")),
            Refusal::StartWhilePaused => {
                Self::Conflict("cannot start a paused container, try unpause instead".into())
            }
            Refusal::AlreadyPaused => Self::Conflict(format!("container {id} is already paused")),
            Refusal::NotPaused => Self::Conflict(format!("Container {id} is not paused")),
            Refusal::Restarting => Self::Conflict(format!(
                "Container {id} is restarting, wait until the container is running"
            )),
            Refusal::RemoveRunning { paused: true } => Self::Conflict(format!(
                "cannot remove container \"/{name}\": container is paused and must be unpaused first"
            )),
            Refusal::RemoveRunning { paused: false } => Self::Conflict(format!(
                "cannot remove container \"/{name}\": container is running: stop the container before removing \
                 or force remove"
            )),
            Refusal::RemoveRestarting => Self::Conflict(format!(
                "cannot remove container \"/{name}\": container is restarting: stop the container before removing \
                 or force remove"
            )),
            Refusal::RemovalInProgress => {
                Self::Conflict(format!("removal of container {name} is already in progress"))
            }
            Refusal::MarkedForRemoval => Self::Conflict(format!(
                "container is marked for removal and cannot be {}",
                past(doing)
            )),
            Refusal::WillNotDie => Self::Monitor {
                container: id.into(),
                problem: format!(
                    "could not {doing} it: it does not react to SIGKILL (a process in uninterruptible sleep?)"
                ),
            },
            Refusal::Freezing => Self::Conflict(format!(
                "container {id} is being paused or unpaused by another request"
            )),
            Refusal::LaunchFailed => Self::Launch {
                message: format!("container {id} failed to start"),
                code: crate::launch::UNKNOWN,
                kind: Kind::System,
            },
            Refusal::Failed(why) => Self::Conflict(format!("cannot {doing} container {name}: {why}")),
        }
    }
}

/// `start` -> `started`, for sentences.
fn past(doing: &str) -> String {
    match doing {
        "stop" => "stopped".into(),
        verb if verb.ends_with('e') => format!("{verb}d"),
        verb => format!("{verb}ed"),
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchExec(_)
            | Self::NoSuchPath { .. }
            | Self::NoSuchImageForPlatform { .. } => Kind::NotFound,
            Self::AmbiguousPrefix(_) | Self::InvalidName(_) | Self::Invalid(_) => Kind::InvalidParameter,
            Self::NameInUse { .. } | Self::Conflict(_) => Kind::Conflict,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::NotAvailable(_) => Kind::NotImplemented,
            Self::NotModified(_) => Kind::NotModified,
            Self::Launch { kind, .. } => *kind,
            Self::File { .. } | Self::System { .. } | Self::Monitor { .. } => Kind::System,
            Self::NewName(why) | Self::Kill { why, .. } => why.kind(),
            Self::Part(fault) => fault.kind(),
        }
    }
}
