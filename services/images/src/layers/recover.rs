//! What is true after a kill or a power loss, and the sweep of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use durable::{Scope, Table};
use oci::digest::{Digest, Digester};
use storage_drivers::{Driver, State};

use super::{Entry, LayerRow, Layers};
use crate::ImageError;
use crate::error::file;

impl Layers {
    /// Reads the table and compares it with the disk. A layer that was not synced when the power went is kept only if
    /// its archive can still be rebuilt to its digest.
    pub(crate) fn open(
        driver: Box<dyn Driver>,
        data_root: &Path,
        tables: Scope,
        boot_id: String,
    ) -> Result<Arc<Self>, ImageError> {
        let records = data_root.join("layer-records");
        std::fs::create_dir_all(&records).map_err(file("create", &records))?;
        let table: Table<LayerRow> = tables.table()?;
        let items = driver.list()?;
        let states: BTreeMap<&str, State> =
            items.iter().map(|item| (item.key.as_str(), item.state)).collect();
        let inits = items.iter().filter(|item| {
            item.key.as_str().starts_with("init-") && matches!(item.state, State::Committed | State::Synced)
        });
        let inits = inits.map(|item| item.key.clone()).collect();
        let layers = Self {
            driver,
            table,
            tables,
            records,
            boot_id,
            entries: Mutex::default(),
            staging: Mutex::default(),
            closed: false.into(),
            inits: Mutex::new(inits),
        };
        let mut sound = BTreeMap::new();
        for (chain, row) in layers.table.all() {
            let Ok(chain) = chain.parse::<Digest>() else {
                continue;
            };
            if layers.is_sound(&chain, &row, states.get(row.cache_id.as_str()).copied()) {
                sound.insert(chain, row);
            } else {
                tracing::error!(%chain, "layer was lost with the power; images that need it are dropped");
            }
        }
        layers.fill(&sound);
        Ok(Arc::new(layers))
    }

    fn is_sound(&self, chain: &Digest, row: &LayerRow, state: Option<State>) -> bool {
        match state {
            Some(State::Synced) => true,
            Some(State::Committed) if row.boot_id == self.boot_id => true,
            Some(State::Committed) => {
                let mut digester = Digester::sha256();
                let rebuilt = self.rebuild_row(chain, row, &mut digester);
                rebuilt.is_ok() && digester.finish() == row.diff_id
            }
            _ => false,
        }
    }

    /// The sound rows whose whole chain is sound become entries.
    fn fill(&self, sound: &BTreeMap<Digest, Arc<LayerRow>>) {
        let complete = |row: &LayerRow| {
            let mut next = row.parent.as_ref();
            for _ in 0..=sound.len() {
                match next {
                    None => return true,
                    Some(parent) => match sound.get(parent) {
                        Some(row) => next = row.parent.as_ref(),
                        None => return false,
                    },
                }
            }
            false
        };
        let mut entries = self.lock();
        for (chain, row) in sound.iter().filter(|(_, row)| complete(row)) {
            let entry = Entry {
                row: (**row).clone(),
                users: 0,
                recorded: true,
            };
            entries.insert(chain.clone(), entry);
        }
        let parents: Vec<Digest> = entries
            .values()
            .filter_map(|entry| entry.row.parent.clone())
            .collect();
        for parent in parents {
            if let Some(entry) = entries.get_mut(&parent) {
                entry.users += 1;
            }
        }
    }

    /// Removes every layer without user, every row without layer, and every directory and record that belongs to no
    /// layer; `containers` are the directories of containers, which stay.
    pub(crate) fn sweep(&self, containers: &BTreeSet<String>) -> Result<(), ImageError> {
        let unused: Vec<Digest> = {
            let mut entries = self.lock();
            let unused = entries.iter_mut().filter(|(_, entry)| entry.users == 0);
            // `release` takes one user away.
            unused
                .map(|(chain, entry)| {
                    entry.users = 1;
                    chain.clone()
                })
                .collect()
        };
        for chain in unused {
            self.release(chain);
        }
        let (known, lost) = {
            let entries = self.lock();
            let known: BTreeSet<String> = entries.values().map(|entry| entry.row.cache_id.clone()).collect();
            let lost = self.table.all().into_iter().map(|(chain, _)| chain);
            let is_known = |chain: &String| {
                chain
                    .parse()
                    .is_ok_and(|chain: Digest| entries.contains_key(&chain))
            };
            (known, lost.filter(|chain| !is_known(chain)).collect::<Vec<_>>())
        };
        let mut transaction = self.tables.transaction();
        for chain in lost {
            transaction = transaction.delete(&self.table, &chain);
        }
        transaction.commit().wait()?;
        let is_needed = |name: &str| {
            let staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
            known.contains(name)
                || containers.contains(name)
                || staging.iter().any(|key| key.as_str() == name)
                || name
                    .strip_prefix("init-")
                    .is_some_and(|top| top == "empty" || known.contains(top))
        };
        for item in self.driver.list()? {
            // Init layers are made under this lock: one that is not known now was left half made by a kill, and the
            // layers below it could never be removed.
            let mut inits = self.inits.lock().unwrap_or_else(PoisonError::into_inner);
            let is_whole = !item.key.as_str().starts_with("init-") || inits.contains(&item.key);
            if !is_whole || !is_needed(item.key.as_str()) || item.state == State::Leftover {
                inits.remove(&item.key);
                self.driver.remove(&item.key)?;
            }
        }
        let read = file("read", &self.records);
        for entry in std::fs::read_dir(&self.records).map_err(&read)? {
            let path = entry.map_err(&read)?.path();
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            if !is_needed(name) {
                std::fs::remove_file(&path).map_err(file("remove", &path))?;
            }
        }
        Ok(())
    }
}
