//! Layers as mount recipes: overlay and vfs behind one trait.
//!
//! A driver keeps *layers* (immutable, below others) and *writable layers* (one per container) as directories and
//! says how they are mounted ([`Recipe`]); it mounts nothing itself and keeps no state but its directories. It may not
//! know images or containers: names ([`Key`]) are the caller's, derived from ids. Start at [`Driver`].

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "says which tests are skipped")]
mod contract;
mod copy;
pub mod driver;
pub mod error;
pub mod init_layer;
pub mod key;
pub mod overlay;
mod rooms;
mod usage;
pub mod vfs;

pub use driver::{Delta, Driver, Item, State, Target, Usage};
pub use error::StorageError;
pub use init_layer::{MountPoint, make_init_layer};
pub use key::Key;
pub use linux::mount::recipe::Recipe;
pub use overlay::Overlay;
pub use vfs::Vfs;

/// The driver named `name` (`overlay2` is another name of `overlay`) in `<root>/<its name>`.
///
/// # Errors
/// [`StorageError::UnknownDriver`] and those of the driver's `open`.
pub fn open(name: &str, root: &std::path::Path) -> Result<Box<dyn Driver>, StorageError> {
    match name {
        "overlay" | "overlay2" => Ok(Box::new(Overlay::open(root)?)),
        "vfs" => Ok(Box::new(Vfs::open(root)?)),
        _ => Err(StorageError::UnknownDriver {
            name: name.to_owned(),
        }),
    }
}
