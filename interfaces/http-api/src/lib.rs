//! The Docker Engine REST API: one route table, short handlers.
//!
//! This crate translates: a request becomes one call on one service, the service's value becomes a reply in the
//! shape that the client's API version expects. It decides nothing about containers, images, volumes or networks;
//! the only table from failure to status is in `error.rs`, what differs between versions is in `gates.rs`.
//!
//! Start at `routes.rs`: every endpoint is one line there. `server.rs` accepts connections, `hijack.rs` gives the
//! raw socket of an attach or exec to whoever serves its stream.

mod body;
mod buildkit;
mod builds;
mod call;
mod containers;
mod daemon;
mod disk_usage;
mod error;
mod events;
mod exec;
mod gates;
mod hijack;
mod images;
mod instant;
mod missing;
mod networks;
mod query;
mod reply;
mod router;
mod routes;
mod server;
mod system;
mod volumes;
mod websocket;

pub use daemon::Daemon;
pub use query::Query;
pub use routes::Api;
pub use server::{Listener, serve};
