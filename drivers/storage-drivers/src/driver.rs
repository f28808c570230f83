//! The trait that every storage driver implements.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;

use archive::{Change, PackOptions, PackStats, PackWhiteouts, Whiteouts};
use rustix::io::Errno;

use crate::{Key, Recipe, StorageError};

/// Where and how an archive is unpacked to become a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The directory to unpack into.
    pub directory: PathBuf,
    /// For [`archive::UnpackOptions::attic`] and [`archive::rebuild`].
    pub attic: PathBuf,
    /// For [`archive::UnpackOptions::whiteouts`].
    pub whiteouts: Whiteouts,
}

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Made by `prepare`: being unpacked, or a container's writable layer.
    Active,
    /// Made by `commit`, not yet known to survive a power loss.
    Committed,
    /// Committed, and synced to disk by [`Driver::sync`].
    Synced,
    /// What a crash left half made or half removed: `remove` it.
    Leftover,
}

/// One layer of [`Driver::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub key: Key,
    /// How far it is.
    pub state: State,
}

/// How much disk a layer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the sizes of the regular files in bytes that it adds or changes, each inode once (Docker's `SizeRw`).
    pub size: u64,
    /// Blocks allocated, in bytes.
    pub allocated: u64,
    /// Number of inodes.
    pub inodes: u64,
}

/// What a writable layer is, for those who read it from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// An overlay's upper directory and its lower ones, topmost first.
    Overlay {
        /// The writable directory.
        upper: PathBuf,
        /// The layers below.
        lowers: Vec<PathBuf>,
    },
    /// A whole tree, and the whole tree that it was copied from (`None`: from nothing).
    Trees {
        /// Before.
        old: Option<PathBuf>,
        /// Now.
        new: PathBuf,
    },
}

/// A way to keep layers. Every method is synchronous and may block on the disk; methods on different keys may run at
/// the same time, the caller does not run two on one key. A chain is a list of committed layers, **bottom first**.
///
/// ```no_run
/// # fn demo(driver: &dyn storage_drivers::Driver) -> Result<(), Box<dyn std::error::Error>> {
/// # use storage_drivers::*; use std::os::fd::AsFd;
/// // An image layer: prepare, unpack, commit. Where `needs_parent` is false, layers unpack in parallel.
/// let layer = Key::new("3f2a")?;
/// driver.prepare(&layer, &[])?;
/// let target = driver.target(&layer)?;
/// let root = std::fs::File::open(&target.directory)?;
/// let options = archive::UnpackOptions { whiteouts: target.whiteouts, ..Default::default() };
/// archive::unpack(std::io::empty(), root.as_fd(), options)?;
/// driver.commit(&layer)?;
/// driver.sync()?; // later, once for many
///
/// // A container: prepare above the chain, mount, look at the difference, remove.
/// let container = Key::new("c0ffee")?;
/// driver.prepare(&container, &[layer.clone()])?;
/// let mount = driver.mounts(&container)?.mount_detached()?;
/// let changes = driver.changes(&container)?;
/// drop(mount);
/// driver.remove(&container)?;
/// # Ok(()) }
/// ```
pub trait Driver: Send + Sync + std::fmt::Debug {
    /// `overlay`, `vfs`, ...
    fn name(&self) -> &'static str;

    /// Rows of `docker info` below «Storage Driver», such as `Backing Filesystem`.
    fn status(&self) -> Vec<(String, String)>;

    /// Whether `prepare` needs the chain below to be committed first (vfs copies it). Where false, all layers of an
    /// image can be unpacked at the same time.
    fn needs_parent(&self) -> bool;

    /// Makes a writable layer `key` above `chain`.
    ///
    /// # Errors
    /// [`StorageError::Exists`]; [`StorageError::NotFound`] when a layer of the chain is needed and missing.
    fn prepare(&self, key: &Key, chain: &[Key]) -> Result<(), StorageError>;

    /// Whether [`Driver::limit`] works.
    fn can_limit(&self) -> bool {
        false
    }

    /// Lets the active layer `key` grow to `bytes`, what lies below it included where layers are whole trees; writes beyond
    /// fail with `EDQUOT`.
    ///
    /// # Errors
    /// [`StorageError::NoLimit`] where the driver cannot, [`StorageError::NotFound`], [`StorageError::File`].
    fn limit(&self, key: &Key, bytes: u64) -> Result<(), StorageError> {
        let _ = (key, bytes);
        Err(StorageError::NoLimit { driver: self.name() })
    }

    /// Where to unpack into the active layer `key` (or from where to rebuild the archive of a committed one).
    ///
    /// # Errors
    /// [`StorageError::NotFound`].
    fn target(&self, key: &Key) -> Result<Target, StorageError>;

    /// Makes the active layer immutable, at once and whole: after a kill it is active or committed. Nothing may have it
    /// mounted. A layer that is committed already is fine.
    ///
    /// # Errors
    /// [`StorageError::NotFound`].
    fn commit(&self, key: &Key) -> Result<(), StorageError>;

    /// How to mount the active layer `key` for writing. At most one such mount may exist at a time.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], also when a layer of its chain is gone.
    fn mounts(&self, key: &Key) -> Result<Recipe, StorageError>;

    /// How to mount a chain read-only.
    ///
    /// # Errors
    /// [`StorageError::NotFound`].
    fn view(&self, chain: &[Key]) -> Result<Recipe, StorageError>;

    /// What the layer `key` consists of.
    ///
    /// # Errors
    /// [`StorageError::NotFound`].
    fn delta(&self, key: &Key) -> Result<Delta, StorageError>;

    /// How much disk the layer `key` itself takes.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::File`].
    fn usage(&self, key: &Key) -> Result<Usage, StorageError>;

    /// Removes a layer in any state; one that is not there is fine. It is out of the way at once (renamed into the
    /// trash) even if deleting takes long.
    ///
    /// # Errors
    /// [`StorageError::File`].
    fn remove(&self, key: &Key) -> Result<(), StorageError>;

    /// All layers on disk and what crashes left of some. For the sweep at boot; a leftover may bear the key of a whole
    /// layer, and `remove` takes both.
    ///
    /// # Errors
    /// [`StorageError::File`].
    fn list(&self) -> Result<Vec<Item>, StorageError>;

    /// Syncs the file system once and marks all committed layers as synced; returns those newly marked.
    ///
    /// # Errors
    /// [`StorageError::File`].
    fn sync(&self) -> Result<Vec<Key>, StorageError>;
}

impl dyn Driver + '_ {
    /// What differs between the layer `key` and its chain, as `docker diff` lists it. With the layer mounted by a running
    /// container this is a snapshot without guarantee.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Archive`].
    pub fn changes(&self, key: &Key) -> Result<Vec<Change>, StorageError> {
        let opened = Opened::new(key, self.delta(key)?)?;
        opened.changes().map_err(|source| StorageError::Archive {
            key: key.clone(),
            source,
        })
    }

    /// Writes what [`changes`](#method.changes) lists as the archive of a new layer: `docker commit`.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Archive`].
    pub fn diff(&self, key: &Key, out: &mut dyn Write) -> Result<PackStats, StorageError> {
        let opened = Opened::new(key, self.delta(key)?)?;
        let packed = match &opened {
            Opened::Overlay { upper, .. } => {
                let options = PackOptions {
                    whiteouts: PackWhiteouts::FromOverlay,
                    ..PackOptions::default()
                };
                archive::pack(upper.as_fd(), out, options)
            }
            Opened::Trees { old: None, new } => archive::pack(new.as_fd(), out, PackOptions::default()),
            Opened::Trees { old: Some(_), new } => opened.changes().and_then(|changes| {
                archive::pack_changes(new.as_fd(), &changes, out, PackOptions::default())
            }),
        };
        packed.map_err(|source| StorageError::Archive {
            key: key.clone(),
            source,
        })
    }
}

/// A [`Delta`] with its directories open.
enum Opened {
    Overlay { upper: File, lowers: Vec<File> },
    Trees { old: Option<File>, new: File },
}

impl Opened {
    fn new(key: &Key, delta: Delta) -> Result<Self, StorageError> {
        let open = |path: PathBuf| {
            File::open(&path).map_err(|error| StorageError::File {
                key: key.to_string(),
                step: "open",
                path,
                source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            })
        };
        Ok(match delta {
            Delta::Overlay { upper, lowers } => Self::Overlay {
                upper: open(upper)?,
                lowers: lowers.into_iter().map(open).collect::<Result<_, _>>()?,
            },
            Delta::Trees { old, new } => Self::Trees {
                old: old.map(open).transpose()?,
                new: open(new)?,
            },
        })
    }

    fn changes(&self) -> Result<Vec<Change>, archive::PackError> {
        match self {
            Self::Overlay { upper, lowers } => {
                let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
                archive::changes(upper.as_fd(), &lowers)
            }
            Self::Trees { old: Some(old), new } => archive::changes_between(old.as_fd(), new.as_fd()),
            Self::Trees { old: None, new } => archive::changes(new.as_fd(), &[]),
        }
    }
}
