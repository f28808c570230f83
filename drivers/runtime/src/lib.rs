//! The OCI runtime library: compiles a spec to an init program and executes it after clone3.
//!
//! [`create`] makes a container whose init waits; [`Created::start`] lets it execute. [`exec`] runs one more process in a
//! container that exists. Both first [`compile()`] the spec to a [`Program`](program::Program), a list of steps whose strings exist already;
//! after `clone3` the child only walks that list ([`init`]): no allocation, no parsing, no logging. What fails there comes
//! up one socket as (step, errno), and the parent renders the sentence. So the set-up of a container can be tested without
//! root, as a snapshot of its program.
//!
//! The caller must have one thread. This crate must not know images, networks or Docker's API.

mod cgroup_view;
mod channel;
pub mod cli;
mod cloning;
mod compile;
mod conversation;
mod create;
mod error;
mod exec;
mod home;
mod hooks;
mod id_map;
mod init;
mod net_devices;
pub mod program;
pub mod resctrl;
mod user_maps;

pub use compile::{CgroupMount, CompileError, Options, SHARED_MEMORY, Streams, compile, device_rules};
pub use create::{CreateOptions, Created, RootfsSource, Stdio, create};
pub use error::{Error, ExecFailure, errno_text};
pub use exec::{ExecOptions, Target, exec};
