//! What administrators decide about repositories: tags that never change, how much may be stored, and what is kept.

use std::collections::{HashMap, HashSet};

use hyper::StatusCode;
use oci::digest::Digest;

use crate::config::{ImmutableTags, Quota, Retention};
use crate::error::{Code, Failure};
use crate::manifest::{LARGEST, Parsed};
use crate::registry::Registry;
use crate::state::now;
use crate::sweep::SweepError;

/// The decisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) immutable: Vec<ImmutableTags>,
    pub(crate) quotas: Vec<Quota>,
    pub(crate) retention: Vec<Retention>,
}

impl Policy {
    /// Whether a tag may never point elsewhere.
    pub(crate) fn is_immutable(&self, name: &str, tag: &str) -> bool {
        let mut rules = self.immutable.iter();
        rules.any(|rule| rule.repositories.fits(name) && rule.tags.fits(tag))
    }

    /// How many bytes a repository may hold.
    pub(crate) fn quota(&self, name: &str) -> Option<u64> {
        let rule = self.quotas.iter().find(|rule| rule.repositories.fits(name))?;
        Some(rule.bytes)
    }
}

impl Registry {
    /// How many bytes may still come into a repository; `None` when nobody has said.
    pub(crate) fn room(&self, name: &str) -> Option<u64> {
        let quota = self.policy.quota(name)?;
        Some(quota.saturating_sub(self.state.usage(name)))
    }

    /// Refuses what does not fit into the repository any more.
    pub(crate) fn check_room(&self, name: &str, bytes: u64) -> Result<(), Failure> {
        match self.room(name) {
            Some(room) if bytes > room => Err(over_quota(name)),
            _ => Ok(()),
        }
    }

    /// Refuses to point an immutable tag elsewhere.
    pub(crate) fn check_tags(&self, name: &str, tags: &[String], digest: &Digest) -> Result<(), Failure> {
        let changed = tags.iter().find(|tag| {
            let other = self.state.tag(name, tag).is_some_and(|row| row.digest != *digest);
            other && self.policy.is_immutable(name, tag)
        });
        match changed {
            Some(tag) => {
                let message = format!("the tag {tag} is immutable and points to another manifest");
                Err(Failure::new(Code::Denied, message)
                    .with_status(StatusCode::CONFLICT)
                    .about(tag))
            }
            None => Ok(()),
        }
    }

    /// Refuses to remove an immutable tag.
    pub(crate) fn check_removal(&self, name: &str, tags: &[String]) -> Result<(), Failure> {
        match tags.iter().find(|tag| self.policy.is_immutable(name, tag)) {
            Some(tag) => {
                Err(Failure::new(Code::Unsupported, format!("the tag {tag} is immutable")).about(tag))
            }
            None => Ok(()),
        }
    }

    /// Removes the tags and untagged manifests of a repository that no rule of retention keeps; how many of each.
    pub(crate) async fn retain(&self, name: &str) -> Result<(usize, usize), SweepError> {
        let Some(rule) = self
            .policy
            .retention
            .iter()
            .find(|rule| rule.repositories.fits(name))
        else {
            return Ok((0, 0));
        };
        let _exclusive = self.lock_of(name).write().await;
        let mut tags = self.state.tag_rows(name);
        tags.retain(|(tag, _)| rule.tags.fits(tag) && !self.policy.is_immutable(name, tag));
        // Newest first; of the same second the last name first, which mostly is the higher version.
        tags.sort_by(|(a, row), (b, other)| (other.changed, b).cmp(&(row.changed, a)));
        let oldest = rule.keep_for.map(|time| now().saturating_sub(time.as_secs()));
        let mut gone = 0;
        if rule.keep_last.is_some() || rule.keep_for.is_some() {
            for (tag, row) in tags.iter().skip(rule.keep_last.unwrap_or(0)) {
                if oldest.is_none_or(|oldest| row.changed < oldest) {
                    self.state.delete_tag(name, tag).await?;
                    gone += 1;
                }
            }
        }
        let untagged = match rule.untagged_for {
            Some(time) => {
                self.drop_untagged(name, now().saturating_sub(time.as_secs()))
                    .await?
            }
            None => 0,
        };
        Ok((gone, untagged))
    }

    /// Removes the manifests pushed before `oldest` that no tag leads to: not by an index, not as a referrer.
    async fn drop_untagged(&self, name: &str, oldest: u64) -> Result<usize, SweepError> {
        let rows = self.state.manifests_of(name);
        let mut children: HashMap<&Digest, Vec<Digest>> = HashMap::new();
        for (digest, row) in &rows {
            let bytes = self.content.read(digest, LARGEST as u64).await?;
            let Ok(parsed) = Parsed::read(&bytes, Some(&row.media_type)) else {
                // What cannot be read may lead anywhere.
                return Ok(0);
            };
            let mut below: Vec<Digest> = parsed
                .manifests
                .into_iter()
                .map(|pointer| pointer.digest)
                .collect();
            below.extend(self.state.referrers(name, digest, "", usize::MAX));
            children.insert(digest, below);
        }
        let mut open: Vec<Digest> = self
            .state
            .tag_rows(name)
            .iter()
            .map(|(_, row)| row.digest.clone())
            .collect();
        // What is young keeps what it leads to.
        let young = rows.iter().filter(|(_, row)| row.pushed > oldest);
        open.extend(young.map(|(digest, _)| digest.clone()));
        let mut living: HashSet<Digest> = HashSet::new();
        while let Some(digest) = open.pop() {
            if living.insert(digest.clone()) {
                open.extend(children.get(&digest).into_iter().flatten().cloned());
            }
        }
        let mut gone = 0;
        for (digest, _) in rows.iter().filter(|(digest, _)| !living.contains(digest)) {
            self.state.delete_manifest(name, digest).await?;
            gone += 1;
        }
        Ok(gone)
    }
}

/// What a client is told when its repository is full.
pub(crate) fn over_quota(name: &str) -> Failure {
    Failure::new(Code::Denied, "the repository has reached its quota").about(name)
}
