//! Atomic files, transactional tables with group commit, locks and crash points.
//!
//! Two sorts of state, by what they must survive (`house.md`, section 5):
//! - *durable*, in the data root: [`Store`] keeps the tables of all services in one file, each service behind
//!   its own [`Scope`]; [`atomic_write`] replaces single files. Both survive a power loss.
//! - *volatile*, in the exec root: [`volatile`] keeps small JSON files that survive a kill, not a reboot.
//!
//! [`DirLock`] keeps two daemons out of one root, [`InstanceTag`] keeps their kernel objects apart, and
//! [`crash_point`] lets a test kill the daemon at a named place. Nothing here knows any noun of a service.

mod atomic;
mod crash;
mod export;
mod file;
mod lock;
mod store;
mod table;
mod tag;
pub mod volatile;
mod writer;

pub use atomic::{AtomicWriteError, atomic_write, atomic_write_relaxed, sync_directory};
pub use crash::crash_point;
pub use export::{dump, restore};
pub use lock::{DirLock, LockError};
pub use store::{Scope, Store, StoreError};
pub use table::{Row, Table};
pub use tag::InstanceTag;
pub use writer::{Commit, Transaction};

#[cfg(test)]
mod tests;
