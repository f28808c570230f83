//! Finding the place of an entry below the root, and clearing it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::tree;

type Step<T> = Result<T, (&'static str, Errno)>;

fn at<T>(step: &'static str, result: Result<T, Errno>) -> Step<T> {
    result.map_err(|source| (step, source))
}

/// The root, the directory last worked in, and what must not be lost.
pub(super) struct Place<'r> {
    root: BorrowedFd<'r>,
    /// The directory of the last entry; entries of one directory mostly come together.
    cached: Option<(Vec<u8>, OwnedFd)>,
    /// Where replaced files go instead of being removed, once one has to.
    attic_path: Option<PathBuf>,
    attic: Option<OwnedFd>,
    /// The line of the record that tells of the inode's data.
    recorded: HashMap<u64, u64>,
    /// Cleaned paths that this archive made, when whiteouts are to be applied: these hide only what was before.
    made: Option<HashSet<Vec<u8>>>,
}

impl<'r> Place<'r> {
    pub(super) fn new(root: BorrowedFd<'r>, attic: Option<&Path>, remember: bool) -> Self {
        Self {
            root,
            cached: None,
            attic_path: attic.map(Path::to_owned),
            attic: None,
            recorded: HashMap::new(),
            made: remember.then(HashSet::new),
        }
    }

    pub(super) fn root(&self) -> BorrowedFd<'r> {
        self.root
    }

    /// Notes that the record's line `position` holds the data of `inode`.
    pub(super) fn recorded(&mut self, inode: u64, position: u64) {
        if self.attic_path.is_some() {
            self.recorded.insert(inode, position);
        }
    }

    /// Notes that the archive made `path`.
    pub(super) fn made(&mut self, path: &[u8]) {
        if let Some(made) = &mut self.made {
            made.insert(path.to_vec());
        }
    }

    /// The directory `path`, made with all above it where missing; links in it are followed inside the root.
    pub(super) fn directory(&mut self, path: &[u8]) -> Step<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root);
        }
        if self.cached.as_ref().is_none_or(|(cached, _)| cached != path) {
            let directory = match tree::open_in_root(self.root, path, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => self.make_directories(path)?,
                other => at("open its directory", other)?,
            };
            self.cached = Some((path.to_vec(), directory));
        }
        let (_, directory) = self.cached.as_ref().ok_or(("open its directory", Errno::NOENT))?;
        Ok(directory.as_fd())
    }

    /// A missing parent is made step by step, each looked up again from the root so that no link can lead out.
    fn make_directories(&mut self, path: &[u8]) -> Step<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let ends = path
            .iter()
            .enumerate()
            .filter(|&(_, &b)| b == b'/')
            .map(|(place, _)| place);
        let mut parent: Option<OwnedFd> = None;
        for end in ends.chain([path.len()]) {
            let (_, name) = tree::split(&path[..end]);
            let found = match tree::open_in_root(self.root, &path[..end], flags) {
                Err(Errno::NOENT) => {
                    let holder = parent.as_ref().map_or(self.root, AsFd::as_fd);
                    at(
                        "make its directory",
                        rustix::fs::mkdirat(holder, name, Mode::from_raw_mode(0o755)),
                    )?;
                    self.made(&path[..end]);
                    let made = at("open its directory", tree::open_directory(holder, name))?;
                    // The mode asked for is subject to the umask.
                    at(
                        "chmod its directory",
                        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755)),
                    )?;
                    made
                }
                other => at("open its directory", other)?,
            };
            parent = Some(found);
        }
        parent.ok_or(("make its directory", Errno::NOENT))
    }

    /// Removes what stands at `name` in the directory `path`, keeping recorded data.
    pub(super) fn clear(&mut self, path: &[u8], name: &[u8], present: &Stat) -> Step<()> {
        let directory = self.directory(path)?;
        let directory = at(
            "open its directory",
            rustix::io::fcntl_dupfd_cloexec(directory, 3),
        )?;
        if matches!(tree::kind(present), FileType::Directory | FileType::Symlink) {
            self.cached = None;
        }
        let Self {
            attic,
            attic_path,
            recorded,
            ..
        } = self;
        let mut keep = |parent: BorrowedFd<'_>, name: &[u8]| {
            keep_recorded(attic, attic_path.as_deref(), recorded, parent, name)
        };
        at(
            "remove what it replaces",
            tree::remove_all(directory.as_fd(), name, &mut keep),
        )
    }

    /// Applies a whiteout: what stood at `name` before this archive goes; what this archive made stays.
    pub(super) fn apply_whiteout(&mut self, path: &[u8], name: &[u8]) -> Step<()> {
        let whole = if path.is_empty() {
            name.to_vec()
        } else {
            [path, b"/", name].concat()
        };
        let directory = self.directory(path)?;
        let Some(present) = at("look for what it hides", tree::stat(directory, name))? else {
            return Ok(());
        };
        if !self.is_made(&whole) {
            return self.clear(path, name, &present);
        }
        if tree::kind(&present) == FileType::Directory {
            self.apply_opaque(&whole)?;
        }
        Ok(())
    }

    /// Removes all below the directory `path` that this archive did not make.
    pub(super) fn apply_opaque(&mut self, path: &[u8]) -> Step<()> {
        let mut directories = vec![path.to_vec()];
        while let Some(path) = directories.pop() {
            let directory = at(
                "open an opaque directory",
                tree::open_without_links(self.root, &path, tree::DIRECTORY),
            )?;
            for name in at("list an opaque directory", tree::names(&directory))? {
                let whole = if path.is_empty() {
                    name.clone()
                } else {
                    [&path[..], b"/", &name].concat()
                };
                let Some(present) = at("look into an opaque directory", tree::stat(&directory, &name))?
                else {
                    continue;
                };
                if !self.is_made(&whole) {
                    self.clear(&path, &name, &present)?;
                } else if tree::kind(&present) == FileType::Directory {
                    directories.push(whole);
                }
            }
        }
        Ok(())
    }

    fn is_made(&self, path: &[u8]) -> bool {
        self.made.as_ref().is_some_and(|made| made.contains(path))
    }
}

/// Moves a file whose data the record refers to into the attic; true when it did.
fn keep_recorded(
    attic: &mut Option<OwnedFd>,
    attic_path: Option<&Path>,
    recorded: &HashMap<u64, u64>,
    parent: BorrowedFd<'_>,
    name: &[u8],
) -> Result<bool, Errno> {
    let (Some(path), false) = (attic_path, recorded.is_empty()) else {
        return Ok(false);
    };
    let Some(status) = tree::stat(parent, name)? else {
        return Ok(true);
    };
    let Some(position) = recorded.get(&status.st_ino) else {
        return Ok(false);
    };
    if tree::kind(&status) != FileType::RegularFile {
        return Ok(false);
    }
    let directory = match attic {
        Some(directory) => directory,
        None => {
            match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            attic.insert(rustix::fs::openat(CWD, path, tree::DIRECTORY, Mode::empty())?)
        }
    };
    let kept = position.to_string();
    match rustix::fs::renameat(parent, name, &*directory, &kept) {
        // A tree that is a subvolume of btrfs, with the attic beside it.
        Err(Errno::XDEV) => copy_to_attic(parent, name, directory, &kept)?,
        other => other?,
    }
    // rename(2) between two names of one file does nothing.
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The data alone: nothing else is asked of what is in the attic.
fn copy_to_attic(parent: BorrowedFd<'_>, name: &[u8], attic: &OwnedFd, kept: &str) -> Result<(), Errno> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = rustix::fs::openat(parent, name, read, Mode::empty())?;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(attic, kept, write, Mode::RUSR | Mode::WUSR)?;
    if rustix::fs::ioctl_ficlone(&to, &from).is_ok() {
        return Ok(());
    }
    let (mut from, mut to) = (File::from(from), File::from(to));
    let copied = std::io::copy(&mut from, &mut to);
    copied
        .map(drop)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
