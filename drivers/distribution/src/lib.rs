//! The registry protocol, seen from the client: find, authenticate, pull, push, resume.
//!
//! Knows HTTP, TLS and the distribution-spec, but neither images nor storage: manifests and blobs go through as bytes,
//! always verified. Everything is asked for by an [`Access`] to one repository of one registry, which lives as long as one
//! operation: its connections, tokens and TLS roots go with it, so that an idle daemon pays nothing. Whatever a registry
//! says is hostile: sizes are bounded, digests checked, redirects counted. Start at [`Access::open`]; a plain URL is
//! fetched by [`fetch`].

pub mod access;
mod auth;
pub mod blob;
pub mod challenge;
mod choice;
mod connect;
pub mod credentials;
pub mod endpoint;
pub mod error;
mod exchange;
pub mod fetch;
pub mod login;
pub mod manifest;
pub mod policy;
mod proxy;
pub mod search;
pub mod send;
mod session;
pub mod settings;
mod tls;
pub mod upload;
mod url;

pub use access::Access;
pub use blob::BlobStream;
pub use credentials::{Credentials, Keyring};
pub use error::DistributionError;
pub use manifest::{Document, Manifest};
pub use policy::{Demand, SignatureRule};
pub use proxy::Proxies;
pub use send::SendError;
pub use settings::{Limits, Mirror, Names, Settings};
pub use upload::{Mounted, Upload};
