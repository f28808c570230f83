//! gRPC over HTTP/2, as far as BuildKit speaks it: messages with a length in front, metadata in headers, the outcome in
//! trailers. Source: gRPC's `PROTOCOL-HTTP2.md`. Nothing of BuildKit is known here.

mod client;
mod frame;
mod server;
mod status;

pub(crate) use client::{Answers, Channel, Questions};
pub(crate) use server::{Method, Reply, serve, stream, unary};
pub(crate) use status::{Code, Status};

/// The longest message that is read, in bytes: BuildKit's own limit.
pub(crate) const LONGEST: usize = 16 << 20;
