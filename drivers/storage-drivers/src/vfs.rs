//! The vfs driver: every layer is a whole tree, copied from the one below. Slow and large, but it works on every
//! file system; on those with reflinks (btrfs, xfs) the copies share their data.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use archive::Whiteouts;
use rustix::io::Errno;

use crate::rooms::{Rooms, TREE};
use crate::{Delta, Driver, Item, Key, Recipe, StorageError, Target, Usage, copy, usage};

const NAME: &str = "vfs";
/// The key of the layer that this one was copied from; empty for none.
const BASE: &str = "base";
const EMPTY: &str = "empty";

/// Layers as whole trees.
#[derive(Debug)]
pub struct Vfs {
    rooms: Rooms,
}

impl Vfs {
    /// Opens (and makes where needed) `<root>/vfs`.
    ///
    /// # Errors
    /// [`StorageError::File`].
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let rooms = Rooms::open(root, NAME)?;
        let empty = rooms.path().join(EMPTY);
        std::fs::create_dir_all(&empty).map_err(|error| StorageError::File {
            key: NAME.to_owned(),
            step: "create",
            path: empty,
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
        Ok(Self { rooms })
    }

    fn tree_of(&self, key: &Key) -> Result<PathBuf, StorageError> {
        let mut trees = self.rooms.trees(std::slice::from_ref(key))?;
        trees
            .pop()
            .ok_or_else(|| StorageError::NotFound { key: key.clone() })
    }
}

impl Driver for Vfs {
    fn name(&self) -> &'static str {
        NAME
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
            let failed = |step, path: &Path, source| StorageError::File {
                key: key.to_string(),
                step,
                path: path.to_owned(),
                source,
            };
            let io = |step, path: &Path, error: &std::io::Error| {
                failed(step, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
            };
            let tree = draft.join(TREE);
            std::fs::create_dir(&tree).map_err(|error| io("create", &tree, &error))?;
            rustix::fs::chmod(&tree, rustix::fs::Mode::from_raw_mode(0o755))
                .map_err(|source| failed("chmod", &tree, source))?;
            if let Some(from) = &from {
                let old = std::fs::File::open(from).map_err(|error| io("open", from, &error))?;
                let new = std::fs::File::open(&tree).map_err(|error| io("open", &tree, &error))?;
                copy::tree(old.as_fd(), new.as_fd())
                    .map_err(|error| failed(error.step, &from.join(error.path), error.source))?;
            }
            let mark = draft.join(BASE);
            std::fs::write(&mark, base.map_or("", Key::as_str)).map_err(|error| io("write", &mark, &error))
        })
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
        let base = std::fs::read_to_string(&mark).map_err(|error| StorageError::File {
            key: key.to_string(),
            step: "read",
            path: mark,
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
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

    fn usage(&self, key: &Key) -> Result<Usage, StorageError> {
        let (layer, _) = self.rooms.find(key)?;
        usage::of(key, &layer.join(TREE))
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
