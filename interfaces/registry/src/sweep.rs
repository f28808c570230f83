//! Garbage collection while the registry serves: mark from the manifests, sweep the rest.
//!
//! Two sorts of garbage. A *link* lets a repository serve a blob; one that no manifest of the repository needs goes away when
//! it is older than the grace period, is not asked for, and no push to the repository is under way (its lock). *Content* is
//! removed when no repository has a manifest or a link of that digest; [`crate::claims`] keeps pushes and this apart.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use durable::{StoreError, crash_point};
use fault::{Fault, Kind};
use oci::digest::Digest;

use crate::content::ContentError;
use crate::manifest::{LARGEST, Parsed};
use crate::registry::Registry;
use crate::state::now;

/// What a collection has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that nobody went on with.
    pub uploads: usize,
    /// Tags that no rule of retention keeps.
    pub tags: usize,
    /// Manifests that no tag leads to and no rule of retention keeps.
    pub manifests: usize,
    /// Blobs that a repository does not serve any more.
    pub links: usize,
    /// Blobs of the whole registry.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A collection could not go on; what it had removed until then is gone, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The tables could not be changed.
    #[error(transparent)]
    Tables(#[from] StoreError),
    /// The content could not be listed or removed.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Fault for SweepError {
    fn kind(&self) -> Kind {
        match self {
            Self::Tables(error) => error.kind(),
            Self::Content(error) => error.kind(),
        }
    }
}

impl Registry {
    /// Removes what nothing needs any more. Pushes and pulls go on meanwhile.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn collect_garbage(&self) -> Result<Swept, SweepError> {
        // Two at a time would only be in each other's way, and the claims know one sweep.
        let _alone = self.sweeping.lock().await;
        let mut swept = Swept {
            uploads: self.sessions.expire(self.settings.upload_expiry).await?,
            ..Swept::default()
        };
        let mut last = String::new();
        loop {
            let names = self.state.repositories(&last, 100);
            let Some(end) = names.last() else { break };
            last.clone_from(end);
            for name in &names {
                let (tags, manifests) = self.retain(name).await?;
                swept.tags += tags;
                swept.manifests += manifests;
                swept.links += self.sweep_links(name).await?;
            }
        }
        self.sweep_content(&mut swept).await?;
        Ok(swept)
    }

    async fn sweep_links(&self, name: &str) -> Result<usize, SweepError> {
        // What takes long is done before the lock is taken; under it only what has come since is read.
        let mut needs = HashMap::new();
        self.read_needs(name, &mut needs).await;
        let _exclusive = self.lock_of(name).write().await;
        if !self.read_needs(name, &mut needs).await {
            // A manifest that cannot be read may need anything.
            return Ok(0);
        }
        let marked: HashSet<&Digest> = needs.values().flatten().collect();
        let oldest = now().saturating_sub(self.settings.grace.as_secs());
        let settled = self.opened.elapsed() >= self.settings.grace;
        let stale: Vec<Digest> = self
            .state
            .links_of(name)
            .into_iter()
            .filter(|(digest, link)| settled && !marked.contains(digest) && link.linked <= oldest)
            .filter(|(digest, _)| !self.touched.has(name, digest))
            .map(|(digest, _)| digest)
            .collect();
        self.state.unlink_all(name, &stale).await?;
        crash_point("registry.sweep.unlinked");
        Ok(stale.len())
    }

    /// Reads which blobs each manifest of a repository needs, where that is not known yet; false when one cannot be read.
    async fn read_needs(&self, name: &str, needs: &mut HashMap<Digest, Vec<Digest>>) -> bool {
        let mut whole = true;
        for (digest, row) in self.state.manifests_of(name) {
            if needs.contains_key(&digest) {
                continue;
            }
            let bytes = match self.content.read(&digest, LARGEST as u64).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!(%error, name, "a manifest cannot be read; its repository is not swept");
                    whole = false;
                    continue;
                }
            };
            match Parsed::read(&bytes, Some(&row.media_type)) {
                Ok(parsed) => {
                    let blobs = parsed.blobs.into_iter().map(|pointer| pointer.digest);
                    needs.insert(digest, blobs.collect());
                }
                Err(failure) => {
                    tracing::error!(?failure, name, %digest, "a manifest is damaged; its repository is not swept");
                    whole = false;
                }
            }
        }
        whole
    }

    async fn sweep_content(&self, swept: &mut Swept) -> Result<(), SweepError> {
        // In this order: what is pushed from now on is remembered by the sweep, what was pushed before is in the rows.
        let sweep = self.claims.begin_sweep();
        let needed = self.state.needed();
        for blob in self.content.list().await? {
            if needed.contains(&blob.digest) {
                continue;
            }
            let Some(_doom) = sweep.doom(&blob.digest) else {
                continue;
            };
            if self.content.remove(&blob.digest).await? {
                crash_point("registry.sweep.removed");
                swept.blobs += 1;
                swept.bytes += blob.size;
                self.metrics.swept_blobs.fetch_add(1, Ordering::Relaxed);
                self.metrics.swept_bytes.fetch_add(blob.size, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Blobs that were asked for lately by clients that may be about to push a manifest with them.
///
/// Two generations, each as long as the grace period: whoever is told «it is here» has at least that long.
#[derive(Debug)]
pub(crate) struct Touched(Mutex<Generations>);

#[derive(Debug)]
struct Generations {
    young: HashSet<(String, Digest)>,
    old: HashSet<(String, Digest)>,
    since: Instant,
}

/// A generation remembers as many.
const MOST: usize = 100_000;

impl Touched {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Generations {
            young: HashSet::new(),
            old: HashSet::new(),
            since: Instant::now(),
        }))
    }

    pub(crate) fn touch(&self, name: &str, digest: &Digest, grace: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.since.elapsed() >= grace {
            all.old = std::mem::take(&mut all.young);
            all.since = Instant::now();
        }
        if all.young.len() < MOST {
            all.young.insert((name.to_owned(), digest.clone()));
        }
    }

    fn has(&self, name: &str, digest: &Digest) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), digest.clone());
        all.young.contains(&key) || all.old.contains(&key)
    }
}
