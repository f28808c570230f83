//! What builds keep for later, told to whoever asks what takes space; and the notes that stand beside it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{Builds, size_of};

/// One thing that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub id: String,
    /// What it is, in BuildKit's words: `exec.cachemount`, `source.local`.
    pub kind: &'static str,
    /// What it is for.
    pub description: String,
    /// A build has it now, and nobody may take it away.
    pub in_use: bool,
    /// Bytes.
    pub size: u64,
    /// Since when it is there.
    pub created: SystemTime,
    /// When it was used last.
    pub used: SystemTime,
    /// How often it was used.
    pub count: u64,
}

impl Usage {
    /// Measures what is at `path`; `None` when it is gone. The notes say how often it was used, and what follows `about`
    /// in the description.
    pub fn of(path: &Path, kind: &'static str, about: &str, notes: &Path, in_use: bool) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let modified = metadata.modified().ok()?;
        let (count, what) = read(notes);
        Some(Self {
            id: path.file_name()?.to_str()?.to_owned(),
            kind,
            description: format!("{about} {what}").trim_end().to_owned(),
            in_use,
            size: size_of(path),
            // Not all file systems know.
            created: metadata.created().unwrap_or(modified),
            used: modified,
            count,
        })
    }
}

/// Notes one more use of something called `what`. One at a time.
///
/// # Errors
/// The file cannot be written.
pub fn note(notes: &Path, what: &str) -> io::Result<()> {
    let count = read(notes).0.saturating_add(1);
    let next = notes.with_extension("next");
    std::fs::write(&next, format!("{count} {what}"))?;
    // Whoever reads it at the same time sees the whole of it.
    std::fs::rename(next, notes)
}

/// What the notes say; nothing if there are none.
fn read(notes: &Path) -> (u64, String) {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    let (count, what) = text.split_once(' ').unwrap_or_default();
    (count.parse().unwrap_or_default(), what.to_owned())
}

impl Builds {
    /// The cache mounts.
    pub async fn usage(&self) -> Vec<Usage> {
        let caches = Arc::clone(&self.caches);
        let listing = tokio::task::spawn_blocking(move || caches.list());
        listing.await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_is_counted_and_what_was_never_noted_is_told_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, notes) = (folder.path().join("kept"), folder.path().join("notes"));
        let told = || Usage::of(&kept, "exec.cachemount", "cached mount", &notes, false);
        assert_eq!(told(), None);
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), [0; 100]).unwrap();
        let before = told().unwrap();
        assert_eq!((before.id.as_str(), before.size, before.count), ("kept", 100, 0));
        assert_eq!(before.description, "cached mount");
        for _ in 0..2 {
            note(&notes, "/root/.cache of all").unwrap();
        }
        let after = told().unwrap();
        assert_eq!(
            (after.count, after.description.as_str()),
            (2, "cached mount /root/.cache of all")
        );
    }
}
