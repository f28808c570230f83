//! Why a driver failed.

use fault::{Fault, Kind};

/// The error of all network drivers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a change.
    #[error("{doing} {what}: {source}")]
    Kernel {
        /// What was tried: «make bridge».
        doing: &'static str,
        /// On which object.
        what: String,
        /// What the kernel said.
        source: netlink::Error,
    },
    /// A network namespace could not be made or entered.
    #[error("network namespace: {doing}: {source}")]
    Namespace {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A link of this name exists and is something else.
    #[error("link {0} exists and is not a bridge")]
    NotABridge(String),
}

impl Error {
    /// For `map_err`.
    pub(crate) fn kernel(doing: &'static str, what: &str) -> impl FnOnce(netlink::Error) -> Error {
        move |source| Error::Kernel {
            doing,
            what: what.to_owned(),
            source,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NotABridge(_) => Kind::Conflict,
            Error::Kernel { .. } | Error::Namespace { .. } => Kind::System,
        }
    }
}
