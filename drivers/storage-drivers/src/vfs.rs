//! The vfs driver: every layer is a copy of the one below. Slow and large, but it works on every file system; on those
//! with reflinks (btrfs, xfs) the copies share their data.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::rooms::TREE;
use crate::whole::{Means, Step, Whole};
use crate::{StorageError, copy};

/// Layers as copies.
pub type Vfs = Whole<Copies>;

/// See [`Vfs`].
#[derive(Debug)]
pub struct Copies;

impl Means for Copies {
    const NAME: &'static str = "vfs";

    fn open(_path: &Path) -> Result<Self, StorageError> {
        Ok(Self)
    }

    fn make(&self, from: Option<BorrowedFd<'_>>, parent: BorrowedFd<'_>) -> Step {
        let failed = |step| move |source| (step, PathBuf::new(), source);
        rustix::fs::mkdirat(parent, TREE, Mode::RWXU).map_err(failed("create"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let tree = rustix::fs::openat(parent, TREE, flags, Mode::empty()).map_err(failed("open"))?;
        rustix::fs::fchmod(&tree, Mode::from_raw_mode(0o755)).map_err(failed("chmod"))?;
        match from {
            None => Ok(()),
            Some(from) => {
                copy::tree(from, tree.as_fd()).map_err(|error| (error.step, error.path, error.source))
            }
        }
    }
}
