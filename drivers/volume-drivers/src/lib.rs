//! Volume drivers: local.
//!
//! A driver keeps directories (or knows where file systems come from) under names that its caller chose. It may
//! not know who uses a volume, nor labels. Nothing is mounted on the host: [`Driver::source`] *describes* what a
//! container's monitor mounts into the container. Start at [`Driver`].

pub mod driver;
pub mod local;

pub use driver::{Driver, Options, Scope, Source, VolumeDriverError};
pub use local::Local;
