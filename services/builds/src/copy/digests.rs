//! Digests of files that were hashed before: a file whose device, inode, size and time of change are the same has the same
//! content and attributes. Nothing but a change of the file sets that time, and nobody can set it back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rustix::fs::Stat;

/// Files beyond which everything is forgotten: the table has room for no more in 5 MB.
const MOST: usize = 57_000;
/// A file that was changed less than this before it was hashed may change again without its time changing: the kernel's
/// clock for it ticks every ten milliseconds at worst.
const TICK_NANOS: i128 = 50_000_000;

/// A digest of content and attributes.
pub(super) type ContentDigest = [u8; 32];

/// What a file is known by: device, inode, size, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u64, u64, i64, i128);

impl Key {
    fn of(stat: &Stat) -> Self {
        let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        Self(stat.st_dev, stat.st_ino, stat.st_size, changed)
    }
}

/// What one daemon remembers.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<HashMap<Key, ContentDigest>>);

impl Digests {
    /// The digest of the file that this is the state of.
    pub(super) fn get(&self, stat: &Stat) -> Option<ContentDigest> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&Key::of(stat)).copied()
    }

    /// Remembers what was read of a file that was in one state before and in another after; `began` is when, in
    /// nanoseconds since 1970.
    pub(super) fn put(&self, before: &Stat, after: &Stat, digest: ContentDigest, began: u128) {
        let key = Key::of(after);
        let quiet = i128::try_from(began).is_ok_and(|began| key.3 < began - TICK_NANOS);
        if key != Key::of(before) || !quiet {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, digest);
    }

    /// How many files are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
