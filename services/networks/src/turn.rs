//! One daemon of this machine at a time chooses a subnet.
//!
//! A subnet is free when no address and no route of the host is in it; chosen by one daemon, it looks free to the next
//! until the bridge has its address. So that both are one step, a file is locked over them (`flock(2)`): the kernel lets
//! go of it however its holder ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// How long to wait for others. A choice takes some milliseconds; one that takes longer than this has come to a standstill,
/// and must not keep every other daemon from starting.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kernel wakes only those who wait without end.
const PAUSE: Duration = Duration::from_millis(5);

/// The right to choose a subnet, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _file: Option<File>,
}

impl Turn {
    /// Waits for the others that choose with the same file. A machine where it cannot be had works as with one daemon.
    pub(crate) async fn take(path: &Path) -> Turn {
        let end = Instant::now() + PATIENCE;
        loop {
            match Turn::attempt(path) {
                Ok(Some(turn)) => return turn,
                Ok(None) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Ok(None) => {
                    tracing::warn!(path = %path.display(), "another daemon has been choosing a subnet for long; not waiting for it");
                    return Turn { _file: None };
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "daemons that start now may choose the same subnet");
                    return Turn { _file: None };
                }
            }
        }
    }

    /// `None` when it is another one's turn.
    fn attempt(path: &Path) -> io::Result<Option<Turn>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Turn { _file: Some(file) })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_turn_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Turn::attempt(&path).unwrap().expect("nobody has it");
        assert!(Turn::attempt(&path).unwrap().is_none());
        drop(first);
        assert!(Turn::attempt(&path).unwrap().is_some());
        std::os::unix::fs::symlink("elsewhere", folder.path().join("link")).unwrap();
        Turn::attempt(&folder.path().join("link")).expect_err("a link is not followed");
    }
}
