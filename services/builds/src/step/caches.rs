//! `RUN --mount=type=cache`: directories that outlive builds.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use dockerfile::mount::{Mount, Sharing};
use oci::digest::Digest;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::mounts::{Mounted, absolute, copied, found};
use crate::BuildError;
use crate::error::file;
use crate::prune::CACHE_MOUNT;
use crate::stage::Stage;
use crate::{Usage, note};

/// The caches of one daemon.
#[derive(Debug)]
pub(crate) struct Caches {
    root: PathBuf,
    locks: Mutex<BTreeMap<String, Arc<RwLock<()>>>>,
}

/// A cache in use: by many steps, or by one alone.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not looked at")]
pub(crate) enum Lock {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

/// A cache that no step uses as long as its lock is held.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) path: PathBuf,
    /// Its name.
    pub(crate) name: String,
    /// When a step had it last.
    pub(crate) used: SystemTime,
    _lock: Lock,
}

impl Caches {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            locks: Mutex::default(),
        }
    }

    fn lock(&self, name: &str) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(name.to_owned()).or_default())
    }

    /// A file whose time says when a cache was used last: the times of the directory itself are the steps'. It says how
    /// often that was, and where the cache was mounted.
    fn stamp(&self, name: &str) -> PathBuf {
        self.root.with_extension("used").join(name)
    }

    /// Forgets a cache that is gone.
    pub(crate) fn forget(&self, name: &str) {
        // What stays says nothing of a cache that is not there.
        let _ = std::fs::remove_file(self.stamp(name));
    }

    /// Notes that a step has a cache at `target`.
    fn note(&self, name: &str, target: &str) -> Result<(), BuildError> {
        let _alone = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.stamp(name);
        note(&stamp, target).map_err(file("write", &stamp))
    }

    /// All caches.
    pub(crate) fn list(&self) -> Vec<Usage> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let in_use = self.lock(&name).try_write_owned().is_err();
            let stamp = self.stamp(&name);
            let usage = Usage::of(&entry.path(), CACHE_MOUNT, "cached mount", &stamp, in_use)?;
            Some(Usage {
                used: self.used(&name, &entry)?,
                ..usage
            })
        });
        all.collect()
    }

    /// When a step had a cache last; one of before such things were noted says it itself.
    fn used(&self, name: &str, entry: &DirEntry) -> Option<SystemTime> {
        let stamp = self.stamp(name).metadata().or_else(|_| entry.metadata());
        stamp.ok()?.modified().ok()
    }

    /// The caches that no step uses now.
    pub(crate) fn idle(&self) -> Vec<Idle> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let idle = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(Idle {
                _lock: Lock::Alone(self.lock(&name).try_write_owned().ok()?),
                path: entry.path(),
                used: self.used(&name, &entry)?,
                name,
            })
        });
        idle.collect()
    }

    /// Waits for a cache as its mount says; its name with its lock.
    async fn take(&self, base: String, sharing: Sharing) -> Result<(String, Lock), BuildError> {
        Ok(match sharing {
            Sharing::Shared => {
                let lock = self.lock(&base).read_owned().await;
                (base, Lock::Shared(lock))
            }
            Sharing::Locked => {
                let lock = self.lock(&base).write_owned().await;
                (base, Lock::Alone(lock))
            }
            Sharing::Private => {
                let mut names = (0..).map(|number| format!("{base}-{number}"));
                let free = names.find_map(|name| Some((self.lock(&name).try_write_owned().ok()?, name)));
                let (lock, name) = free.ok_or(BuildError::Cancelled)?;
                (name, Lock::Alone(lock))
            }
        })
    }
}

impl Mounted {
    /// A cache, empty or with files of a stage, context or image in it at first.
    pub(super) async fn cache(&mut self, stage: &mut Stage, mount: &Mount) -> Result<(), BuildError> {
        let target = absolute(stage, mount.target.as_deref().unwrap_or_default());
        let id = mount.id.clone().unwrap_or_else(|| target.clone());
        let first = match (&mount.from, &mount.source) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(BuildError::Instruction(format!(
                    "the cache at {target} has a source, which needs from=STAGE, CONTEXT or IMAGE"
                )));
            }
            (Some(from), source) => {
                let root = stage.files_of(from).await?;
                Some(found(stage, &root, source.as_deref().unwrap_or("/")).await?)
            }
        };
        let mut key = id;
        if let Some(first) = &first {
            // Whatever begins with other files is another cache.
            self.keys.push(first.hash.clone());
            key = format!("{key}\0{}", first.hash);
        }
        let base = Digest::sha256(key).hex()[..32].to_owned();
        let caches = Arc::clone(&stage.engine.caches);
        let (name, lock) = caches.take(base, mount.sharing).await?;
        self.locks.push(lock);
        let path = caches.root.join(&name);
        if !path.exists() {
            // Under a name of its own first: what is there is whole.
            let made = self.scratch(stage, "cache");
            let made = match first {
                Some(first) => {
                    copied(first, &made).await?;
                    made.join("copy")
                }
                None => {
                    std::fs::create_dir(&made).map_err(file("create", &made))?;
                    let mode = mount.mode.unwrap_or(0o755);
                    std::fs::set_permissions(&made, PermissionsExt::from_mode(mode))
                        .map_err(file("chmod", &made))?;
                    chown(&made, Some(mount.uid.unwrap_or(0)), Some(mount.gid.unwrap_or(0)))
                        .map_err(file("chown", &made))?;
                    made
                }
            };
            if !made.is_dir() {
                return Err(BuildError::Instruction(format!(
                    "the cache at {target} can only begin with a directory"
                )));
            }
            match std::fs::rename(&made, &path) {
                // Another step was faster.
                Err(error) if path.is_dir() => tracing::debug!(%error, "a cache is there already"),
                renamed => renamed.map_err(file("make the cache", &path))?,
            }
        }
        caches.note(&name, &target)?;
        self.add(&path, target, mount.read_only.unwrap_or(false));
        Ok(())
    }
}
