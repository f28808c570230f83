//! Files of the context that a layer has by a link: they stay as they are as long as a layer has them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use images::FindFile;
use rustix::fs::OFlags;

use super::{Ready, Root};

/// Which file each entry of an archive was made of, from when it is written until it is read.
#[derive(Debug, Default)]
pub(super) struct Origins(OnceLock<Written>);

#[derive(Debug)]
struct Written {
    /// The only tree whose files may be linked.
    root: Arc<Root>,
    /// Paths of entries, and those of their files.
    files: Mutex<VecDeque<(String, String)>>,
}

impl Origins {
    /// Notes that the next entry, with this name, is a file of a tree.
    pub(super) fn note(&self, root: &Arc<Root>, path: &str, name: &str) {
        if let Some(written) = self.0.get().filter(|written| Arc::ptr_eq(&written.root, root)) {
            let mut files = written.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.push_back((name.to_owned(), path.to_owned()));
        }
    }

    fn find(&self, name: &[u8]) -> Option<std::os::fd::OwnedFd> {
        let written = self.0.get()?;
        let path = {
            let mut files = written.files.lock().unwrap_or_else(PoisonError::into_inner);
            // Entries are read in the order in which they were written.
            let at = files.iter().position(|(known, _)| known.as_bytes() == name)?;
            files.drain(..=at).next_back()?.1
        };
        written.root.open(&path, OFlags::PATH).ok()
    }
}

/// Finds the files of the context `root` in an archive that [`Ready::write`] is going to write; nothing if it has none.
pub(crate) fn links(ready: &Arc<Ready>, root: &Arc<Root>) -> Option<FindFile> {
    let written = Written {
        root: Arc::clone(root),
        files: Mutex::default(),
    };
    let has_any = ready.sources.iter().any(|source| Arc::ptr_eq(&source.root, root));
    if !has_any || ready.origins.0.set(written).is_err() {
        return None;
    }
    let ready = Arc::clone(ready);
    Some(Box::new(move |name| ready.origins.find(name)))
}
