//! The parent of one container: stdio, terminal, logs, exit record; and the protocol that the daemon speaks with it.
//!
//! The daemon's half: fill a [`plan::Plan`], [`spawn()`] the monitor, speak [`protocol`] over the [`channel::Channel`] it
//! returns; after a restart [`channel::Channel::connect`] to `monitor.sock`. An exec and a file operation are processes of
//! their own with the same plumbing ([`spawn_exec`], [`spawn_files`]).
//!
//! The monitor's half is the faces of `dhow-runtime` ([`face`]): single-threaded, synchronous, one epoll loop.
//! This crate knows no images, networks or volumes: a plan has only paths, numbers and open files.

pub mod channel;
mod compress;
pub mod detach_keys;
pub mod face;
mod files;
mod inherit;
mod init;
mod other_runtime;
pub mod plan;
mod prepare;
pub mod protocol;
mod proxy;
mod pump;
mod reactor;
mod record;
mod spawn;
mod supervise;
mod users;
mod write_log;

pub use prepare::PrepareError;
pub use spawn::{CONTROL_FD, FIRST_FD, PLAN_FD, SpawnError, Spawned, spawn, spawn_exec, spawn_files};
pub use users::UserError;

/// This very program, for starting another face of it.
fn own_program() -> linux::Result<std::os::fd::OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/exe", flags, rustix::fs::Mode::empty())
}

/// Numbers of signals, the same on all architectures (signal(7)).
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
