//! tar to directory and back: whiteouts, extended attributes, safe unpacking, diff and tar-split.
//!
//! Light on purpose (it is part of the static `dhow-runtime`): no compression, no threads, no async. It knows
//! tar and directories, but neither images nor containers. Every archive is taken as hostile: memory is bounded
//! by [`Limits`], and every path operation goes by directory descriptor through openat2(2) inside the root.
//!
//! Start at [`unpack()`] and [`pack()`]; [`Reader`] and [`Writer`] are the format itself, [`changes()`] is what
//! `docker diff` shows, [`Recorder`] and [`rebuild()`] give back the very bytes of an unpacked archive.

mod base64;
pub mod changes;
mod crc64;
pub mod entry;
pub mod error;
mod header;
pub mod ids;
pub mod limits;
pub mod pack;
mod pax;
pub mod reader;
pub mod split;
mod tree;
pub mod unpack;
pub mod writer;

pub use changes::{Change, ChangeKind, changes, changes_between, differences_between};
pub use entry::{Entry, EntryKind, Timestamp};
pub use error::{PackError, ReadError, SplitError, UnpackError};
pub use ids::{IdMap, IdRange};
pub use limits::Limits;
pub use pack::{PackOptions, PackStats, PackWhiteouts, pack, pack_changes};
pub use reader::Reader;
pub use split::{Recorder, rebuild};
pub use tree::remove_tree;
pub use unpack::{Devices, FindLink, Owner, UnpackOptions, UnpackStats, Verdict, Whiteouts, unpack};
pub use writer::{EntryData, Writer};
