//! BuildKit's own protocol: gRPC over connections that were HTTP until they were upgraded.
//!
//! Clients open a *session* (`POST /session`), on which the daemon calls them: for their files, secrets, ssh agents and
//! credentials, and to hand results over. They ask for builds by `POST /build?version=2` (docker's command) or by the
//! service `Control` (`POST /grpc`, buildx). Everything becomes one [`builds::BuildRequest`]: Dockerfiles are built by the
//! house's own builder. This crate knows gRPC and BuildKit's messages, nothing of HTTP's routes and nothing of how a step
//! is made. Start at [`BuildKit`]; who sends what is drawn in `docs/formats/buildkit.md`.

mod agents;
mod attributes;
mod board;
mod bridge;
mod contexts;
mod control;
mod disk;
mod export;
mod grpc;
mod job;
mod service;
mod session;
mod sync;
mod trace;
mod upload;

pub use service::{BuildKit, Line, Order, Refused};
