//! What can go wrong with layers.

use std::path::PathBuf;

use fault::{Fault, Kind};
use rustix::io::Errno;

use crate::Key;

/// Why an operation on a layer failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No driver has this name.
    #[error("unknown storage driver {name}; there are overlay2, btrfs and vfs{}", if name == "zfs" { " (zfs needs the zfs module, which is not part of Linux)" } else { "" })]
    UnknownDriver {
        /// The name asked for.
        name: String,
    },
    /// A driver does not work on this machine or file system.
    #[error("storage driver {driver} does not work in {root}: {problem}")]
    Unsupported {
        /// The driver.
        driver: &'static str,
        /// Its directory.
        root: PathBuf,
        /// What it lacks.
        problem: String,
    },
    /// The layers that are there belong to another driver, and images and containers with them.
    #[error(
        "{root} holds layers of the storage driver {found}, which {asked} cannot use: start with storage-driver {found}, or with another data-root"
    )]
    OtherDriver {
        /// The directory of all drivers.
        root: PathBuf,
        /// The driver that made them.
        found: &'static str,
        /// The one asked for.
        asked: String,
    },
    /// A driver cannot limit a layer.
    #[error(
        "storage driver {driver} cannot limit the size of a container's file system (--storage-opt size); btrfs can"
    )]
    NoLimit {
        /// The driver.
        driver: &'static str,
    },
    /// A name cannot be a layer's.
    #[error("{name:?} cannot be the name of a layer")]
    BadKey {
        /// The name.
        name: String,
    },
    /// There is no such layer.
    #[error("layer {key}: not found")]
    NotFound {
        /// Its name.
        key: Key,
    },
    /// There is such a layer already.
    #[error("layer {key} exists already")]
    Exists {
        /// Its name.
        key: Key,
    },
    /// The file system refused.
    #[error("layer {key}: {step} {path}: {source}")]
    File {
        /// The layer (or the driver's name).
        key: String,
        /// What was tried.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
    /// A recipe did not become a mount.
    #[error("layer {key}: {source}")]
    Mount {
        /// The layer.
        key: Key,
        /// Why.
        source: linux::mount::recipe::RecipeError,
    },
    /// A layer could not be packed or compared.
    #[error("layer {key}: {source}")]
    Archive {
        /// The layer.
        key: Key,
        /// Why.
        source: archive::PackError,
    },
}

impl Fault for StorageError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownDriver { .. } | Self::BadKey { .. } | Self::NoLimit { .. } => Kind::InvalidParameter,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Exists { .. } => Kind::Conflict,
            Self::Unsupported { .. }
            | Self::OtherDriver { .. }
            | Self::File { .. }
            | Self::Mount { .. }
            | Self::Archive { .. } => Kind::System,
        }
    }
}
