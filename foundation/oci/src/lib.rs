//! OCI runtime-spec and image-spec types, digests, references, platforms and durations: pure data.
//!
//! Nothing here touches a file, a socket or the kernel. Start at [`reference`] for names of images, at
//! [`digest`] for content addresses and at [`image`] for the JSON documents they point to.

pub mod chain_id;
pub mod digest;
pub mod duration;
pub mod image;
pub mod platform;
pub mod reference;
pub mod runtime;
