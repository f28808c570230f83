//! Engine API bodies, one file per noun, and the rules that depend on the API version.
//!
//! The structs have the field names, the `null`/`[]`/omitted rules and the zero values of the replies of Docker
//! Engine 28 and 29 (API 1.24 to 1.56); fields that only some versions have are `Option`s or have a gate in
//! `http-api`. What a list or map looks like when nothing is in it follows from its Rust type:
//!
//! * `Vec<T>`, `BTreeMap<K, V>`: always there, `[]` or `{}` (Go: made with `make`);
//! * `Option<Vec<T>>`: `null` when `None` (Go: a nil slice), unless an `omit::` rule leaves it out.
//!
//! Bodies that come from outside are read with [`decode::from_slice`], which has the leniency of Go's decoder:
//! `null` for everything, keys in any case, unknown keys ignored. This crate knows no service and no I/O.

pub mod container;
pub mod decode;
pub mod descriptor;
pub mod error;
pub mod event;
pub mod exec;
pub mod filters;
pub mod image;
pub mod network;
pub mod omit;
pub mod progress;
pub mod size;
pub mod system;
pub mod version;
pub mod volume;

pub use error::ErrorResponse;
pub use filters::Filters;
pub use version::ApiVersion;
