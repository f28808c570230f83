//! Garbage collection by policy: what nobody has used for long, and room where it gets scarce. Off unless configured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api_types::image::PruneReport;
use events::Kind;
use oci::digest::Digest;

use crate::error::file;
use crate::lookup::created;
use crate::service::now;
use crate::state::UseRow;
use crate::{Image, ImageError, Images};

/// What may be deleted without being asked for. Never what a container holds, or what another image stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcPolicy {
    /// Between two looks.
    pub interval: Duration,
    /// Images that were neither used nor tagged for so long go.
    pub unused_for: Option<Duration>,
    /// While the data root has fewer free bytes, images go, those first that were not used for longest.
    pub min_free: Option<u64>,
    /// So many images of each repository stay whatever the rest says: those that were made last.
    pub keep_last: usize,
}

impl Images {
    /// Collects garbage now and then, until the service is gone.
    pub fn keep_tidy(self: &Arc<Self>, policy: GcPolicy) {
        let images = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(policy.interval).await;
                let Some(images) = images.upgrade() else { return };
                match images.collect_garbage(&policy).await {
                    Ok(report) if report.images_deleted.is_none() => {}
                    Ok(report) => tracing::info!(bytes = report.space_reclaimed, "unused images are deleted"),
                    Err(error) => tracing::warn!(%error, "unused images are not deleted"),
                }
            }
        });
    }

    /// Deletes what the policy says.
    ///
    /// # Errors
    /// [`ImageError`]; what was deleted before stays so.
    pub async fn collect_garbage(self: &Arc<Self>, policy: &GcPolicy) -> Result<PruneReport, ImageError> {
        let policy = policy.clone();
        self.blocking(move |images| images.collect_now(&policy)).await
    }

    fn collect_now(&self, policy: &GcPolicy) -> Result<PruneReport, ImageError> {
        let kept = self.last_of_each_repository(policy.keep_last);
        let mut unused: Vec<(i64, Image)> = self
            .prunable(false)
            .into_iter()
            .filter(|id| !kept.contains(id))
            .filter_map(|id| Some((self.last_use(&id)?, self.get(&id)?)))
            .collect();
        unused.sort_by_key(|(last_use, _)| *last_use);
        let age = policy
            .unused_for
            .map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        let (_, size_before) = self.layers.usage();
        let mut removed = Vec::new();
        for (last_use, image) in unused {
            let is_old = age.is_some_and(|age| now().saturating_sub(last_use) > age);
            if !is_old && !self.is_scarce(policy.min_free)? {
                // All that follow were used later.
                break;
            }
            let _changing = self.lock_changes();
            if self.prune_one(&image, false, &mut removed) {
                self.delete_unnamed_parents(image.parent.as_ref(), &mut removed);
            }
        }
        let (_, size_after) = self.layers.usage();
        let reclaimed = size_before.saturating_sub(size_after);
        if !removed.is_empty() {
            let attributes = [("reclaimed".to_owned(), reclaimed.to_string())].into();
            self.events.publish(Kind::Image, "prune", "", attributes);
        }
        Ok(PruneReport {
            images_deleted: Some(removed).filter(|removed| !removed.is_empty()),
            space_reclaimed: reclaimed,
        })
    }

    /// When a container let go of it last, or it came or was tagged.
    fn last_use(&self, id: &Digest) -> Option<i64> {
        let state = self.read();
        let entry = state.images.get(id)?;
        let made = created(&entry.snapshot(id)).and_then(|time| i64::try_from(time.as_nanosecond()).ok());
        let used = self.uses.get(&id.to_string()).map(|row| row.last);
        // An image of before there was such a note is as old as it says.
        Some(used.max(entry.row.last_tagged).or(made).unwrap_or(0))
    }

    /// The images of each repository that were made last.
    fn last_of_each_repository(&self, count: usize) -> BTreeSet<Digest> {
        let state = self.read();
        let mut repositories: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (name, id) in state.names.iter().filter(|(name, _)| name.tag().is_some()) {
            let Some(image) = state.snapshot(id) else { continue };
            let made = (created(&image), image.last_tagged);
            repositories
                .entry(name.name())
                .or_default()
                .push((made, id.clone()));
        }
        let mut kept = BTreeSet::new();
        for mut images in repositories.into_values() {
            // An image with several tags is one.
            images.sort();
            images.dedup();
            kept.extend(images.into_iter().rev().take(count).map(|(_, id)| id));
        }
        kept
    }

    fn is_scarce(&self, min_free: Option<u64>) -> Result<bool, ImageError> {
        let Some(min_free) = min_free else {
            return Ok(false);
        };
        let root = &self.data_root;
        let status = rustix::fs::statvfs(root).map_err(|error| file("statvfs", root)(error.into()))?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize) < min_free)
    }

    /// Notes that an image was used until now, at most once in an hour: a container that comes and goes shall not cost a
    /// write each time.
    pub(crate) fn note_use(&self, id: &Digest) {
        const OFTEN: i64 = 3_600_000_000_000;
        let (key, last) = (id.to_string(), now());
        let known = self.uses.get(&key);
        if known.is_some_and(|row| last.saturating_sub(row.last) < OFTEN) {
            return;
        }
        let state = self.read();
        if state.images.contains_key(id) {
            // Not waited for: after a kill the note before is as good. Queued under the lock, so that it does not come after
            // the image's deletion.
            let row = UseRow { last };
            drop(self.tables.transaction().put(&self.uses, &key, &row).commit());
        }
    }
}
