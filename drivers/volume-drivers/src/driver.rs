//! The trait that every volume driver implements.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use fault::{Fault, Kind};
use serde::{Deserialize, Serialize};

/// The options that a volume was made with.
pub type Options = BTreeMap<String, String>;

/// Whether a volume is the same one on all machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On this machine only.
    Local,
    /// In the whole cluster.
    Global,
}

impl Scope {
    /// Docker's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

/// What to mount into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A directory (or file) of the host, to be bound. An empty one takes over what the image has at the mount's
    /// place (copy-up).
    Bind {
        /// Where it is.
        path: PathBuf,
        /// Further mount options, such as `ro` or `rbind`.
        options: Vec<String>,
    },
    /// A file system, to be mounted in the container's mount namespace.
    FileSystem {
        /// Its type: `nfs`, `tmpfs`, `ext4`.
        kind: String,
        /// The device or the remote path.
        device: String,
        /// Mount options.
        options: Vec<String>,
    },
}

/// Why a driver failed; the texts are those of Docker's local driver.
#[derive(Debug, thiserror::Error)]
pub enum VolumeDriverError {
    /// The name has one character.
    #[error("volume name is too short, names should be at least two alphanumeric characters")]
    NameTooShort,
    /// The name has other characters than allowed.
    #[error(
        "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    NameCharacters {
        /// The name.
        name: String,
    },
    /// The name is longer than a file name can be.
    #[error("volume name is too long, names should be at most 249 characters")]
    NameTooLong,
    /// The driver has no such option.
    #[error("invalid option: {0:?}")]
    UnknownOption(String),
    /// An option needs another one.
    #[error("missing required option: {0:?}")]
    MissingOption(&'static str),
    /// A size was asked for, and the file system has no quotas.
    #[error("quota size requested but no quota support")]
    NoQuota,
    /// The host name in the option `addr` does not resolve.
    #[error("error resolving passed in network volume address {address:?}: {source}")]
    Resolve {
        /// The host name.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The file system refused.
    #[error("{step} {path}: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Fault for VolumeDriverError {
    fn kind(&self) -> Kind {
        match self {
            Self::File { .. } => Kind::System,
            Self::Resolve { .. } => Kind::Unavailable,
            _ => Kind::InvalidParameter,
        }
    }
}

/// A way to keep volumes. Every method is synchronous and may block on the disk; the caller does not run two on
/// one name at the same time.
///
/// The life of a volume: [`Driver::validate`], [`Driver::claim`], then the caller writes its row, then
/// [`Driver::create`]. After a crash, `create` is repeated for every row, and what was claimed without a row is
/// removed by [`Driver::sweep`].
pub trait Driver: Send + Sync + std::fmt::Debug {
    /// `local`, …
    fn name(&self) -> &str;

    /// Whether its volumes are the same ones on all machines.
    fn scope(&self) -> Scope;

    /// Whether a volume may have this name and these options.
    ///
    /// # Errors
    /// [`VolumeDriverError`] with Docker's text.
    fn validate(&self, name: &str, options: &Options) -> Result<(), VolumeDriverError>;

    /// Makes everything but the name: the volume is not there until [`Driver::create`].
    ///
    /// # Errors
    /// [`VolumeDriverError::File`].
    fn claim(&self, name: &str) -> Result<(), VolumeDriverError>;

    /// Makes the volume; one that is there already stays as it is.
    ///
    /// # Errors
    /// [`VolumeDriverError::File`].
    fn create(&self, name: &str) -> Result<(), VolumeDriverError>;

    /// Where the volume's files are on the host.
    fn mountpoint(&self, name: &str) -> PathBuf;

    /// What to mount into a container that uses the volume.
    ///
    /// # Errors
    /// [`VolumeDriverError::Resolve`].
    fn source(&self, name: &str, options: &Options) -> Result<Source, VolumeDriverError>;

    /// Removes the volume with all it holds; one that is not there is fine. It is out of the way at once even if
    /// deleting takes long, and does not come back after a crash.
    ///
    /// # Errors
    /// [`VolumeDriverError::File`].
    fn remove(&self, name: &str) -> Result<(), VolumeDriverError>;

    /// Deletes what was claimed but never created and what was half removed; returns the names of all volumes.
    ///
    /// # Errors
    /// [`VolumeDriverError::File`].
    fn sweep(&self) -> Result<Vec<String>, VolumeDriverError>;
}
