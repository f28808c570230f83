//! Layers as mount recipes: overlay, btrfs and vfs behind one trait.
//!
//! A driver keeps *layers* (immutable, below others) and *writable layers* (one per container) as directories and
//! says how they are mounted ([`Recipe`]); it mounts nothing itself and keeps no state but its directories. It may not
//! know images or containers: names ([`Key`]) are the caller's, derived from ids. Start at [`Driver`].

pub mod btrfs;
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
pub mod whole;

pub use btrfs::Btrfs;
pub use driver::{Delta, Driver, Item, State, Target, Usage};
pub use error::StorageError;
pub use init_layer::{MountPoint, make_init_layer};
pub use key::Key;
pub use linux::mount::recipe::Recipe;
pub use overlay::Overlay;
pub use vfs::Vfs;

/// The drivers, the better one first.
const DRIVERS: [&str; 3] = ["overlay", "btrfs", "vfs"];

/// The driver named `name` (`overlay2` is another name of `overlay`) in `<root>/<its name>`. Without a name it is the one
/// that has layers there, or else the first that works.
///
/// # Errors
/// [`StorageError::UnknownDriver`]; [`StorageError::OtherDriver`] if another one has layers there: to begin anew beside
/// them would lose images and containers; and those of the driver's `open`.
pub fn open(name: &str, root: &std::path::Path) -> Result<Box<dyn Driver>, StorageError> {
    let name = if name == "overlay2" { "overlay" } else { name };
    let found = DRIVERS
        .into_iter()
        .find(|driver| rooms::are_used(&root.join(driver)));
    match (name, found) {
        ("", Some(found)) => open_one(found, root),
        ("", None) => {
            let mut failures = Vec::new();
            for driver in DRIVERS {
                match open_one(driver, root) {
                    Ok(driver) => return Ok(driver),
                    Err(error) => failures.push(error),
                }
            }
            Err(failures.swap_remove(0))
        }
        (asked, Some(found)) if asked != found && DRIVERS.contains(&asked) => {
            Err(StorageError::OtherDriver {
                root: root.to_owned(),
                found,
                asked: asked.to_owned(),
            })
        }
        (asked, _) => open_one(asked, root),
    }
}

fn open_one(name: &str, root: &std::path::Path) -> Result<Box<dyn Driver>, StorageError> {
    match name {
        "overlay" => Ok(Box::new(Overlay::open(root)?)),
        "btrfs" => Ok(Box::new(Btrfs::open(root)?)),
        "vfs" => Ok(Box::new(Vfs::open(root)?)),
        _ => Err(StorageError::UnknownDriver {
            name: name.to_owned(),
        }),
    }
}
