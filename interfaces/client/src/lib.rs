//! The Engine API seen from outside: unix sockets, TCP and ssh.
//!
//! [`Client`] opens connections to one [`Endpoint`], agrees with the daemon on an API version, and has one method
//! per call of the API, grouped by noun (`containers.rs`, `images.rs`, ...). Replies that are only shown come back
//! as bytes ([`Reply::bytes`]), so that nothing in them is lost; attached streams come back as a [`Hijacked`]
//! connection of plain file descriptors. It knows HTTP and the API's paths; it prints nothing and decides nothing.
//! Start at [`Client::new`] and [`call::Call`].

mod builds;
pub mod call;
mod connection;
mod containers;
mod documents;
mod endpoint;
mod error;
mod exec;
pub mod frames;
mod hijack;
mod images;
mod networks;
mod query;
mod stream;
mod system;
mod volumes;

pub use builds::ListedContext;
pub use call::{Body, Reply};
pub use connection::{Client, NEWEST};
pub use containers::{AttachOptions, LogsOptions, WaitCondition, parse_stat};
pub use documents::{Document, Remote, Signature};
pub use endpoint::{DEFAULT_HOST, Endpoint};
pub use error::ClientError;
pub use hijack::{Hijacked, InputHalf};
pub use images::ImportOptions;
pub use query::Query;
pub use system::Ping;
