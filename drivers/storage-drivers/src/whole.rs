//! Drivers whose layers are whole trees, each made from the one below: vfs copies it, btrfs takes a snapshot.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use archive::Whiteouts;
use rustix::io::Errno;

use crate::rooms::{Rooms, TREE};
use crate::{Delta, Driver, Item, Key, Recipe, StorageError, Target, Usage, usage};

/// The key of the layer that this one was made from; empty for none.
const BASE: &str = "base";
const EMPTY: &str = "empty";

/// A step that failed, below which path of the tree, and what the kernel said.
pub(crate) type Step = Result<(), (&'static str, PathBuf, Errno)>;

/// How one tree becomes another.
pub(crate) trait Means: Send + Sync + std::fmt::Debug + Sized {
    /// The driver's name.
    const NAME: &'static str;
    /// Whether a layer's tree is a subvolume of btrfs.
    const SUBVOLUMES: bool = false;

    /// Finds out whether it works in the driver's directory.
    fn open(path: &Path) -> Result<Self, StorageError>;

    /// Makes the tree `d` in the directory `parent`: empty and with mode 0755, or as `from` is.
    fn make(&self, from: Option<BorrowedFd<'_>>, parent: BorrowedFd<'_>) -> Step;

    /// Lets a tree grow to so many bytes; only where trees are subvolumes.
    fn limit(&self, _tree: BorrowedFd<'_>, _bytes: u64) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }
}

/// Layers as whole trees.
#[derive(Debug)]
pub struct Whole<M> {
    rooms: Rooms,
    means: M,
}

#[expect(private_bounds, reason = "the drivers are named by their aliases")]
impl<M: Means> Whole<M> {
    /// Opens (and makes where needed) `<root>/<driver>`.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`] where the file system lacks something, and [`StorageError::File`].
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let rooms = Rooms::open(root, M::NAME, M::SUBVOLUMES)?;
        let empty = rooms.path().join(EMPTY);
        std::fs::create_dir_all(&empty).map_err(|error| StorageError::File {
            key: M::NAME.to_owned(),
            step: "create",
            path: empty,
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
        let means = M::open(rooms.path())?;
        Ok(Self { rooms, means })
    }

    fn tree_of(&self, key: &Key) -> Result<PathBuf, StorageError> {
        let mut trees = self.rooms.trees(std::slice::from_ref(key))?;
        trees
            .pop()
            .ok_or_else(|| StorageError::NotFound { key: key.clone() })
    }
}

impl<M: Means> Driver for Whole<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn status(&self) -> Vec<(String, String)> {
        vec![(
            "Backing Filesystem".to_owned(),
            usage::filesystem(self.rooms.path()).to_owned(),
        )]
    }

    fn needs_parent(&self) -> bool {
        true
    }

    fn prepare(&self, key: &Key, chain: &[Key]) -> Result<(), StorageError> {
        // The top of the chain holds all that is below it.
        let base = chain.last();
        let from = base.map(|base| self.tree_of(base)).transpose()?;
        self.rooms.create(key, |draft| {
            let opened = from.as_deref().map(|from| open(key, from)).transpose()?;
            let parent = open(key, draft)?;
            let made = self.means.make(opened.as_ref().map(AsFd::as_fd), parent.as_fd());
            made.map_err(|(step, path, source)| {
                let tree = from.clone().unwrap_or_else(|| draft.join(TREE));
                file_error(key, step, &tree.join(path), source)
            })?;
            let mark = draft.join(BASE);
            let text = base.map_or("", Key::as_str);
            std::fs::write(&mark, text).map_err(|error| io_error(key, "write", &mark, &error))
        })
    }

    fn can_limit(&self) -> bool {
        M::SUBVOLUMES
    }

    fn limit(&self, key: &Key, bytes: u64) -> Result<(), StorageError> {
        if !self.can_limit() {
            return Err(StorageError::NoLimit { driver: M::NAME });
        }
        let tree = self.rooms.active(key)?.join(TREE);
        let limited = self.means.limit(open(key, &tree)?.as_fd(), bytes);
        limited.map_err(|source| file_error(key, "limit", &tree, source))
    }

    fn target(&self, key: &Key) -> Result<Target, StorageError> {
        let (layer, _) = self.rooms.find(key)?;
        Ok(Target {
            directory: layer.join(TREE),
            attic: layer.join("attic"),
            whiteouts: Whiteouts::Apply,
        })
    }

    fn commit(&self, key: &Key) -> Result<(), StorageError> {
        match self.rooms.find(key)? {
            (_, true) => Ok(()),
            (_, false) => self.rooms.commit(key),
        }
    }

    fn mounts(&self, key: &Key) -> Result<Recipe, StorageError> {
        Ok(Recipe::Bind {
            path: self.rooms.active(key)?.join(TREE),
            read_only: false,
        })
    }

    fn view(&self, chain: &[Key]) -> Result<Recipe, StorageError> {
        let path = match chain.last() {
            Some(top) => self.tree_of(top)?,
            None => self.rooms.path().join(EMPTY),
        };
        Ok(Recipe::Bind {
            path,
            read_only: true,
        })
    }

    fn delta(&self, key: &Key) -> Result<Delta, StorageError> {
        let (layer, _) = self.rooms.find(key)?;
        let mark = layer.join(BASE);
        let base = std::fs::read_to_string(&mark).map_err(|error| io_error(key, "read", &mark, &error))?;
        let old = if base.is_empty() {
            None
        } else {
            Some(self.tree_of(&Key::new(base)?)?)
        };
        Ok(Delta::Trees {
            old,
            new: layer.join(TREE),
        })
    }

    /// The blocks are those of the whole tree, which shares most of them; the size is that of the files that differ.
    fn usage(&self, key: &Key) -> Result<Usage, StorageError> {
        let (layer, _) = self.rooms.find(key)?;
        let tree = layer.join(TREE);
        let whole = usage::of(key, &tree)?;
        let changes = (self as &dyn Driver).changes(key)?;
        let size = usage::of_changes(open(key, &tree)?.as_fd(), &changes);
        let size = size.map_err(|source| file_error(key, "measure", &tree, source))?;
        Ok(Usage { size, ..whole })
    }

    fn remove(&self, key: &Key) -> Result<(), StorageError> {
        self.rooms.remove(key)
    }

    fn list(&self) -> Result<Vec<Item>, StorageError> {
        self.rooms.list()
    }

    fn sync(&self) -> Result<Vec<Key>, StorageError> {
        self.rooms.sync()
    }
}

fn open(key: &Key, path: &Path) -> Result<File, StorageError> {
    File::open(path).map_err(|error| io_error(key, "open", path, &error))
}

fn io_error(key: &Key, step: &'static str, path: &Path, error: &std::io::Error) -> StorageError {
    file_error(key, step, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

fn file_error(key: &Key, step: &'static str, path: &Path, source: Errno) -> StorageError {
    StorageError::File {
        key: key.to_string(),
        step,
        path: path.to_owned(),
        source,
    }
}
