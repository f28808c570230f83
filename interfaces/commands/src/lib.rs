//! The docker-compatible command line: one file per command.
//!
//! [`main`] reads the arguments, finds the command in the tree ([`tree`]) and runs it. A command is a table of flags,
//! a call or two on the [`client`], and something printed: `container/run.rs` is `dhow run`. Around them: `flags`
//! (docker's way of reading flags), `template` (`--format`), `list` and `table` (what lists look like), `units`,
//! `streams` (attached terminals), `app` (which daemon, which settings). This crate decides nothing about containers;
//! it is the only one that prints.

mod app;
mod builder;
mod completion;
mod console;
mod container;
mod context;
mod credentials;
mod failure;
mod flags;
mod help;
mod image;
mod inspect;
mod list;
mod login;
mod logout;
mod manifest;
mod network;
mod prune;
mod search;
mod streams;
mod system;
mod table;
mod template;
mod tree;
mod trust;
mod units;
mod volume;

pub use container::create_request;
pub use template::format;
pub use tree::main;
