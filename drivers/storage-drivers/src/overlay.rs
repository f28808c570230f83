//! The overlay driver: each layer a directory, put together by the kernel's overlayfs (overlayfs.rst).

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use archive::Whiteouts;
use linux::mount::recipe::RecipeError;
use rustix::io::Errno;

use crate::rooms::{Rooms, TREE};
use crate::{Delta, Driver, Item, Key, Recipe, StorageError, Target, Usage, usage};

const NAME: &str = "overlay";
/// overlayfs' work directory of a writable layer.
const WORK: &str = "w";
/// The chain of a writable layer: one key per line, bottom first.
const CHAIN: &str = "chain";
/// An empty directory, below what has nothing below.
const EMPTY: &str = "empty";

/// Options that a mount should have, so that a layer means the same everywhere: no metadata-only copies, no inode
/// index, and redirections (which could point from one layer to any path of another) neither made nor followed.
const OPTIONS: [&str; 3] = ["metacopy=off", "index=off", "redirect_dir=nofollow"];

/// Layers as directories that overlayfs stacks; up to 500, the kernel's limit.
#[derive(Debug)]
pub struct Overlay {
    rooms: Rooms,
    /// Those of [`OPTIONS`] that the kernel knows.
    options: Vec<String>,
}

impl Overlay {
    /// Opens (and makes where needed) `<root>/overlay`, and tries a mount there.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`] where overlayfs does not work, and [`StorageError::File`].
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let rooms = Rooms::open(root, NAME, false)?;
        let unsupported = |problem| StorageError::Unsupported {
            driver: NAME,
            root: rooms.path().to_owned(),
            problem,
        };
        let probe = |name: &str| {
            let path = rooms.path().join(name);
            std::fs::create_dir_all(&path)
                .map_err(|error| unsupported(format!("create {}: {error}", path.display())))?;
            Ok(path)
        };
        let lowers = vec![probe(EMPTY)?];
        let (upper, work) = (probe("probe/u")?, probe("probe/w")?);
        let mut options: Vec<String> = OPTIONS.map(str::to_owned).into();
        loop {
            let recipe = Recipe::Overlay {
                lowers: lowers.clone(),
                upper: Some(upper.clone()),
                work: Some(work.clone()),
                options: options.clone(),
            };
            match recipe.mount_detached() {
                Ok(_) => break,
                Err(RecipeError::Option {
                    option,
                    source: Errno::INVAL,
                }) if options.contains(&option) => options.retain(|present| *present != option),
                Err(error) => return Err(unsupported(error.to_string())),
            }
        }
        Ok(Self { rooms, options })
    }

    fn empty(&self) -> PathBuf {
        self.rooms.path().join(EMPTY)
    }

    /// The trees of a chain (bottom first), topmost first and never none.
    fn lowers(&self, chain: &[Key]) -> Result<Vec<PathBuf>, StorageError> {
        let mut lowers = self.rooms.trees(chain)?;
        lowers.reverse();
        if lowers.is_empty() {
            lowers.push(self.empty());
        }
        Ok(lowers)
    }

    fn chain(&self, key: &Key, layer: &Path) -> Result<Vec<Key>, StorageError> {
        let path = layer.join(CHAIN);
        let text = std::fs::read_to_string(&path).map_err(|error| file_error(key, "read", &path, &error))?;
        text.lines().map(Key::new).collect()
    }

    /// The tree of a new layer looks like the one it hides: its mode and owner are those of `/`.
    fn tree_like(&self, key: &Key, chain: &[Key], tree: &Path) -> Result<(), StorageError> {
        let failed = |step: &'static str| move |error: std::io::Error| file_error(key, step, tree, &error);
        std::fs::create_dir(tree).map_err(failed("create"))?;
        let top = chain
            .last()
            .and_then(|top| self.rooms.trees(std::slice::from_ref(top)).ok());
        let (mut mode, mut owner) = (0o755, None);
        if let Some(below) = top.as_deref().and_then(<[PathBuf]>::first) {
            let below = std::fs::metadata(below).map_err(failed("stat what is below"))?;
            mode = below.mode() & 0o7777;
            owner = Some((below.uid(), below.gid()));
        }
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(tree, Some(uid), Some(gid)).map_err(failed("chown"))?;
        }
        std::fs::set_permissions(tree, std::fs::Permissions::from_mode(mode)).map_err(failed("chmod"))
    }
}

impl Driver for Overlay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn status(&self) -> Vec<(String, String)> {
        vec![
            (
                "Backing Filesystem".to_owned(),
                usage::filesystem(self.rooms.path()).to_owned(),
            ),
            ("Supports d_type".to_owned(), "true".to_owned()),
            ("Using metacopy".to_owned(), "false".to_owned()),
            ("Native Overlay Diff".to_owned(), "true".to_owned()),
            ("userxattr".to_owned(), "false".to_owned()),
        ]
    }

    fn needs_parent(&self) -> bool {
        false
    }

    fn prepare(&self, key: &Key, chain: &[Key]) -> Result<(), StorageError> {
        self.rooms.create(key, |draft| {
            self.tree_like(key, chain, &draft.join(TREE))?;
            let work = draft.join(WORK);
            std::fs::create_dir(&work).map_err(|error| file_error(key, "create", &work, &error))?;
            let lines: String = chain.iter().flat_map(|key| [key.as_str(), "\n"]).collect();
            let path = draft.join(CHAIN);
            std::fs::write(&path, lines).map_err(|error| file_error(key, "write", &path, &error))
        })
    }

    fn target(&self, key: &Key) -> Result<Target, StorageError> {
        let (layer, _) = self.rooms.find(key)?;
        Ok(Target {
            directory: layer.join(TREE),
            attic: layer.join("attic"),
            whiteouts: Whiteouts::Overlay,
        })
    }

    fn commit(&self, key: &Key) -> Result<(), StorageError> {
        let (layer, committed) = self.rooms.find(key)?;
        if committed {
            return Ok(());
        }
        let opened = std::fs::File::open(&layer).map_err(|error| file_error(key, "open", &layer, &error))?;
        archive::remove_tree(std::os::fd::AsFd::as_fd(&opened), WORK.as_bytes())
            .map_err(|source| file_error(key, "delete", &layer.join(WORK), &source.into()))?;
        self.rooms.commit(key)
    }

    fn mounts(&self, key: &Key) -> Result<Recipe, StorageError> {
        let layer = self.rooms.active(key)?;
        Ok(Recipe::Overlay {
            lowers: self.lowers(&self.chain(key, &layer)?)?,
            upper: Some(layer.join(TREE)),
            work: Some(layer.join(WORK)),
            options: self.options.clone(),
        })
    }

    fn view(&self, chain: &[Key]) -> Result<Recipe, StorageError> {
        let mut lowers = self.lowers(chain)?;
        if lowers.len() == 1 {
            // Without an upper layer overlayfs wants two lower ones.
            lowers.push(self.empty());
        }
        if chain.is_empty() {
            return Ok(Recipe::Bind {
                path: self.empty(),
                read_only: true,
            });
        }
        Ok(Recipe::Overlay {
            lowers,
            upper: None,
            work: None,
            options: self.options.clone(),
        })
    }

    fn delta(&self, key: &Key) -> Result<Delta, StorageError> {
        let (layer, _) = self.rooms.find(key)?;
        Ok(Delta::Overlay {
            lowers: self.lowers(&self.chain(key, &layer)?)?,
            upper: layer.join(TREE),
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

fn file_error(key: &Key, step: &'static str, path: &Path, error: &std::io::Error) -> StorageError {
    StorageError::File {
        key: key.to_string(),
        step,
        path: path.to_owned(),
        source: Errno::from_io_error(error).unwrap_or(Errno::IO),
    }
}
