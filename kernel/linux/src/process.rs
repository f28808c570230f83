//! Processes: creating, executing, signalling, waiting.
//!
//! Two ways of making one: [`clone3`] for a single-threaded program that goes on running Rust in the child (the runtime
//! making a container's init), and [`Spawn`] for any program, also a multi-threaded one, that wants another program run.

mod attributes;
mod clone;
mod entry;
mod exec;
mod identity;
mod memory;
mod pidfd;
mod spawn;

pub use attributes::{
    Scheduler, clear_child_signals, new_session_keyring, personality, set_child_subreaper, set_dumpable,
    set_io_priority, set_keep_capabilities, set_memory_policy, set_no_new_privileges,
    set_parent_death_signal, set_scheduler,
};
pub use clone::{CloneArgs, Cloned, clone3, thread_count};
pub use exec::{CStringArray, exit_now};
pub use identity::{ProcessId, boot_id, start_time};
pub use memory::{bound_free_memory, release_free_memory, release_program, share_heap};
pub use pidfd::{Exit, pidfd_open, reap, send_signal, wait};
pub use spawn::{Child, Program, Spawn};
