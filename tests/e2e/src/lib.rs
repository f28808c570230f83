//! End-to-end tests: a real `dhowd`, driven by `dhow` and by every docker command found.
//!
//! [`daemon`] starts one with roots, socket and bridge of its own; [`for_each_client`] repeats a test with each command.
//! How to write a test: `docs/guides/end-to-end-tests.md`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // what a test has to say goes to its log

mod clients;
mod daemon;
pub mod http;
pub mod image;
mod leftovers;
mod screen;
mod terminal;

pub use clients::{Client, Output, clients, for_each_client};
pub use daemon::{Daemon, Settings, daemon, daemon_with, shared_daemon};
pub use leftovers::{Leftovers, tree};
pub use screen::Screen;
pub use terminal::Terminal;

use std::path::PathBuf;

/// The folder with the four binaries: `DHOW_TEST_BINARIES`, else `target/e2e` of this workspace.
pub fn binaries() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e");
    std::env::var_os("DHOW_TEST_BINARIES")
        .filter(|path| !path.is_empty())
        .map_or_else(own, PathBuf::from)
}

/// Whether the long tests are wanted (`cargo xtask test --full`).
pub fn full() -> bool {
    std::env::var_os("DHOW_TEST_FULL").is_some()
}

/// How long anything may take before it counts as hung. No test asserts a speed: an emulated machine is a hundred times
/// as slow as a quiet one.
pub const LONGEST: std::time::Duration = std::time::Duration::from_secs(180);

/// Asks again until `done` says so; panics after [`LONGEST`] with what did not happen.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + LONGEST;
    while !done() {
        assert!(std::time::Instant::now() < end, "{what}: not within {LONGEST:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
