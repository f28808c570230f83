//! What the registry holds.

use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Content {
    /// (repository, digest).
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// (repository, tag or digest) -> (media type, bytes).
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub(crate) uploads: BTreeMap<String, Vec<u8>>,
    next: usize,
}

impl Content {
    pub(crate) fn put_blob(&mut self, repository: &str, digest: &str, bytes: Vec<u8>) {
        self.blobs
            .insert((repository.to_owned(), digest.to_owned()), bytes);
    }

    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.blobs
            .get(&(repository.to_owned(), digest.to_owned()))
            .cloned()
    }

    pub(crate) fn put_manifest(&mut self, repository: &str, tag: &str, kind: &str, bytes: Vec<u8>) -> String {
        let digest = crate::digest(&bytes);
        for name in [tag, &digest] {
            let key = (repository.to_owned(), name.to_owned());
            self.manifests.insert(key, (kind.to_owned(), bytes.clone()));
        }
        digest
    }

    pub(crate) fn manifest(&self, repository: &str, name: &str) -> Option<(String, Vec<u8>)> {
        self.manifests
            .get(&(repository.to_owned(), name.to_owned()))
            .cloned()
    }

    /// Whether it was there.
    pub(crate) fn remove_manifest(&mut self, repository: &str, name: &str) -> bool {
        let key = (repository.to_owned(), name.to_owned());
        self.manifests.remove(&key).is_some()
    }

    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let own = self
            .manifests
            .keys()
            .filter(|(r, name)| r == repository && !name.contains(':'));
        own.map(|(_, name)| name.clone()).collect()
    }

    pub(crate) fn repositories(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .manifests
            .keys()
            .map(|(repository, _)| repository.clone())
            .collect();
        names.dedup();
        names
    }

    pub(crate) fn begin(&mut self) -> String {
        self.next += 1;
        let id = format!("upload-{}", self.next);
        self.uploads.insert(id.clone(), Vec::new());
        id
    }
}
