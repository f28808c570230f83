//! Where the copies of clients' directories are kept from one build to the next.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use builds::{Prunable, Usage};
use oci::digest::Digest;
use tokio::sync::OwnedMutexGuard;

use crate::grpc::{Code, Status};

/// The files themselves, below a kept directory.
pub(super) const TREE: &str = "tree";
/// Copies that are kept; the one that was used least lately goes first.
const MOST: usize = 32;
/// Beside the files: how often the copy was used, and for which of the client's directories.
const NOTES: &str = "notes";
/// What BuildKit calls such copies.
pub(crate) const SOURCE: &str = "source.local";
/// Names of copies that no later build can use.
const PRIVATE: &str = "private-";

type Locks = Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>;

/// All copies of one daemon.
#[derive(Debug)]
pub(crate) struct Kept {
    root: PathBuf,
    locks: Locks,
}

/// One copy, in use by one build.
#[derive(Debug)]
pub(crate) struct KeptTree {
    path: PathBuf,
    private: bool,
    _lock: Option<OwnedMutexGuard<()>>,
}

impl KeptTree {
    /// The directory that belongs to the copy.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files.
    pub(crate) fn files(&self) -> PathBuf {
        self.path.join(TREE)
    }

    /// Makes a new copy ready that stays empty.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn make_empty(&self) -> Result<(), Status> {
        super::Tree::open(&self.path).map(drop)
    }

    /// The text of a file, nothing if there is none.
    ///
    /// # Errors
    /// It is no file, is longer than `most` bytes, or is no text.
    pub(crate) fn read(&self, path: &str, most: u64) -> Result<Option<String>, Status> {
        let wrong = |why: String| Status::new(Code::InvalidArgument, format!("failed to read {path}: {why}"));
        let Some(bytes) = super::Tree::open(&self.path)?.read(path, most + 1)? else {
            return Ok(None);
        };
        if bytes.len() as u64 > most {
            return Err(wrong(format!("it is longer than {most} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(text))
    }
}

impl Drop for KeptTree {
    fn drop(&mut self) {
        if !self.private {
            return;
        }
        let path = std::mem::take(&mut self.path);
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => drop(handle.spawn_blocking(move || remove(&path))),
            Err(_) => drop(remove(&path)),
        }
    }
}

impl Kept {
    /// Opens the place and takes away what a daemon that was killed has left; after the machine has started anew all
    /// copies, as nothing makes sure that they reached the disk.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn open(root: PathBuf, new_boot: bool) -> std::io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        for entry in std::fs::read_dir(&root)? {
            let entry = entry?;
            if new_boot || entry.file_name().to_string_lossy().starts_with(PRIVATE) {
                remove(&entry.path());
            }
        }
        Ok(Self {
            root,
            locks: Mutex::default(),
        })
    }

    /// The copy of a client's directory. Builds at the same time get copies of their own.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn take(&self, shared_key: &str, name: &str) -> Result<KeptTree, Status> {
        if shared_key.is_empty() {
            return self.private();
        }
        let base = Digest::sha256(format!("{shared_key}\0{name}")).hex()[..32].to_owned();
        let names = (0..MOST).map(|number| format!("{base}-{number}"));
        let mut free = names.filter_map(|name| Some((self.lock(&name).try_lock_owned().ok()?, name)));
        let Some((lock, free_name)) = free.next() else {
            return self.private();
        };
        let path = self.root.join(free_name);
        if !path.exists() {
            self.make_room();
        }
        let made = std::fs::create_dir_all(&path);
        let noted = made.and_then(|()| builds::note(&path.join(NOTES), &format!("for {name}")));
        // Its time says when it was used last.
        let used =
            noted.and_then(|()| std::fs::File::open(&path)?.set_modified(std::time::SystemTime::now()));
        used.map_err(|error| failed(&path, &error))?;
        Ok(KeptTree {
            path,
            private: false,
            _lock: Some(lock),
        })
    }

    /// A copy for one build only.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn private(&self) -> Result<KeptTree, Status> {
        let path = self.root.join(format!("{PRIVATE}{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&path).map_err(|error| failed(&path, &error))?;
        Ok(KeptTree {
            path,
            private: true,
            _lock: None,
        })
    }

    /// All copies that no build uses.
    pub(crate) fn prunable(&self) -> Vec<Prunable> {
        let idle = self.idle().into_iter();
        let prunable = idle.filter_map(|(path, used, lock)| {
            Some(Prunable {
                id: path.file_name()?.to_string_lossy().into_owned(),
                kind: SOURCE,
                used,
                path,
                guard: Box::new(lock),
            })
        });
        prunable.collect()
    }

    /// All copies.
    pub(crate) fn list(&self) -> Vec<Usage> {
        let names = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        names
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let in_use = name.starts_with(PRIVATE) || self.lock(&name).try_lock_owned().is_err();
                let path = entry.path();
                Usage::of(&path, SOURCE, "local source", &path.join(NOTES), in_use)
            })
            .collect()
    }

    fn make_room(&self) {
        let mut idle = self.idle();
        idle.sort_by_key(|(_, used, _)| *used);
        let too_many = (idle.len() + 1).saturating_sub(MOST);
        for (path, _, _lock) in idle.into_iter().take(too_many) {
            remove(&path);
        }
    }

    fn idle(&self) -> Vec<(PathBuf, std::time::SystemTime, OwnedMutexGuard<()>)> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let idle = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            if name.starts_with(PRIVATE) {
                return None;
            }
            let lock = self.lock(&name).try_lock_owned().ok()?;
            Some((entry.path(), entry.metadata().ok()?.modified().ok()?, lock))
        });
        idle.collect()
    }

    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() > 4 * MOST {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(name.to_owned()).or_default())
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Status {
    Status::new(Code::Internal, format!("make {}: {error}", path.display()))
}

fn remove(path: &Path) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let removed = std::fs::File::open(parent).and_then(|parent| {
        archive::remove_tree(parent.as_fd(), name.as_encoded_bytes()).map_err(std::io::Error::from)
    });
    if let Err(error) = &removed {
        tracing::warn!(%error, path = %path.display(), "a copy of a client's directory is not removed");
    }
    removed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prune(kept: &Kept) -> usize {
        kept.prunable().iter().filter(|copy| copy.remove()).count()
    }

    #[test]
    fn a_copy_is_found_again_unless_a_build_uses_it_or_nobody_named_it() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path().join("kept"), false).unwrap();
        let first = kept.take("key", "context").unwrap();
        let path = first.files();
        assert_ne!(kept.take("key", "context").unwrap().files(), path, "it is in use");
        assert!(prune(&kept) == 1, "that of the second build");
        drop(first);
        assert_eq!(kept.take("key", "context").unwrap().files(), path);
        assert_ne!(kept.take("key", "other").unwrap().files(), path);
        let nameless = kept.take("", "context").unwrap();
        let private = nameless.files();
        drop(nameless);
        assert!(!private.parent().unwrap().exists());
        assert_eq!(prune(&kept), 2);
        let again = |new_boot| Kept::open(folder.path().join("kept"), new_boot).unwrap();
        drop(kept.take("key", "context").unwrap());
        let listed = again(false).list();
        let listed: Vec<_> = listed
            .iter()
            .map(|copy| (copy.description.as_str(), copy.count, copy.in_use))
            .collect();
        assert_eq!(listed, [("local source for context", 1, false)]);
        assert_eq!(
            again(true).list().len(),
            0,
            "after a power loss it may be anything"
        );
    }

    #[test]
    fn the_oldest_copies_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path().join("kept"), false).unwrap();
        for number in 0..MOST + 3 {
            drop(kept.take(&number.to_string(), "context").unwrap());
        }
        assert_eq!(kept.list().len(), MOST);
    }
}
