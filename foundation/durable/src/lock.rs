//! One daemon per directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// How long a holder may take to be gone: a daemon that was just killed, or a child that it was starting at that moment
/// and that has not yet closed what it inherited, holds the lock a little longer.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// Makes the directory (mode 0711) if it is absent and takes it, waiting a moment for a holder that is dying.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it and keeps it.
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
        match lock(&file) {
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

/// The kernel tells nobody when a lock becomes free but the one who waits without end, so this asks again and again.
fn lock(file: &File) -> rustix::io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
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

    #[test]
    fn a_holder_that_is_about_to_end_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        let file = File::open(dir.path().join(DirLock::FILE)).unwrap();
        assert_eq!(
            flock(&file, FlockOperation::NonBlockingLockExclusive),
            Err(Errno::WOULDBLOCK)
        );
        std::thread::scope(|scope| {
            let second = scope.spawn(|| DirLock::acquire(dir.path()));
            std::thread::sleep(Duration::from_millis(50));
            drop(first);
            second.join().unwrap().expect("taken when the first let go");
        });
    }
}
