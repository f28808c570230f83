//! Named and anonymous volumes and their holds.
//!
//! Owns the names, labels and options of volumes and knows who uses them; where the data are is the matter of the
//! driver. Containers are not known here: whoever uses a volume takes a [`Hold`]. Start at [`Volumes`].

mod error;
mod hold;
mod service;
mod usage;

pub use error::VolumeError;
pub use hold::Hold;
pub use service::{CreateOptions, OpenOptions, Volume, Volumes};
pub use volume_drivers::Source;

/// The label that marks volumes whose name was generated.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";
