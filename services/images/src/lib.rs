//! Images: tags, configurations, layers, holds, load, save, import, commit, prune.
//!
//! Owns what an image is: its configuration (whose digest is its id), its names, its layers, and who still needs
//! them. Containers, volumes and networks are not known here: whoever uses an image takes a [`Hold`], and the
//! writable layer of a container is only a directory with an owner's id. Start at [`Images`].
//!
//! Reads ([`Images::resolve`], [`Images::list`], …) look at memory and never wait. Everything that changes the
//! disk is `async` and runs on the blocking pool.

mod build;
pub mod changes;
mod container_layer;
mod error;
mod hold;
mod image;
mod layers;
mod load;
mod lookup;
mod make;
mod names;
mod remove;
mod save;
mod service;
mod state;
mod transfer;

pub use build::{BuiltLayer, FilterArchive, WriteArchive};
pub use container_layer::{ContainerLayer, ContainerSize};
pub use error::ImageError;
pub use hold::{Hold, Use};
pub use image::Image;
pub use load::Progress;
pub use lookup::LayerUsage;
pub use make::{CommitOptions, ImportOptions};
pub use remove::RemoveOptions;
pub use service::{Images, OpenOptions};
pub use transfer::{InputReader, InputSender, OutputWriter, input, output};
