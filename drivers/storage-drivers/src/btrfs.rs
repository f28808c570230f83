//! The btrfs driver: every layer is a subvolume, made as a snapshot of the one below. A layer costs what it changes, is
//! made and deleted at once whatever its size, and a container can be given a limit.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use linux::btrfs;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::StorageError;
use crate::whole::{Means, Step, Whole};

/// [`crate::rooms::TREE`] for the kernel.
const TREE: &std::ffi::CStr = c"d";

/// Layers as snapshots.
pub type Btrfs = Whole<Snapshots>;

/// See [`Btrfs`].
#[derive(Debug)]
pub struct Snapshots {
    directory: File,
    /// Whether the file system counts what subvolumes take; it begins with the first limit, because counting costs time.
    counting: OnceLock<()>,
}

impl Means for Snapshots {
    const NAME: &'static str = "btrfs";
    const SUBVOLUMES: bool = true;

    fn open(path: &Path) -> Result<Self, StorageError> {
        let unsupported = |problem| StorageError::Unsupported {
            driver: Self::NAME,
            root: path.to_owned(),
            problem,
        };
        let directory = File::open(path).map_err(|error| unsupported(error.to_string()))?;
        // The magic number of statfs(2) is not enough: a network file system may lie about what it is made of.
        let probe = c"probe";
        let _ = btrfs::delete_subvolume(directory.as_fd(), probe);
        btrfs::create_subvolume(directory.as_fd(), probe).map_err(|error| {
            let why = match error {
                Errno::NOTTY => "it is not on a btrfs file system".to_owned(),
                other => format!("make a subvolume: {other}"),
            };
            unsupported(why)
        })?;
        btrfs::delete_subvolume(directory.as_fd(), probe)
            .map_err(|error| unsupported(format!("delete a subvolume: {error}")))?;
        Ok(Self {
            directory,
            counting: OnceLock::new(),
        })
    }

    fn make(&self, from: Option<BorrowedFd<'_>>, parent: BorrowedFd<'_>) -> Step {
        let failed = |step| move |source| (step, PathBuf::new(), source);
        match from {
            Some(from) => btrfs::snapshot(from, parent, TREE).map_err(failed("take a snapshot of")),
            None => {
                btrfs::create_subvolume(parent, TREE).map_err(failed("create the subvolume"))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let tree = rustix::fs::openat(parent, TREE, flags, Mode::empty()).map_err(failed("open"))?;
                rustix::fs::fchmod(&tree, Mode::from_raw_mode(0o755)).map_err(failed("chmod"))
            }
        }
    }

    fn limit(&self, tree: BorrowedFd<'_>, bytes: u64) -> Result<(), Errno> {
        if self.counting.get().is_none() {
            btrfs::enable_quota(self.directory.as_fd())?;
            let _ = self.counting.set(());
        }
        btrfs::limit(tree, bytes)
    }
}
