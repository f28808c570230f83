//! The content-addressed store: ingest, verify, read, sweep.
//!
//! [`Store`] keeps bytes under their SHA-256 name and nothing else: what they mean and who needs them is known by
//! those above. A blob appears whole or not at all and survives a power loss once its name is returned.
//! Beside it: [`compression`] (what a stream is packed with, by its first bytes) and [`pipeline`] (decompress, hash
//! and consume on three threads), [`uploads`] (content that arrives in pieces). Synchronous; may not know registries or images.

pub mod compression;
pub mod error;
pub mod pipeline;
pub mod store;
pub mod uploads;

pub use compression::{Compression, Decoder, decompress};
pub use error::BlobError;
pub use pipeline::{Hashed, hash_while};
pub use store::{Blob, BlobWriter, Store};
pub use uploads::{Unfinished, Upload, Uploads};
