//! All tables as one JSON document, and back: the second chance when the state file is damaged.
//!
//! `{"format":1,"tables":{"service/table":{"key":{"v":1,"row":{…}}}}}`, see `docs/formats/state.md`.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableHandle};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::atomic::UNFINISHED;
use crate::store::{Definition, Store, StoreError, open_database, read_rows};

/// The version of the document's outer shape.
const FORMAT: u32 = 1;

/// Writes all tables of an open store to `out`, as JSON.
///
/// # Errors
/// [`StoreError::Read`], [`StoreError::Copy`].
pub fn dump(store: &Store, out: &mut dyn Write) -> Result<(), StoreError> {
    let to = Path::new("the given stream");
    store.file().with(|database| dump_database(database, out, to))
}

fn dump_database(database: &Database, out: &mut dyn Write, to: &Path) -> Result<(), StoreError> {
    let copy = |source: io::Error| StoreError::Copy {
        path: to.to_path_buf(),
        source: Arc::new(source),
    };
    write!(out, "{{\"format\":{FORMAT},\"tables\":{{").map_err(copy)?;
    for (number, name) in table_names(database)?.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(out, "{comma}\n{}:{{", json_string(name)).map_err(copy)?;
        for (number, (key, row)) in read_rows(database, name)?.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(out, "{comma}\n{}:", json_string(key)).map_err(copy)?;
            out.write_all(row).map_err(copy)?;
        }
        out.write_all(b"}").map_err(copy)?;
    }
    out.write_all(b"}}\n").and_then(|()| out.flush()).map_err(copy)
}

fn table_names(database: &Database) -> Result<Vec<String>, StoreError> {
    let read = |source: redb::Error| StoreError::Read {
        table: "(the list of tables)".to_owned(),
        source: Arc::new(source),
    };
    let transaction = database.begin_read().map_err(|e| read(e.into()))?;
    let tables = transaction.list_tables().map_err(|e| read(e.into()))?;
    let mut names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
    names.sort();
    Ok(names)
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Renews the export file; it may only be old, never half written.
pub(crate) fn write_export(database: &Database, path: &Path) -> Result<(), StoreError> {
    let copy = |source: io::Error| StoreError::Copy {
        path: path.to_path_buf(),
        source: Arc::new(source),
    };
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(UNFINISHED);
    let fresh = Path::new(&fresh);
    let file = new_private_file(fresh).map_err(copy)?;
    let mut out = BufWriter::new(file);
    dump_database(database, &mut out, path)?;
    out.get_ref().sync_all().map_err(copy)?;
    std::fs::rename(fresh, path).map_err(copy)
}

fn new_private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[derive(Deserialize)]
struct Document {
    format: u32,
    tables: BTreeMap<String, BTreeMap<String, Box<RawValue>>>,
}

/// Makes a new state file at `path` from a [`dump`]; the old file, if any, is replaced at the very end. No
/// daemon may have the file open (hold the [`crate::DirLock`]).
///
/// # Errors
/// [`StoreError::Format`] when `from` is not a dump of a known format, [`StoreError::Copy`] and
/// [`StoreError::Commit`] when the new file cannot be written; the old file then stays.
pub fn restore(path: &Path, from: &mut dyn Read) -> Result<(), StoreError> {
    let copy = |source: io::Error| StoreError::Copy {
        path: path.to_path_buf(),
        source: Arc::new(source),
    };
    let format = |source: serde_json::Error| StoreError::Format {
        path: path.to_path_buf(),
        source: Arc::new(source),
    };
    let mut text = Vec::new();
    from.read_to_end(&mut text).map_err(copy)?;
    let document: Document = serde_json::from_slice(&text).map_err(format)?;
    if document.format != FORMAT {
        let wrong = format!("format {} instead of {FORMAT}", document.format);
        return Err(format(serde::de::Error::custom(wrong)));
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(UNFINISHED);
    let fresh = Path::new(&fresh);
    let _ = std::fs::remove_file(fresh);
    let database = open_database(fresh)?;
    fill(&database, &document).map_err(|source| StoreError::Commit {
        source: Arc::new(source),
    })?;
    drop(database);
    std::fs::rename(fresh, path).map_err(copy)?;
    crate::sync_directory(path.parent().unwrap_or(Path::new(".")))
        .map_err(|error| copy(io::Error::other(error)))
}

fn fill(database: &Database, document: &Document) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for (name, rows) in &document.tables {
        let mut table = transaction.open_table(Definition::new(name))?;
        for (key, row) in rows {
            table.insert(key.as_str(), row.get().as_bytes())?;
        }
    }
    Ok(transaction.commit()?)
}
