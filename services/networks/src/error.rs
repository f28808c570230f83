//! Why a request about networks failed, in Docker's words.

use fault::{Fault, Kind};

/// The error of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such network.
    #[error("network {0} not found")]
    NotFound(String),
    /// The prefix of an id fits several networks.
    #[error("network {0} is ambiguous ({1} matches found on ID prefix)")]
    Ambiguous(String, usize),
    /// The name is taken.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// No driver of this name.
    #[error("could not find plugin {0} in v1 plugin registry: plugin not found")]
    NoDriver(String),
    /// A second network `host` or `none`.
    #[error("only one instance of \"{0}\" network is allowed")]
    OnlyOne(String),
    /// Docker has it, dhow has it not yet.
    #[error("{0} is not available in this version of dhow")]
    Unavailable(String),
    /// `bridge`, `host` or `none`.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// An operation that the predefined network does not allow.
    #[error("operation is not permitted on predefined {0} network")]
    PredefinedOperation(String),
    /// Containers are in it.
    #[error("error while removing network: network {name} has active endpoints ({endpoints})")]
    ActiveEndpoints {
        /// The network.
        name: String,
        /// `name:"web" id:"0123456789ab"`, joined by commas.
        endpoints: String,
    },
    /// Somebody holds it.
    #[error("error while removing network: network {name} id {id} is in use by {holder}")]
    Held {
        /// The network.
        name: String,
        /// Its id.
        id: String,
        /// The hold's label.
        holder: String,
    },
    /// The container is in that network already.
    #[error("endpoint with name {container} already exists in network {network}")]
    AlreadyConnected {
        /// The container's name.
        container: String,
        /// The network's name.
        network: String,
    },
    /// A host port could not be had.
    #[error("driver failed programming external connectivity on endpoint {endpoint} ({id}): {source}")]
    Publish {
        /// The container's name.
        endpoint: String,
        /// The endpoint's id.
        id: String,
        /// What happened, in Docker's words.
        source: network_drivers::port::Error,
    },
    /// The address is taken or outside the subnet, or there is none left.
    #[error("{0}")]
    Address(#[from] network_drivers::ipam::Error),
    /// The kernel refused.
    #[error("{0}")]
    Driver(#[from] network_drivers::Error),
    /// The tables could not be read or written.
    #[error("{0}")]
    Store(#[from] durable::StoreError),
    /// The watch over the firewall could not begin.
    #[error("watch the firewall: {0}")]
    Watch(#[source] std::io::Error),
    /// Asked after [`crate::Networks::shutdown`], while the process ends.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// The `resolv.conf` could not be read.
    #[error("read {path}: {source}")]
    ResolvConf {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NotFound(_) | Error::NoDriver(_) => Kind::NotFound,
            Error::Ambiguous(..) | Error::Invalid(_) => Kind::InvalidParameter,
            Error::Exists(_) | Error::Held { .. } => Kind::Conflict,
            Error::Predefined(_)
            | Error::OnlyOne(_)
            | Error::PredefinedOperation(_)
            | Error::ActiveEndpoints { .. }
            | Error::AlreadyConnected { .. } => Kind::Forbidden,
            Error::Unavailable(_) => Kind::NotImplemented,
            Error::ShuttingDown => Kind::Unavailable,
            Error::Publish { .. } | Error::ResolvConf { .. } | Error::Watch(_) => Kind::System,
            Error::Address(e) => e.kind(),
            Error::Driver(e) => e.kind(),
            Error::Store(e) => e.kind(),
        }
    }
}
