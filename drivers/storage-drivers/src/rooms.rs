//! The directories that all drivers keep their layers in, and the moves between them.
//!
//! ```text
//! <root>/<driver>/layers/<key>/    committed: d (the tree), attic, synced (the mark of `sync`)
//! <root>/<driver>/active/<key>/    being unpacked or a container's: d, and what the driver needs beside it
//! <root>/<driver>/trash/<key>.<n>  on the way in (being made) or out (being deleted); never of use after a crash
//! ```

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, IFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::{Item, Key, State, StorageError};

/// The name of the tree in a layer's directory.
pub(crate) const TREE: &str = "d";
const SYNCED: &str = "synced";
const LAYERS: &str = "layers";
const ACTIVE: &str = "active";
const TRASH: &str = "trash";

/// One driver's directories.
#[derive(Debug)]
pub(crate) struct Rooms {
    path: PathBuf,
    directory: File,
    next: AtomicU64,
    /// Whether trees are subvolumes of btrfs.
    subvolumes: bool,
}

impl Rooms {
    /// Opens or makes `<root>/<driver>`.
    pub(crate) fn open(root: &Path, driver: &'static str, subvolumes: bool) -> Result<Self, StorageError> {
        let path = root.join(driver);
        let failed = |step, path: &Path, error: std::io::Error| StorageError::File {
            key: driver.to_owned(),
            step,
            path: path.to_owned(),
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        };
        for room in [LAYERS, ACTIVE, TRASH] {
            let path = path.join(room);
            std::fs::create_dir_all(&path).map_err(|error| failed("create", &path, error))?;
        }
        spread(&path.join(TRASH));
        let directory = File::open(&path).map_err(|error| failed("open", &path, error))?;
        // Layers hold setuid programs: only root may reach them by path, as with /var/lib/docker (CVE-2021-41091).
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o711))
            .map_err(|error| failed("chmod", &path, error.into()))?;
        Ok(Self {
            path,
            directory,
            next: AtomicU64::new(1),
            subvolumes,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the layer `key` and whether it is committed.
    pub(crate) fn find(&self, key: &Key) -> Result<(PathBuf, bool), StorageError> {
        for (room, committed) in [(LAYERS, true), (ACTIVE, false)] {
            if self.holds(room, key)? {
                return Ok((self.path.join(room).join(key.as_str()), committed));
            }
        }
        Err(StorageError::NotFound { key: key.clone() })
    }

    /// The directory of the active layer `key`.
    pub(crate) fn active(&self, key: &Key) -> Result<PathBuf, StorageError> {
        match self.find(key)? {
            (path, false) => Ok(path),
            _ => Err(StorageError::NotFound { key: key.clone() }),
        }
    }

    /// The trees of committed layers, in the order given.
    pub(crate) fn trees(&self, keys: &[Key]) -> Result<Vec<PathBuf>, StorageError> {
        keys.iter()
            .map(|key| {
                if !self.holds(LAYERS, key)? {
                    return Err(StorageError::NotFound { key: key.clone() });
                }
                Ok(self.path.join(LAYERS).join(key.as_str()).join(TREE))
            })
            .collect()
    }

    /// Makes the active layer `key` at once and whole: `fill` works on a directory that becomes it at the end.
    pub(crate) fn create(
        &self,
        key: &Key,
        fill: impl FnOnce(&Path) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.holds(LAYERS, key)? || self.holds(ACTIVE, key)? {
            return Err(StorageError::Exists { key: key.clone() });
        }
        let draft = self.trash_name(key);
        let failed = |step, source| self.error(key, step, &draft, source);
        rustix::fs::mkdirat(&self.directory, &draft, Mode::from_raw_mode(0o711))
            .map_err(|source| failed("create", source))?;
        let result = fill(&self.path.join(&draft)).and_then(|()| {
            let place = format!("{ACTIVE}/{key}");
            rustix::fs::renameat_with(
                &self.directory,
                &draft,
                &self.directory,
                &place,
                RenameFlags::NOREPLACE,
            )
            .map_err(|source| match source {
                Errno::EXIST => StorageError::Exists { key: key.clone() },
                other => failed("put into place", other),
            })
        });
        if result.is_err() {
            // The failure to make it is the one to tell; what stays is swept as a leftover.
            let _ = self.delete(key, &draft);
        }
        result
    }

    /// Moves an active layer to the committed ones; true when it was committed already.
    pub(crate) fn commit(&self, key: &Key) -> Result<(), StorageError> {
        let (from, to) = (format!("{ACTIVE}/{key}"), format!("{LAYERS}/{key}"));
        rustix::fs::renameat_with(
            &self.directory,
            &from,
            &self.directory,
            &to,
            RenameFlags::NOREPLACE,
        )
        .map_err(|source| self.error(key, "commit", &from, source))
    }

    /// Moves a layer out of the way and deletes it.
    pub(crate) fn remove(&self, key: &Key) -> Result<(), StorageError> {
        for room in [ACTIVE, LAYERS] {
            let (from, to) = (format!("{room}/{key}"), self.trash_name(key));
            match rustix::fs::renameat(&self.directory, &from, &self.directory, &to) {
                Ok(()) => self.delete(key, &to)?,
                Err(Errno::NOENT) => {}
                Err(source) => return Err(self.error(key, "move to the trash", &from, source)),
            }
        }
        for (leftover, name) in self.trash()? {
            if leftover == *key {
                self.delete(key, &format!("{TRASH}/{name}"))?;
            }
        }
        Ok(())
    }

    pub(crate) fn list(&self) -> Result<Vec<Item>, StorageError> {
        let mut items = Vec::new();
        for (room, state) in [(LAYERS, State::Committed), (ACTIVE, State::Active)] {
            for name in self.names(room)? {
                let Ok(key) = Key::new(name) else { continue };
                let synced =
                    state == State::Committed && self.exists(&format!("{room}/{key}/{SYNCED}"), &key)?;
                let state = if synced { State::Synced } else { state };
                items.push(Item { key, state });
            }
        }
        items.extend(self.trash()?.into_iter().map(|(key, _)| Item {
            key,
            state: State::Leftover,
        }));
        Ok(items)
    }

    pub(crate) fn sync(&self) -> Result<Vec<Key>, StorageError> {
        // Listed first: what is committed during the sync may be missed by it.
        let mut keys: Vec<Key> = self
            .list()?
            .into_iter()
            .filter(|item| item.state == State::Committed)
            .map(|item| item.key)
            .collect();
        if keys.is_empty() {
            return Ok(keys);
        }
        rustix::fs::syncfs(&self.directory).map_err(|source| StorageError::File {
            key: keys[0].to_string(),
            step: "sync the file system of",
            path: self.path.clone(),
            source,
        })?;
        let mut marked = Vec::new();
        for key in keys.drain(..) {
            let mark = format!("{LAYERS}/{key}/{SYNCED}");
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            match rustix::fs::openat(&self.directory, &mark, flags, Mode::from_raw_mode(0o600)) {
                Ok(_) => marked.push(key),
                // Removed meanwhile.
                Err(Errno::NOENT) => {}
                Err(source) => return Err(self.error(&key, "mark as synced", &mark, source)),
            }
        }
        Ok(marked)
    }

    fn holds(&self, room: &str, key: &Key) -> Result<bool, StorageError> {
        self.exists(&format!("{room}/{key}"), key)
    }

    fn exists(&self, name: &str, key: &Key) -> Result<bool, StorageError> {
        match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(source) => Err(self.error(key, "look for", name, source)),
        }
    }

    /// A free name in the trash. The process id keeps apart those of a daemon before this one.
    fn trash_name(&self, key: &Key) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{TRASH}/{key}.{}.{number}", std::process::id())
    }

    fn trash(&self) -> Result<Vec<(Key, String)>, StorageError> {
        let names = self.names(TRASH)?;
        Ok(names
            .into_iter()
            .filter_map(|name| Some((Key::new(name.split('.').next()?).ok()?, name)))
            .collect())
    }

    fn names(&self, room: &str) -> Result<Vec<String>, StorageError> {
        let path = self.path.join(room);
        let failed = |error: std::io::Error| StorageError::File {
            key: room.to_owned(),
            step: "list",
            path: path.clone(),
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, key: &Key, name: &str) -> Result<(), StorageError> {
        if self.subvolumes
            && let Ok(layer) = File::open(self.path.join(name))
        {
            // At once instead of file by file. One in which a container has made subvolumes goes the slow way below.
            let _ = linux::btrfs::delete_subvolume(layer.as_fd(), c"d");
        }
        archive::remove_tree(self.directory.as_fd(), name.as_bytes())
            .map_err(|source| self.error(key, "delete", name, source))
    }

    fn error(&self, key: &Key, step: &'static str, name: &str, source: Errno) -> StorageError {
        StorageError::File {
            key: key.to_string(),
            step,
            path: self.path.join(name),
            source,
        }
    }
}

/// Whether a driver's directory holds layers, of images or of containers.
pub(crate) fn are_used(path: &Path) -> bool {
    let holds = |room| std::fs::read_dir(path.join(room)).is_ok_and(|mut names| names.next().is_some());
    holds(LAYERS) || holds(ACTIVE)
}

/// Asks ext4 to give each directory made in `path` (where every layer begins) a block group of its own, as it does for
/// those in `/` (chattr(1), `T`). Without it all layers share the group of `path`, and where many files were deleted in
/// the last minutes ext4 looks at each of their inodes for every file that is made (`recently_deleted` in
/// fs/ext4/ialloc.c): unpacking 4,000 files after removing as many then takes five times the processor time.
/// Other file systems do not know the flag, and need not.
fn spread(path: &Path) {
    if let Ok(directory) = File::open(path)
        && let Ok(flags) = rustix::fs::ioctl_getflags(&directory)
    {
        // A hint only: nothing is wrong without it.
        let _ = rustix::fs::ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}
