//! Control groups v1, v2 and hybrid: create, limit, freeze, kill and measure.
//!
//! A [`Layout`] says which hierarchies this machine has; a [`Cgroup`] is one named group in all of them at once. Both
//! versions are behind the same methods, limits are given as the runtime-spec gives them. Everything is synchronous
//! and walks from directory descriptors, so that a moved mount or a symlink cannot lead elsewhere.
//!
//! Groups that systemd makes are behind the same methods; [`systemd`] asks for them.
//!
//! This crate must not know containers, images or Docker's API. Start at [`Cgroup::create`].

mod cgroup;
mod device_filter;
mod dir;
mod error;
mod layout;
mod limits;
mod oom;
mod signal;
mod stats;
pub mod systemd;

pub use cgroup::{Cgroup, Place};
pub use error::Error;
pub use layout::{Features, Hierarchy, Layout, Mode};
pub use oom::OomEvents;
pub use stats::{
    BlockIoEntry, BlockIoStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Pressure, PressureLine, Stats,
};

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;
