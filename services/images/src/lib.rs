//! Images: tags, configurations, layers, holds, pull, push, load, save, import, commit, prune.
//!
//! Owns what an image is: its configuration (whose digest is its id), its names, its layers, and who still needs
//! them. Containers, volumes and networks are not known here: whoever uses an image takes a [`Hold`], and the
//! writable layer of a container is only a directory with an owner's id. Start at [`Images`].
//!
//! Reads ([`Images::resolve`], [`Images::list`], …) look at memory and never wait. Everything that changes the
//! disk is `async` and runs on the blocking pool.

mod bar;
mod build;
pub mod changes;
mod chunks;
mod collect;
mod compare;
mod container_layer;
mod copy;
mod documents;
mod error;
mod files;
mod given_up;
mod hold;
mod image;
mod import_url;
mod layers;
mod load;
mod login;
mod lookup;
mod make;
mod names;
mod origins;
mod platforms;
mod pull;
mod push;
mod registries;
mod remove;
mod save;
mod service;
mod spool;
mod squash;
mod state;
mod transfer;

pub use build::{BuiltLayer, FilterArchive, FindFile, WriteArchive};
pub use collect::GcPolicy;
pub use compare::shown_change;
pub use container_layer::{ContainerLayer, ContainerSize};
pub use copy::CopyOptions;
pub use documents::{Asked, SMALL_BLOB};
pub use error::ImageError;
pub use hold::{Hold, Use};
pub use image::Image;
pub use load::{LoadOptions, Progress};
pub use lookup::LayerUsage;
pub use make::{CommitOptions, ImportOptions};
pub use pull::{PullOptions, RemoteImage};
pub use push::PushOptions;
pub use registries::RegistryOptions;
pub use remove::RemoveOptions;
pub use save::SaveOptions;
pub use service::{Images, OpenOptions, StorageOptions};
pub use squash::SquashOptions;
pub use transfer::{InputReader, InputSender, OutputWriter, input, output};
