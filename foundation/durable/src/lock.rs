//! One daemon per directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another living process holds it.
    #[error("{}", held_text(path, *pid))]
    Held {
        /// The directory.
        path: PathBuf,
        /// The holder, if it left its process id.
        pid: Option<u32>,
    },
    /// The lock file could not be made or opened.
    #[error("open the lock file of {path}: {source}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn held_text(path: &Path, pid: Option<u32>) -> String {
    let path = path.display();
    match pid {
        Some(pid) => {
            format!("{path} is in use by another daemon (process {pid}); stop it or choose another directory")
        }
        None => format!("{path} is in use by another daemon; stop it or choose another directory"),
    }
}

impl fault::Fault for LockError {
    fn kind(&self) -> fault::Kind {
        match self {
            Self::Held { .. } => fault::Kind::Conflict,
            Self::Open { .. } => fault::Kind::System,
        }
    }
}

/// Exclusive ownership of a directory, until dropped or until the process ends, however it ends (`flock(2)`).
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// The name of the lock file in the directory.
    pub const FILE: &'static str = "lock";

    /// Makes the directory (mode 0711) if it is absent and takes it.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let open = |source| LockError::Open {
            path: directory.to_path_buf(),
            source,
        };
        if !directory.is_dir() {
            let mut builder = std::fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o711);
            builder.create(directory).map_err(open)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(directory.join(Self::FILE))
            .map_err(open)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&mut file).take(32).read_to_string(&mut text);
                return Err(LockError::Held {
                    path: directory.to_path_buf(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(errno) => return Err(open(errno.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(open)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_by_name_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        let first = DirLock::acquire(&root).unwrap();
        let error = DirLock::acquire(&root).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("is in use by another daemon"), "{text}");
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        DirLock::acquire(&root).unwrap();
    }
}
