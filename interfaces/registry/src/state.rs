//! The tables: which repository has which manifests and tags, and may serve which blobs.
//!
//! Rows are kept in memory by `durable`; a key begins with the name of the repository and a character that no name has:
//! `name@digest` for manifests and blobs, `name:tag` for tags, `name@subject@digest` for referrers.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use durable::{Row, Scope, Store, StoreError, Table, Transaction, crash_point};
use oci::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::metrics::Present;

/// A repository; it is there as long as anything is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Repository {
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// A manifest in a repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) pushed: u64,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
}

/// A tag of a repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) digest: Digest,
    /// Seconds since 1970.
    pub(crate) changed: u64,
}

/// A blob that a repository may serve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) linked: u64,
}

/// An entry of the index from a subject to its referrers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Referrer {}

macro_rules! rows {
    ($($row:ty: $table:literal),*) => {
        $(impl Row for $row {
            const TABLE: &'static str = $table;
            const VERSION: u32 = 1;
        })*
    };
}
rows!(Repository: "repositories", Manifest: "manifests", Tag: "tags", Link: "blobs", Referrer: "referrers");

/// All tables of a registry. Reads are from memory; a change is done when it is durable.
#[derive(Debug)]
pub(crate) struct State {
    scope: Scope,
    repositories: Table<Repository>,
    manifests: Table<Manifest>,
    tags: Table<Tag>,
    links: Table<Link>,
    referrers: Table<Referrer>,
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

fn at(name: &str, digest: &Digest) -> String {
    format!("{name}@{digest}")
}

fn tagged(name: &str, tag: &str) -> String {
    format!("{name}:{tag}")
}

fn referring(name: &str, subject: &Digest, digest: &Digest) -> String {
    format!("{name}@{subject}@{digest}")
}

/// The part of a key behind the last `separator`.
fn digest_of(key: &str) -> Option<Digest> {
    key.rsplit_once('@')?.1.parse().ok()
}

impl State {
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let scope = Store::open(&root.join("registry.redb"))?.scope("registry");
        Ok(Self {
            repositories: scope.table()?,
            manifests: scope.table()?,
            tags: scope.table()?,
            links: scope.table()?,
            referrers: scope.table()?,
            scope,
        })
    }

    pub(crate) fn has_repository(&self, name: &str) -> bool {
        self.repositories.contains(name)
    }

    pub(crate) fn manifest(&self, name: &str, digest: &Digest) -> Option<Arc<Manifest>> {
        self.manifests.get(&at(name, digest))
    }

    pub(crate) fn tag(&self, name: &str, tag: &str) -> Option<Arc<Tag>> {
        self.tags.get(&tagged(name, tag))
    }

    /// A blob, if the repository may serve it.
    pub(crate) fn blob(&self, name: &str, digest: &Digest) -> Option<Arc<Link>> {
        self.links.get(&at(name, digest))
    }

    /// All manifests of a repository.
    pub(crate) fn manifests_of(&self, name: &str) -> Vec<(Digest, Arc<Manifest>)> {
        let rows = self.manifests.with_prefix(&format!("{name}@"), usize::MAX);
        let digests = rows
            .into_iter()
            .filter_map(|(key, row)| Some((digest_of(&key)?, row)));
        digests.collect()
    }

    /// All blobs that a repository may serve.
    pub(crate) fn links_of(&self, name: &str) -> Vec<(Digest, Arc<Link>)> {
        let rows = self.links.with_prefix(&format!("{name}@"), usize::MAX);
        let digests = rows
            .into_iter()
            .filter_map(|(key, row)| Some((digest_of(&key)?, row)));
        digests.collect()
    }

    /// Everything that some repository has.
    pub(crate) fn needed(&self) -> HashSet<Digest> {
        let manifests = self
            .manifests
            .all()
            .into_iter()
            .filter_map(|(key, _)| digest_of(&key));
        let links = self
            .links
            .all()
            .into_iter()
            .filter_map(|(key, _)| digest_of(&key));
        manifests.chain(links).collect()
    }

    /// Takes blobs from a repository, and the repository itself when nothing is left in it.
    pub(crate) async fn unlink_all(&self, name: &str, digests: &[Digest]) -> Result<(), StoreError> {
        let mut change = self.scope.transaction();
        for digest in digests {
            change = change.delete(&self.links, &at(name, digest));
        }
        let prefix = format!("{name}@");
        let links = self.links.with_prefix(&prefix, digests.len() + 1).len();
        if links == digests.len() && self.manifests.with_prefix(&prefix, 1).is_empty() {
            change = change.delete(&self.repositories, name);
        }
        change.commit().await
    }

    /// The names of tags after `last`, in order.
    pub(crate) fn tags(&self, name: &str, last: &str, limit: usize) -> Vec<String> {
        let prefix = format!("{name}:");
        let rows = self.tags.with_prefix_after(&prefix, &tagged(name, last), limit);
        rows.into_iter()
            .map(|(mut key, _)| key.split_off(prefix.len()))
            .collect()
    }

    /// The names of repositories after `last`, in order.
    pub(crate) fn repositories(&self, last: &str, limit: usize) -> Vec<String> {
        let rows = self.repositories.with_prefix_after("", last, limit);
        rows.into_iter().map(|(name, _)| name).collect()
    }

    /// The digests of the manifests after `last` whose subject this is, in order.
    pub(crate) fn referrers(&self, name: &str, subject: &Digest, last: &str, limit: usize) -> Vec<Digest> {
        let prefix = format!("{}@", at(name, subject));
        let rows = self
            .referrers
            .with_prefix_after(&prefix, &format!("{prefix}{last}"), limit);
        rows.iter().filter_map(|(key, _)| digest_of(key)).collect()
    }

    fn change(&self, name: &str) -> Transaction {
        let change = self.scope.transaction();
        if self.repositories.contains(name) {
            return change;
        }
        change.put(&self.repositories, name, &Repository { created: now() })
    }

    /// Lets a repository serve a blob.
    pub(crate) async fn link(&self, name: &str, digest: &Digest, size: u64) -> Result<(), StoreError> {
        let key = at(name, digest);
        if self.links.contains(&key) {
            return Ok(());
        }
        let link = Link { size, linked: now() };
        crash_point("registry.link.stored");
        self.change(name).put(&self.links, &key, &link).commit().await
    }

    /// Takes a blob from a repository; whether it had it.
    pub(crate) async fn unlink(&self, name: &str, digest: &Digest) -> Result<bool, StoreError> {
        let key = at(name, digest);
        if !self.links.contains(&key) {
            return Ok(false);
        }
        self.scope
            .transaction()
            .delete(&self.links, &key)
            .commit()
            .await?;
        Ok(true)
    }

    /// Adds a manifest and points tags to it.
    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        digest: &Digest,
        manifest: &Manifest,
        tags: &[String],
    ) -> Result<(), StoreError> {
        let mut change = self.change(name);
        if !self.manifests.contains(&at(name, digest)) {
            change = change.put(&self.manifests, &at(name, digest), manifest);
            if let Some(subject) = &manifest.subject {
                change = change.put(&self.referrers, &referring(name, subject, digest), &Referrer {});
            }
        }
        for tag in tags {
            let row = Tag {
                digest: digest.clone(),
                changed: now(),
            };
            change = change.put(&self.tags, &tagged(name, tag), &row);
        }
        crash_point("registry.manifest.stored");
        change.commit().await?;
        crash_point("registry.manifest.committed");
        Ok(())
    }

    /// Removes a tag; whether it was there.
    pub(crate) async fn delete_tag(&self, name: &str, tag: &str) -> Result<bool, StoreError> {
        let key = tagged(name, tag);
        if !self.tags.contains(&key) {
            return Ok(false);
        }
        self.scope.transaction().delete(&self.tags, &key).commit().await?;
        Ok(true)
    }

    /// Removes a manifest and the tags that point to it; the tags, or nothing if it was not there.
    pub(crate) async fn delete_manifest(
        &self,
        name: &str,
        digest: &Digest,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let Some(manifest) = self.manifest(name, digest) else {
            return Ok(None);
        };
        let mut change = self
            .scope
            .transaction()
            .delete(&self.manifests, &at(name, digest));
        if let Some(subject) = &manifest.subject {
            change = change.delete(&self.referrers, &referring(name, subject, digest));
        }
        let tags = self.tags_of(name, digest);
        for tag in &tags {
            change = change.delete(&self.tags, &tagged(name, tag));
        }
        crash_point("registry.delete.asked");
        change.commit().await?;
        Ok(Some(tags))
    }

    /// The tags that point to a manifest.
    pub(crate) fn tags_of(&self, name: &str, digest: &Digest) -> Vec<String> {
        let rows = self.tag_rows(name).into_iter();
        rows.filter(|(_, tag)| tag.digest == *digest)
            .map(|(tag, _)| tag)
            .collect()
    }

    /// All tags of a repository.
    pub(crate) fn tag_rows(&self, name: &str) -> Vec<(String, Arc<Tag>)> {
        let prefix = format!("{name}:");
        let rows = self.tags.with_prefix(&prefix, usize::MAX);
        rows.into_iter()
            .map(|(mut key, row)| (key.split_off(prefix.len()), row))
            .collect()
    }

    /// How many bytes a repository holds.
    pub(crate) fn usage(&self, name: &str) -> u64 {
        let links = self.links_of(name).into_iter().map(|(_, link)| link.size);
        let manifests = self
            .manifests_of(name)
            .into_iter()
            .map(|(_, manifest)| manifest.size);
        links.chain(manifests).fold(0, u64::saturating_add)
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> Present {
        Present {
            repositories: self.repositories.len(),
            manifests: self.manifests.len(),
            tags: self.tags.len(),
            links: self.links.len(),
        }
    }
}
