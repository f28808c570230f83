//! Holds: who uses a volume.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The promise that a volume is not removed; ends when dropped.
#[derive(Debug)]
#[must_use = "a hold that is dropped holds nothing"]
pub struct Hold {
    holds: Arc<Holds>,
    volume: String,
    owner: String,
}

impl Hold {
    /// The volume's name.
    pub fn volume(&self) -> &str {
        &self.volume
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.holds.lock();
        let Some(owners) = state.owners.get_mut(&self.volume) else {
            return;
        };
        if let Some(count) = owners.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                owners.remove(&self.owner);
            }
        }
        if owners.is_empty() {
            state.owners.remove(&self.volume);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Volume to owner to number of holds: one container may mount a volume twice.
    owners: BTreeMap<String, BTreeMap<String, usize>>,
    /// Volumes that are being removed at this moment.
    removing: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Holds {
    state: Mutex<State>,
}

impl Holds {
    /// A hold, unless the volume is being removed.
    pub(crate) fn take(self: &Arc<Self>, volume: &str, owner: &str) -> Option<Hold> {
        let mut state = self.lock();
        if state.removing.contains(volume) {
            return None;
        }
        let owners = state.owners.entry(volume.to_owned()).or_default();
        *owners.entry(owner.to_owned()).or_default() += 1;
        Some(Hold {
            holds: Arc::clone(self),
            volume: volume.to_owned(),
            owner: owner.to_owned(),
        })
    }

    pub(crate) fn owners(&self, volume: &str) -> Vec<String> {
        let state = self.lock();
        let owners = state.owners.get(volume);
        owners
            .map(|owners| owners.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// From now on nobody gets a hold, until the returned mark is dropped.
    ///
    /// # Errors
    /// The owners, if there are any.
    pub(crate) fn begin_removal(self: &Arc<Self>, volume: &str) -> Result<Removal, Vec<String>> {
        let mut state = self.lock();
        if let Some(owners) = state.owners.get(volume) {
            return Err(owners.keys().cloned().collect());
        }
        state.removing.insert(volume.to_owned());
        Ok(Removal {
            holds: Arc::clone(self),
            volume: volume.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark that a volume is being removed.
pub(crate) struct Removal {
    holds: Arc<Holds>,
    volume: String,
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.holds.lock().removing.remove(&self.volume);
    }
}
