//! State that need not outlive the boot: small JSON files in the exec root, written without fsync.
//!
//! The root is stamped with the kernel's boot id. `/run` is not always a tmpfs: when the stamp is another
//! one, everything there describes processes that are gone, and [`open_root`] wipes it.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lock::DirLock;

/// A volatile record could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum VolatileError {
    /// The root could not be prepared.
    #[error("prepare {path}: {source}")]
    Prepare {
        /// The file or directory at which it failed.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A record could not be written.
    #[error(transparent)]
    Write(#[from] crate::AtomicWriteError),
    /// A record could not be turned into JSON.
    #[error("encode the record {path}: {source}")]
    Encode {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record exists but could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// The record's file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A record exists but is not what it should be.
    #[error("decode {path}: {source}")]
    Decode {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl fault::Fault for VolatileError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::System
    }
}

/// The file with the boot id.
const STAMP: &str = "boot-id";
/// No record is larger; a larger file is not ours.
const MAX_RECORD: u64 = 64 << 20;

/// The kernel's id of the present boot (`random(4)`).
///
/// # Errors
/// [`VolatileError::Prepare`] when procfs is not readable.
pub fn boot_id() -> Result<String, VolatileError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(VolatileError::Prepare {
            path: path.to_path_buf(),
            source,
        }),
    }
}

/// Prepares an exec root for this boot: makes it, wipes what another boot left (the lock file stays), stamps it.
/// Returns whether anything of this boot was there already. The caller holds the [`DirLock`] of `root`.
///
/// # Errors
/// [`VolatileError`].
pub fn open_root(root: &Path, boot_id: &str) -> Result<bool, VolatileError> {
    let stamp = root.join(STAMP);
    let prepare = |path: &Path| {
        let path = path.to_path_buf();
        move |source| VolatileError::Prepare { path, source }
    };
    if std::fs::read_to_string(&stamp).is_ok_and(|old| old.trim() == boot_id) {
        return Ok(true);
    }
    std::fs::create_dir_all(root).map_err(prepare(root))?;
    for entry in std::fs::read_dir(root).map_err(prepare(root))? {
        let entry = entry.map_err(prepare(root))?;
        if entry.file_name() == DirLock::FILE {
            continue;
        }
        let path = entry.path();
        let is_dir = entry.file_type().map_err(prepare(&path))?.is_dir();
        let removed = if is_dir {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(prepare(&path))?;
    }
    crate::atomic_write_relaxed(&stamp, boot_id.as_bytes(), 0o600)?;
    Ok(false)
}

/// Replaces the record in `path` (mode 0600); it survives a kill of the process, not a power loss.
///
/// # Errors
/// [`VolatileError::Encode`], [`VolatileError::Write`].
pub fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), VolatileError> {
    let json = serde_json::to_vec(record).map_err(|source| VolatileError::Encode {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(crate::atomic_write_relaxed(path, &json, 0o600)?)
}

/// The record in `path`, or `None` when there is no such file.
///
/// # Errors
/// [`VolatileError::Read`], [`VolatileError::Decode`].
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, VolatileError> {
    use std::io::Read;
    let read = |source| VolatileError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    let mut json = Vec::new();
    file.take(MAX_RECORD).read_to_end(&mut json).map_err(read)?;
    match serde_json::from_slice(&json) {
        Ok(record) => Ok(Some(record)),
        Err(source) => Err(VolatileError::Decode {
            path: path.to_path_buf(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_this_boot_stay_and_those_of_another_are_wiped() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("exec");
        let _lock = DirLock::acquire(&root).unwrap();
        assert!(!open_root(&root, "boot-1").unwrap());
        let record = root.join("containers/c1");
        std::fs::create_dir_all(record.parent().unwrap()).unwrap();
        write(&record, &vec![1, 2]).unwrap();
        assert!(open_root(&root, "boot-1").unwrap());
        assert_eq!(read::<Vec<i32>>(&record).unwrap(), Some(vec![1, 2]));
        assert!(!open_root(&root, "boot-2").unwrap());
        assert_eq!(read::<Vec<i32>>(&record).unwrap(), None);
        assert!(root.join(DirLock::FILE).exists());
    }

    #[test]
    fn a_link_in_an_old_root_is_removed_and_its_target_kept() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        std::fs::write(&kept, "x").unwrap();
        let root = dir.path().join("exec");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&kept, root.join("link")).unwrap();
        open_root(&root, "boot").unwrap();
        assert!(kept.exists() && !root.join("link").exists());
    }

    #[test]
    fn a_broken_record_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken");
        std::fs::write(&path, "{").unwrap();
        let error = read::<Vec<i32>>(&path).unwrap_err().to_string();
        assert!(error.contains("broken"), "{error}");
    }
}
