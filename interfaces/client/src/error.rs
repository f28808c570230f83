//! What can go wrong between a client and a daemon.

use fault::{Fault, Kind};

use crate::Endpoint;

/// Why a call failed. The texts are those that users and scripts know from docker.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address given is none.
    #[error("unable to parse docker host `{0}`")]
    BadHost(String),
    /// Nobody listens there.
    #[error("Cannot connect to the Docker daemon at {0}. Is the docker daemon running?")]
    NoDaemon(Endpoint),
    /// The socket's permissions forbid it.
    #[error("permission denied while trying to connect to the Docker daemon socket at {0}: {1}")]
    Permission(Endpoint, #[source] std::io::Error),
    /// The connection could not be made for another reason.
    #[error("error during connect: {endpoint}: {source}")]
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The daemon answered with an error.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// HTTP status.
        status: u16,
        /// The daemon's words.
        message: String,
    },
    /// The connection broke while a request or a reply was under way.
    #[error("error during connect: {method} {path}: {source}")]
    Broken {
        /// Method of the request.
        method: &'static str,
        /// Path of the request, with the version.
        path: String,
        /// What the connection said.
        #[source]
        source: hyper::Error,
    },
    /// The reply is not what the API says.
    #[error("unexpected reply to {path}: {source}")]
    BadReply {
        /// Path of the request.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The reply is larger than any honest daemon's.
    #[error("reply to {path} is larger than {limit} bytes")]
    TooLarge {
        /// Path of the request.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The daemon did not hand over the connection.
    #[error("unable to upgrade to tcp, received {status}")]
    NotUpgraded {
        /// HTTP status.
        status: u16,
    },
    /// The command needs a newer daemon.
    #[error("\"{what}\" requires API version {needs}, but the Docker daemon API version is {has}")]
    TooOld {
        /// What was asked for.
        what: String,
        /// Version needed.
        needs: api_types::ApiVersion,
        /// Version agreed on.
        has: api_types::ApiVersion,
    },
    /// A hijacked connection could not be turned into plain descriptors.
    #[error("cannot take over the connection to {path}: {source}")]
    Hijack {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An object of this kind is asked for by a name that is empty.
    #[error("invalid {0} name or ID: value is empty")]
    NoName(&'static str),
    /// A container's name is nothing but slashes.
    #[error("container name cannot be empty")]
    NoContainerName,
    /// A request that cannot be written down, such as a path with a line break.
    #[error("invalid request: {0}")]
    BadRequest(String),
}

impl ClientError {
    /// The HTTP status, if the daemon answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Daemon { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// True if the daemon said that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// True if the daemon could not be reached, or went away in the middle.
    pub fn is_lost_connection(&self) -> bool {
        matches!(
            self,
            Self::NoDaemon(_) | Self::Permission(..) | Self::Connect { .. } | Self::Broken { .. }
        )
    }

    /// The daemon's own words, without the prefix that says that they are the daemon's.
    pub fn message(&self) -> String {
        match self {
            Self::Daemon { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }
}

impl Fault for ClientError {
    fn kind(&self) -> Kind {
        match self {
            Self::BadHost(_) | Self::BadRequest(_) | Self::NoName(_) | Self::NoContainerName => {
                Kind::InvalidParameter
            }
            Self::NoDaemon(_) | Self::Connect { .. } | Self::Broken { .. } => Kind::Unavailable,
            Self::Permission(..) => Kind::Forbidden,
            Self::Daemon { status, .. } => match status {
                400 => Kind::InvalidParameter,
                401 => Kind::Unauthorized,
                403 => Kind::Forbidden,
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                501 => Kind::NotImplemented,
                503 => Kind::Unavailable,
                _ => Kind::System,
            },
            Self::TooOld { .. } => Kind::NotImplemented,
            Self::BadReply { .. }
            | Self::TooLarge { .. }
            | Self::NotUpgraded { .. }
            | Self::Hijack { .. } => Kind::System,
        }
    }
}
