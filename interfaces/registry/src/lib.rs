//! A registry: the OCI distribution protocol (distribution-spec 1.1) over the blob store.
//!
//! [`Registry`] answers requests, [`serve`] brings them from a socket. `route.rs` reads paths; `manifests.rs`,
//! `blob_requests.rs`, `uploads.rs` and `listings.rs` answer; `state.rs` holds the tables (repositories, manifests, tags, who may
//! see which blob), `content/` the bytes. `error.rs` is the only place that knows the codes of the protocol.
//!
//! It may not know images, containers or the daemon.

mod access_log;
mod auth;
mod blob_requests;
mod body;
mod claims;
mod conditions;
pub mod config;
mod content;
mod error;
mod listings;
mod manifest;
mod manifests;
mod metrics;
mod monitoring;
mod notify;
mod pattern;
mod policy;
mod query;
mod registry;
mod reply;
mod route;
mod server;
mod state;
mod sweep;
mod tls;
mod token_requests;
mod uploads;
mod upstreams;

pub use auth::{Action, AuthError, KeyError, UsersError};
pub use config::Config;
pub use content::ContentError;
pub use registry::{OpenError, Registry};
pub use server::{Stopping, serve};
pub use sweep::{SweepError, Swept};
pub use tls::TlsError;
pub use upstreams::UpstreamError;
