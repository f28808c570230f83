//! The layers of all images: which there are, who needs them, and how they come and go.
//!
//! A layer is a directory of the storage driver, a tar-split record beside it and a row. It is named by its chain id;
//! its directory by a random *cache id*, so that nothing half made can be taken for a layer. Life: [`Layers::stage`]
//! unpacks into a new directory, [`Layers::register`] makes it the layer of its chain (or drops it, if somebody was
//! faster), and the caller writes [`Layers::rows`] in the transaction that makes the layer needed. What a
//! kill leaves without a row is swept at the next start.

mod recover;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durable::{Row, Scope, Table, Transaction};
use oci::chain_id;
use oci::digest::Digest;
use serde::{Deserialize, Serialize};
use storage_drivers::{Driver, Key, init_layer};

use crate::ImageError;

pub(crate) use stage::{Staged, piped};

/// More layers cannot be mounted: overlayfs takes 500, and the init layer and the writable one come on top.
pub(crate) const MAX_DEPTH: usize = 480;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerRow {
    /// The digest of the plain archive.
    pub(crate) diff_id: Digest,
    /// The chain id of the layer below.
    pub(crate) parent: Option<Digest>,
    /// The name of its directory and its record.
    pub(crate) cache_id: String,
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Bytes of its plain archive.
    pub(crate) archive_size: u64,
    /// The boot in which it was made: until the driver has synced it, it is to be trusted in that boot only.
    pub(crate) boot_id: String,
}

impl Row for LayerRow {
    const TABLE: &'static str = "layers";
    const VERSION: u32 = 1;
}

#[derive(Debug)]
struct Entry {
    row: LayerRow,
    /// Images, containers, layers above and operations that need it.
    users: usize,
    /// Whether the row is in the table.
    recorded: bool,
}

#[derive(Debug)]
pub(crate) struct Layers {
    driver: Box<dyn Driver>,
    table: Table<LayerRow>,
    tables: Scope,
    /// The directory of the tar-split records.
    records: PathBuf,
    boot_id: String,
    entries: Mutex<BTreeMap<Digest, Entry>>,
    /// Directories that are being filled, for the sweep.
    staging: Mutex<BTreeSet<Key>>,
    /// The service is ending: what is dropped now is needed again at the next start.
    closed: AtomicBool,
    /// Init layers that are there. The lock is held while one is made (some milliseconds, once per image).
    inits: Mutex<BTreeSet<Key>>,
}

/// Keeps a chain of layers from being removed; ends when dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    layers: Arc<Layers>,
    chain: Option<Digest>,
}

impl Layers {
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Keeps the layer `chain` and all below it.
    pub(crate) fn pin(self: &Arc<Self>, chain: &Digest) -> Option<Pin> {
        self.lock().get_mut(chain)?.users += 1;
        Some(self.pinned(chain.clone()))
    }

    /// A layer whose plain archive has this length, in whatever chain.
    pub(crate) fn pin_length(self: &Arc<Self>, bytes: u64) -> Option<Pin> {
        let mut entries = self.lock();
        let (chain, entry) = entries
            .iter_mut()
            .find(|(_, entry)| entry.row.archive_size == bytes)?;
        entry.users += 1;
        Some(self.pinned(chain.clone()))
    }

    /// A layer with this content, in whatever chain.
    pub(crate) fn pin_content(self: &Arc<Self>, diff_id: &Digest) -> Option<Pin> {
        let mut entries = self.lock();
        let (chain, entry) = entries
            .iter_mut()
            .find(|(_, entry)| entry.row.diff_id == *diff_id)?;
        entry.users += 1;
        Some(self.pinned(chain.clone()))
    }

    fn pinned(self: &Arc<Self>, chain: Digest) -> Pin {
        Pin {
            layers: Arc::clone(self),
            chain: Some(chain),
        }
    }

    /// Makes the staged directory the layer above `parent`; if there is that layer already, the staged one is dropped.
    pub(crate) fn register(
        self: &Arc<Self>,
        parent: Option<&Pin>,
        staged: Staged,
    ) -> Result<Pin, ImageError> {
        let below = parent.map(Pin::chain);
        let chain = match below {
            Some(parent) => chain_id::next(parent, &staged.diff_id),
            None => staged.diff_id.clone(),
        };
        if let Some(pin) = self.pin(&chain) {
            return Ok(pin);
        }
        self.driver.commit(&staged.key)?;
        durable::crash_point("images.layer.committed");
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&chain) {
            entry.users += 1;
            return Ok(self.pinned(chain));
        }
        if let Some(parent) = below.and_then(|parent| entries.get_mut(parent)) {
            parent.users += 1;
        }
        let row = staged.into_row(below.cloned(), self.boot_id.clone());
        let entry = Entry {
            row,
            users: 1,
            recorded: false,
        };
        entries.insert(chain.clone(), entry);
        Ok(self.pinned(chain))
    }

    /// Adds to a transaction the rows of this chain that are not in the table yet.
    pub(crate) fn rows(&self, transaction: Transaction, top: Option<&Pin>) -> Transaction {
        let entries = self.lock();
        let mut transaction = transaction;
        let mut next = top.map(|pin| pin.chain().clone());
        while let Some(chain) = next {
            let Some(entry) = entries.get(&chain) else { break };
            if !entry.recorded {
                transaction = transaction.put(&self.table, &chain.to_string(), &entry.row);
            }
            next = entry.row.parent.clone();
        }
        transaction
    }

    /// The transaction with [`Layers::rows`] of this chain is durable.
    pub(crate) fn recorded(&self, top: Option<&Pin>) {
        let mut entries = self.lock();
        let mut next = top.map(|pin| pin.chain().clone());
        while let Some(chain) = next {
            let Some(entry) = entries.get_mut(&chain) else {
                break;
            };
            entry.recorded = true;
            next = entry.row.parent.clone();
        }
    }

    pub(crate) fn row(&self, chain: &Digest) -> Option<LayerRow> {
        self.lock().get(chain).map(|entry| entry.row.clone())
    }

    /// The directories of a chain, the lowest first.
    pub(crate) fn keys(&self, top: Option<&Digest>) -> Result<Vec<Key>, ImageError> {
        let entries = self.lock();
        let mut keys = Vec::new();
        let mut next = top.cloned();
        while let Some(chain) = next {
            let Some(entry) = entries.get(&chain) else {
                return Err(ImageError::NoLayer { chain });
            };
            keys.push(Key::new(entry.row.cache_id.clone())?);
            next = entry.row.parent.clone();
        }
        keys.reverse();
        Ok(keys)
    }

    /// Bytes of the files of a chain.
    pub(crate) fn chain_size(&self, top: Option<&Digest>) -> u64 {
        let entries = self.lock();
        let mut size = 0;
        let mut next = top;
        while let Some(entry) = next.and_then(|chain| entries.get(chain)) {
            size += entry.row.size;
            next = entry.row.parent.as_ref();
        }
        size
    }

    /// How many layers there are, and the bytes of their files.
    pub(crate) fn usage(&self) -> (usize, u64) {
        let entries = self.lock();
        (entries.len(), entries.values().map(|entry| entry.row.size).sum())
    }

    /// The chain above which a container's writable layer is made: the image's layers and the init layer.
    pub(crate) fn container_chain(&self, top: Option<&Digest>) -> Result<Vec<Key>, ImageError> {
        let mut chain = self.keys(top)?;
        let init = init_key(chain.last())?;
        let mut inits = self.inits.lock().unwrap_or_else(PoisonError::into_inner);
        if !inits.contains(&init) {
            init_layer::make_init_layer(&*self.driver, &init, &chain, init_layer::DOCKER)?;
            inits.insert(init.clone());
        }
        chain.push(init);
        Ok(chain)
    }

    /// From now on nothing is removed any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// One user less; returns the chain ids of the layers that nobody needs any more and that are gone now.
    fn release(&self, chain: Digest) -> Vec<Digest> {
        if self.closed.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut removed = Vec::new();
        let mut entries = self.lock();
        let mut next = Some(chain);
        let mut transaction = self.tables.transaction();
        while let Some(chain) = next.take() {
            let Some(entry) = entries.get_mut(&chain) else {
                break;
            };
            entry.users -= 1;
            if entry.users > 0 {
                break;
            }
            next.clone_from(&entry.row.parent);
            if let Some(entry) = entries.remove(&chain) {
                transaction = transaction.delete(&self.table, &chain.to_string());
                removed.push((chain, entry.row));
            }
        }
        // Queued under the lock, so that a new row of the same chain can only come after it. Not waited for: a row
        // that nobody needs is swept at the next start.
        drop(transaction.commit());
        drop(entries);
        for (chain, row) in &removed {
            if let Err(error) = self.remove_files(row) {
                tracing::warn!(%error, %chain, "layer is not removed; the next start will try again");
            }
        }
        removed.into_iter().map(|(chain, _)| chain).collect()
    }

    fn remove_files(&self, row: &LayerRow) -> Result<(), ImageError> {
        let key = Key::new(row.cache_id.clone())?;
        let init = init_key(Some(&key))?;
        let mut inits = self.inits.lock().unwrap_or_else(PoisonError::into_inner);
        if inits.remove(&init) {
            self.driver.remove(&init)?;
        }
        drop(inits);
        self.discard(&key)
    }

    /// Removes a directory and its record.
    fn discard(&self, key: &Key) -> Result<(), ImageError> {
        self.driver.remove(key)?;
        let record = self.record(key.as_str());
        match std::fs::remove_file(&record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(crate::error::file("remove", &record)(error))
            }
            _ => Ok(()),
        }
    }

    fn record(&self, cache_id: &str) -> PathBuf {
        self.records.join(format!("{cache_id}.zst"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn init_key(top: Option<&Key>) -> Result<Key, ImageError> {
    Ok(Key::new(format!("init-{}", top.map_or("empty", Key::as_str)))?)
}

impl Pin {
    pub(crate) fn chain(&self) -> &Digest {
        // Only `release` takes it, and that consumes the pin.
        static NOTHING: std::sync::LazyLock<Digest> = std::sync::LazyLock::new(|| Digest::sha256(""));
        self.chain.as_ref().unwrap_or(&NOTHING)
    }

    /// Lets go at once, and tells which layers are gone with it.
    pub(crate) fn release(mut self) -> Vec<Digest> {
        self.chain
            .take()
            .map(|chain| self.layers.release(chain))
            .unwrap_or_default()
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        if let Some(chain) = &self.chain
            && let Some(entry) = self.layers.lock().get_mut(chain)
        {
            entry.users += 1;
        }
        Self {
            layers: Arc::clone(&self.layers),
            chain: self.chain.clone(),
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(chain) = self.chain.take() {
            self.layers.release(chain);
        }
    }
}
