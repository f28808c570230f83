//! What builds keep for later, and which of it goes: cache mounts, and what others keep for builds.

use std::any::Any;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use events::Kind;

use crate::{Builds, size_of};

/// A cache mount, as BuildKit calls it.
pub(crate) const CACHE_MOUNT: &str = "exec.cachemount";

/// Something kept that nothing uses as long as this lives.
pub struct Prunable {
    /// Its name.
    pub id: String,
    /// What it is, in BuildKit's words: `exec.cachemount`, `source.local`.
    pub kind: &'static str,
    /// When it was used last.
    pub used: SystemTime,
    /// Where it is.
    pub path: PathBuf,
    /// Keeps others from using it.
    pub guard: Box<dyn Any + Send>,
}

impl std::fmt::Debug for Prunable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Prunable").field(&self.path).finish()
    }
}

impl Prunable {
    /// Removes it; whether it is gone.
    pub fn remove(&self) -> bool {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return false;
        };
        let removed = std::fs::File::open(parent).and_then(|parent| {
            archive::remove_tree(parent.as_fd(), name.as_encoded_bytes()).map_err(std::io::Error::from)
        });
        if let Err(error) = &removed {
            tracing::warn!(%error, path = %self.path.display(), "what builds have kept is not removed");
        }
        removed.is_ok()
    }
}

/// What [`Builds::prune`] shall take away.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Only what was not used since then.
    pub before: Option<SystemTime>,
    /// Only these, if there are any.
    pub ids: Vec<String>,
    /// Only these kinds, if there are any.
    pub kinds: Vec<String>,
    /// Bytes that may stay, the latest used ones.
    pub keep: u64,
}

impl PruneOptions {
    fn takes(&self, kept: &Prunable) -> bool {
        self.before.is_none_or(|before| kept.used < before)
            && (self.ids.is_empty() || self.ids.contains(&kept.id))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == kept.kind))
    }
}

/// What was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Its name.
    pub id: String,
    /// What it was.
    pub kind: &'static str,
    /// Bytes.
    pub size: u64,
}

impl Builds {
    /// Takes away what no step uses now, of the cache mounts and of what `others` keep. The images of steps go with
    /// `docker image prune`.
    pub async fn prune(&self, others: Vec<Prunable>, options: PruneOptions) -> Vec<Pruned> {
        let caches = Arc::clone(&self.caches);
        let pruning = tokio::task::spawn_blocking(move || {
            let mut all = others;
            all.extend(caches.idle().into_iter().map(|cache| Prunable {
                id: cache.name.clone(),
                kind: CACHE_MOUNT,
                used: cache.used,
                path: cache.path.clone(),
                guard: Box::new(cache),
            }));
            all.sort_by_key(|kept| kept.used);
            let pruned = choose(all, &options);
            let gone = pruned.iter().filter(|gone| gone.kind == CACHE_MOUNT);
            gone.for_each(|gone| caches.forget(&gone.id));
            pruned
        });
        let pruned = pruning.await.unwrap_or_default();
        let reclaimed: u64 = pruned.iter().map(|gone| gone.size).sum();
        let attributes = [("reclaimed".to_owned(), reclaimed.to_string())];
        self.events.publish(Kind::Builder, "prune", "", attributes.into());
        pruned
    }
}

fn choose(all: Vec<Prunable>, options: &PruneOptions) -> Vec<Pruned> {
    let sized: Vec<(u64, Prunable)> = all.into_iter().map(|kept| (size_of(&kept.path), kept)).collect();
    let mut total: u64 = sized.iter().map(|(size, _)| size).sum();
    let mut pruned = Vec::new();
    for (size, kept) in sized {
        let enough = options.keep > 0 && total <= options.keep;
        if !enough && options.takes(&kept) && kept.remove() {
            total -= size;
            pruned.push(Pruned {
                id: kept.id,
                kind: kept.kind,
                size,
            });
        }
    }
    pruned
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Directories of 100 bytes each, `a` used first.
    fn all(folder: &std::path::Path) -> Vec<Prunable> {
        let kept = |(number, id): (u64, &str)| {
            let path = folder.join(id);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("file"), [0; 100]).unwrap();
            Prunable {
                id: id.to_owned(),
                kind: if id == "a" { CACHE_MOUNT } else { "source.local" },
                used: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
                path,
                guard: Box::new(()),
            }
        };
        (1..).zip(["a", "b", "c"]).map(kept).collect()
    }

    #[test]
    fn filters_and_bounds_choose_what_goes() {
        let folder = tempfile::tempdir().unwrap();
        let gone = |options: PruneOptions| -> Vec<String> {
            let pruned = choose(all(folder.path()), &options);
            assert!(
                pruned
                    .iter()
                    .all(|gone| gone.size == 100 && !folder.path().join(&gone.id).exists())
            );
            pruned.into_iter().map(|gone| gone.id).collect()
        };
        let none = PruneOptions::default;
        assert_eq!(gone(none()), ["a", "b", "c"]);
        let before = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2));
        assert_eq!(gone(PruneOptions { before, ..none() }), ["a"]);
        assert_eq!(gone(PruneOptions { keep: 100, ..none() }), ["a", "b"]);
        assert_eq!(gone(PruneOptions { keep: 300, ..none() }), [""; 0]);
        let kinds = vec!["source.local".to_owned()];
        assert_eq!(gone(PruneOptions { kinds, ..none() }), ["b", "c"]);
        let ids = vec!["c".to_owned()];
        assert_eq!(gone(PruneOptions { ids, ..none() }), ["c"]);
    }
}
