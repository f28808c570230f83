//! Builds: a Dockerfile and a context become an image.
//!
//! text → syntax tree (`dockerfile`) → graph of stages (`plan`) → cached steps (`stage`, one state per stage) → image.
//! Everything up to the steps is pure. A step that runs a program is a container like all others; one that copies
//! writes the archive of its layer while it is unpacked and hashed; one that only changes the configuration
//! makes nothing but the image's row. Images of steps are the cache: a step is found again among the children of
//! the image before it. Start at [`Builds`].

mod bases;
mod cache;
mod configure;
mod context;
mod copy;
mod engine;
mod error;
mod plan;
mod progress;
mod request;
mod service;
mod stage;
mod step;

pub use error::BuildError;
pub use progress::{ProgressReceiver, ProgressSender, progress};
pub use request::{BuildRequest, Secret};
pub use service::{BuildPrune, Builds, OpenOptions};
