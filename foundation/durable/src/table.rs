//! Typed tables: rows in memory for readers, bytes in the file for the next boot.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::StoreError;

/// What a table holds.
pub trait Row: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The table's name within its service.
    const TABLE: &'static str;
    /// The version that is written now. Raise it when older programs could misread the row.
    const VERSION: u32;

    /// Brings the JSON of an older `version` to the present one; `None` when that version is not known.
    fn upgrade(version: u32, row: serde_json::Value) -> Option<serde_json::Value> {
        let _ = (version, row);
        None
    }
}

/// One table, read from memory: what a reader sees is always durable already.
///
/// Clones share the rows. Rows change through [`crate::Transaction`] only.
pub struct Table<R> {
    pub(crate) shared: Arc<Shared<R>>,
}

pub(crate) struct Shared<R> {
    pub(crate) name: String,
    pub(crate) rows: RwLock<BTreeMap<String, Arc<R>>>,
}

impl<R> Clone for Table<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<R> std::fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Table").field(&self.shared.name).finish()
    }
}

impl<R: Row> Table<R> {
    pub(crate) fn load(name: String, encoded: Vec<(String, Vec<u8>)>) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        for (key, bytes) in encoded {
            let row = decode::<R>(&name, &key, &bytes)?;
            rows.insert(key, Arc::new(row));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                name,
                rows: RwLock::new(rows),
            }),
        })
    }

    /// The row under `key`.
    pub fn get(&self, key: &str) -> Option<Arc<R>> {
        self.read().get(key).cloned()
    }

    /// Whether there is a row under `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.read().contains_key(key)
    }

    /// All rows as they are now, by key in ascending order.
    pub fn all(&self) -> Vec<(String, Arc<R>)> {
        let rows = self.read();
        rows.iter().map(|(k, r)| (k.clone(), r.clone())).collect()
    }

    /// The rows whose keys start with `prefix`, at most `limit` of them.
    pub fn with_prefix(&self, prefix: &str, limit: usize) -> Vec<(String, Arc<R>)> {
        let rows = self.read();
        rows.range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(k, r)| (k.clone(), r.clone()))
            .collect()
    }

    /// The rows whose keys start with `prefix` and come after the key `after`, at most `limit` of them.
    pub fn with_prefix_after(&self, prefix: &str, after: &str, limit: usize) -> Vec<(String, Arc<R>)> {
        let start = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let rows = self.read();
        rows.range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(k, r)| (k.clone(), r.clone()))
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<R>>> {
        // A panic elsewhere cannot leave the map half changed.
        self.shared.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
struct Encoded<'a, R> {
    v: u32,
    row: &'a R,
}

#[derive(Deserialize)]
struct Stored<'a> {
    v: u32,
    #[serde(borrow)]
    row: &'a RawValue,
}

/// `{"v":1,"row":{…}}`
pub(crate) fn encode<R: Row>(row: &R) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Encoded { v: R::VERSION, row })
}

fn decode<R: Row>(table: &str, key: &str, bytes: &[u8]) -> Result<R, StoreError> {
    let decode = |source| StoreError::Decode {
        table: table.to_owned(),
        key: key.to_owned(),
        source: Arc::new(source),
    };
    let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(decode)?;
    if stored.v == R::VERSION {
        return serde_json::from_str(stored.row.get()).map_err(decode);
    }
    let old = serde_json::from_str(stored.row.get()).map_err(decode)?;
    let upgraded = (stored.v < R::VERSION)
        .then(|| R::upgrade(stored.v, old))
        .flatten();
    match upgraded {
        Some(row) => serde_json::from_value(row).map_err(decode),
        None => Err(StoreError::Version {
            table: table.to_owned(),
            key: key.to_owned(),
            found: stored.v,
            known: R::VERSION,
        }),
    }
}
