//! Files that are either wholly old or wholly new.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, Mode, OFlags, RawMode};

/// A file could not be replaced.
#[derive(Debug, thiserror::Error)]
pub enum AtomicWriteError {
    /// The new content could not be written beside the file.
    #[error("write a new version of {path}: {source}")]
    Write {
        /// The file that was to be replaced.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The new content could not take the file's name.
    #[error("replace {path}: {source}")]
    Replace {
        /// The file that was to be replaced.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory entry could not be made durable.
    #[error("sync directory {path}: {source}")]
    Sync {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl fault::Fault for AtomicWriteError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::System
    }
}

/// Replaces `path` by `content` with permission bits `mode`, so that after a power loss the file has either
/// its old or its new content, and after the return its new one.
///
/// # Errors
/// [`AtomicWriteError`]; the old content then stays.
pub fn atomic_write(path: &Path, content: &[u8], mode: RawMode) -> Result<(), AtomicWriteError> {
    replace(path, content, mode, true)?;
    match path.parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    }
}

/// Like [`atomic_write`], but survives only a kill, not a power loss: no fsync (for the exec root).
///
/// # Errors
/// [`AtomicWriteError`]; the old content then stays.
pub fn atomic_write_relaxed(path: &Path, content: &[u8], mode: RawMode) -> Result<(), AtomicWriteError> {
    replace(path, content, mode, false)
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// [`AtomicWriteError::Sync`].
pub fn sync_directory(directory: &Path) -> Result<(), AtomicWriteError> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    File::open(directory)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| AtomicWriteError::Sync {
            path: directory.to_path_buf(),
            source,
        })
}

/// The suffix of unfinished versions; a boot sweep may remove any file that carries it.
pub(crate) const UNFINISHED: &str = ".dhow-new";

fn replace(path: &Path, content: &[u8], mode: RawMode, sync: bool) -> Result<(), AtomicWriteError> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{serial}{UNFINISHED}", std::process::id()));
    let fresh = PathBuf::from(name);

    let written = write_new(&fresh, content, mode, sync);
    if let Err(source) = written {
        let _ = std::fs::remove_file(&fresh);
        return Err(AtomicWriteError::Write {
            path: path.to_path_buf(),
            source,
        });
    }
    std::fs::rename(&fresh, path).map_err(|source| {
        let _ = std::fs::remove_file(&fresh);
        AtomicWriteError::Replace {
            path: path.to_path_buf(),
            source,
        }
    })
}

fn write_new(fresh: &Path, content: &[u8], mode: RawMode, sync: bool) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let fd = rustix::fs::openat(CWD, fresh, flags, mode)?;
    // The umask must not decide about the mode.
    rustix::fs::fchmod(&fd, mode)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    if sync { file.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_without_remains() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        atomic_write(&path, b"one", 0o600).unwrap();
        atomic_write(&path, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_the_old_content_and_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        let error = atomic_write(&path, b"x", 0o600).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
