//! Why the kernel or the socket refused.

use fault::{Fault, Kind};
use rustix::io::Errno;

/// The error of everything in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel answered a request with an error.
    #[error("{doing}: {}{}", std::io::Error::from(*errno), detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// What was asked for.
        doing: String,
        /// The kernel's error.
        errno: Errno,
        /// The kernel's explanation (extended acknowledgement), where it gave one.
        detail: Option<String>,
    },
    /// The socket itself failed.
    #[error("netlink socket: {doing}: {source}")]
    Socket {
        /// The system call.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// An answer that does not follow the protocol.
    #[error("netlink: malformed answer to: {0}")]
    Malformed(String),
    /// A name longer than the kernel's limit or with a byte that it forbids.
    #[error("invalid link name {0:?}")]
    LinkName(String),
    /// No link of this name.
    #[error("no such link: {0}")]
    NoLink(String),
    /// A sysctl could not be read or written.
    #[error("sysctl {path}: {source}")]
    Sysctl {
        /// The file under /proc/sys.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the kernel refused with this error.
    pub fn is(&self, wanted: Errno) -> bool {
        matches!(self, Error::Refused { errno, .. } if *errno == wanted)
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::System
    }
}

/// Turn «it is there already» into success.
pub(crate) fn allow_existing(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(e) if e.is(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Turn «it is gone already» into success.
pub(crate) fn allow_missing(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(e)
            if [Errno::NOENT, Errno::SRCH, Errno::NODEV, Errno::ADDRNOTAVAIL]
                .iter()
                .any(|n| e.is(*n)) =>
        {
            Ok(())
        }
        other => other,
    }
}
