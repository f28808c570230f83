//! Builds: a Dockerfile and a context become an image.
//!
//! text → syntax tree (`dockerfile`) → graph of stages (`plan`) → cached steps (`stage`, one state per stage) → image.
//! Everything up to the steps is pure. A step that runs a program is a container like all others; one that copies
//! writes the archive of its layer while it is unpacked and hashed; one that only changes the configuration
//! makes nothing but the image's row. Images of steps are the cache: a step is found again among the children of
//! the image before it. Start at [`Builds`].

mod bases;
mod cache;
mod check;
mod client;
mod configure;
mod context;
mod contexts;
mod copy;
mod engine;
mod error;
mod needs;
mod plan;
mod progress;
mod prune;
mod receive;
mod request;
mod service;
mod sources;
mod stage;
mod step;
mod turns;
mod usage;

pub use api_types::progress::StepEvent;
pub use client::{Answer, Client};
pub use context::{Body, Context, Source, open as open_context, unpack};
pub use error::BuildError;
pub use needs::Needs;
pub use progress::{ProgressReceiver, ProgressSender, progress, step_events, step_messages};
pub use prune::{Prunable, PruneOptions, Pruned};
pub use request::{BuildRequest, Directory, Secret};
pub use service::{Builds, Finished, OpenOptions, size_of};
pub use usage::{Usage, note};
