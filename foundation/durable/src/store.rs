//! The one file with the tables of all services.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::file::StateFile;
use crate::table::{Row, Table};
use crate::writer::{Transaction, Writer};

/// How a table looks inside redb: key to encoded row.
pub(crate) type Definition<'a> = TableDefinition<'a, &'static str, &'static [u8]>;

/// The tables could not be opened, read or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is damaged or cannot be opened.
    #[error(
        "open the state file {path}: {source} (its last export can be brought back with `dhowd state restore`)"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Arc<redb::Error>,
    },
    /// A table could not be read.
    #[error("read table {table}: {source}")]
    Read {
        /// The table's full name.
        table: String,
        /// What redb said.
        source: Arc<redb::Error>,
    },
    /// A row is not what its type says.
    #[error("decode row {key:?} of table {table}: {source}")]
    Decode {
        /// The table's full name.
        table: String,
        /// The row's key.
        key: String,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
    /// A row was written by another version of the program and cannot be brought forward.
    #[error("row {key:?} of table {table} has version {found}, this program reads up to {known}")]
    Version {
        /// The table's full name.
        table: String,
        /// The row's key.
        key: String,
        /// The version that the row says it has.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A row could not be turned into JSON.
    #[error("encode row {key:?} of table {table}: {source}")]
    Encode {
        /// The table's full name.
        table: String,
        /// The row's key.
        key: String,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
    /// [`Transaction::insert`] found the key taken; nothing of that transaction was done.
    #[error("row {key:?} of table {table} exists already")]
    Exists {
        /// The table's full name.
        table: String,
        /// The row's key.
        key: String,
    },
    /// The transaction could not be made durable; nothing of it was done.
    #[error("commit to the state file: {source}")]
    Commit {
        /// What redb said.
        source: Arc<redb::Error>,
    },
    /// The store is shutting down.
    #[error("the state file is closed")]
    Closed,
    /// The export or the import of all tables failed.
    #[error("copy the tables to or from {path}: {source}")]
    Copy {
        /// The file or stream.
        path: PathBuf,
        /// What the kernel said.
        source: Arc<std::io::Error>,
    },
    /// An export is not one of ours.
    #[error("{path} is not an export of tables: {source}")]
    Format {
        /// The file or stream.
        path: PathBuf,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
}

impl From<redb::Error> for StoreError {
    /// Of a file that could not be opened again.
    fn from(source: redb::Error) -> Self {
        Self::Commit {
            source: Arc::new(source),
        }
    }
}

impl fault::Fault for StoreError {
    fn kind(&self) -> fault::Kind {
        match self {
            Self::Exists { .. } => fault::Kind::Conflict,
            Self::Closed => fault::Kind::Unavailable,
            Self::Format { .. } => fault::Kind::InvalidParameter,
            _ => fault::Kind::System,
        }
    }
}

/// All durable tables of one daemon: one redb file, one thread that commits.
///
/// Cheap to clone. The file is closed, and its export `state.json` brought up to date, when the last clone and
/// the last [`Scope`] are dropped.
///
/// ```
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Boat { mast: u32 }
/// impl durable::Row for Boat { const TABLE: &'static str = "boats"; const VERSION: u32 = 1; }
/// # let dir = tempfile::tempdir()?;
/// let store = durable::Store::open(&dir.path().join("state.redb"))?;
/// let harbour = store.scope("harbour");
/// let boats = harbour.table::<Boat>()?;
/// harbour.transaction().insert(&boats, "dhow", &Boat { mast: 1 }).commit().wait()?;
/// assert_eq!(boats.get("dhow").unwrap().mast, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Arc<StateFile>,
    writer: Writer,
    opened: Mutex<std::collections::BTreeSet<String>>,
}

/// How much of the file redb may keep in memory; the rows in use are kept decoded by [`Table`] anyway.
const CACHE_BYTES: usize = 4 << 20;

impl Store {
    /// Opens or makes the file. An export named `state.json` is kept beside it.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let own = path.to_path_buf();
        let file = StateFile::open(move || create(&own)).map_err(unopened(path))?;
        Ok(Self::on(file, path))
    }

    pub(crate) fn on(file: StateFile, path: &Path) -> Self {
        let file = Arc::new(file);
        let writer = Writer::start(Arc::clone(&file), path.with_file_name("state.json"));
        Self {
            inner: Arc::new(Inner {
                file,
                writer,
                opened: Mutex::default(),
            }),
        }
    }

    /// The part of the store that belongs to one service; `service` becomes the prefix of its tables' names.
    pub fn scope(&self, service: &'static str) -> Scope {
        Scope {
            store: self.clone(),
            service,
        }
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    pub(crate) fn file(&self) -> &StateFile {
        &self.inner.file
    }
}

pub(crate) fn open_database(path: &Path) -> Result<Database, StoreError> {
    create(path).map_err(unopened(path))
}

fn create(path: &Path) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create(path)?)
}

fn unopened(path: &Path) -> impl FnOnce(redb::Error) -> StoreError {
    |source| StoreError::Open {
        path: path.to_path_buf(),
        source: Arc::new(source),
    }
}

/// The tables of one service.
#[derive(Clone, Debug)]
pub struct Scope {
    store: Store,
    service: &'static str,
}

impl Scope {
    /// Opens a table and reads all its rows into memory. Open each table once and share the handle: two
    /// handles opened separately would not see each other's writes, so a second opening panics.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Decode`], [`StoreError::Version`].
    ///
    /// # Panics
    /// When this table is open already.
    pub fn table<R: Row>(&self) -> Result<Table<R>, StoreError> {
        let name = format!("{}/{}", self.service, R::TABLE);
        let fresh = (self.store.inner.opened.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone());
        assert!(fresh, "table {name} is open already");
        let rows = self
            .store
            .inner
            .file
            .with(|database| read_rows(database, &name))?;
        Table::load(name, rows)
    }

    /// Starts a transaction. It may span tables of several services; each change needs the table's handle,
    /// which only its owner has.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.store.clone())
    }
}

type Rows = Vec<(String, Vec<u8>)>;

/// All rows of a table, by key; none when the table does not exist.
pub(crate) fn read_rows(database: &Database, name: &str) -> Result<Rows, StoreError> {
    let read = |source: redb::Error| StoreError::Read {
        table: name.to_owned(),
        source: Arc::new(source),
    };
    let transaction = database.begin_read().map_err(|e| read(e.into()))?;
    let table = match transaction.open_table(Definition::new(name)) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(read(error.into())),
    };
    let mut rows = Vec::new();
    for entry in table.iter().map_err(|e| read(e.into()))? {
        let (key, value) = entry.map_err(|e| read(e.into()))?;
        rows.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(rows)
}
