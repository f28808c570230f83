//! What can go wrong with volumes; the texts are Docker's.

use fault::{Fault, Kind};
use volume_drivers::VolumeDriverError;

/// Why an operation on a volume failed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// There is no such volume.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// Somebody uses it.
    #[error("remove {name}: volume is in use - [{}]", owners.join(", "))]
    InUse {
        /// Its name.
        name: String,
        /// The ids of those who hold it.
        owners: Vec<String>,
    },
    /// No driver has this name.
    #[error("{operation} {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found")]
    NoDriver {
        /// What was to be done.
        operation: &'static str,
        /// The volume's name.
        name: String,
        /// The driver's name.
        driver: String,
    },
    /// A volume of that name belongs to another driver.
    #[error(
        "create {name}: conflict: driver \"{driver}\" already has volume \"{name}\": volume name must be unique"
    )]
    OtherDriver {
        /// Its name.
        name: String,
        /// The driver that has it.
        driver: String,
    },
    /// The driver failed.
    #[error("{operation} {name}: {source}")]
    Driver {
        /// What was to be done.
        operation: &'static str,
        /// The volume's name.
        name: String,
        /// Why it failed.
        source: VolumeDriverError,
    },
    /// The driver could not say what it has.
    #[error("list the volumes of driver {driver}: {source}")]
    Sweep {
        /// The driver's name.
        driver: String,
        /// Why it failed.
        source: VolumeDriverError,
    },
    /// The row of a volume could not be read or written.
    #[error("{operation} {name}: {source}")]
    Store {
        /// What was to be done.
        operation: &'static str,
        /// The volume's name.
        name: String,
        /// Why it failed.
        source: durable::StoreError,
    },
    /// A filter is refused.
    #[error("{0}")]
    Filter(api_types::filters::FilterError),
    /// The daemon is ending.
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

impl Fault for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoDriver { .. } => Kind::NotFound,
            Self::InUse { .. } | Self::OtherDriver { .. } => Kind::Conflict,
            Self::Driver { source, .. } | Self::Sweep { source, .. } => source.kind(),
            Self::Store { source, .. } => source.kind(),
            Self::Filter(_) => Kind::InvalidParameter,
            Self::ShuttingDown => Kind::Unavailable,
        }
    }
}
