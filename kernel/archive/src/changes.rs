//! What differs between a layer and what lies below it, as `docker diff` shows it.

mod content;

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::entry::display;
use crate::{PackError, tree};

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is there with other content or attributes, or something below it differs (`C`, 0 in the API).
    Modified,
    /// It is new (`A`, 1 in the API).
    Added,
    /// It is gone (`D`, 2 in the API).
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// The absolute path inside the tree, `/etc/passwd`.
    pub path: Vec<u8>,
}

/// The changes that an overlay's `upper` directory makes to `lowers` (topmost first), parents before children, sorted
/// by name in each directory. The parents of a change are changes themselves, except the root; of a deleted tree only
/// its top is named.
///
/// # Errors
/// [`PackError::File`].
pub fn changes(upper: BorrowedFd<'_>, lowers: &[BorrowedFd<'_>]) -> Result<Vec<Change>, PackError> {
    let mut found = Vec::new();
    let upper = duplicate(upper)?;
    let lowers = lowers
        .iter()
        .map(|lower| duplicate(*lower))
        .collect::<Result<Vec<_>, _>>()?;
    overlay_level(&upper, &lowers, b"", &mut found)?;
    Ok(found)
}

/// One directory of the upper layer, and the directories of that path in the lower layers that are not hidden.
fn overlay_level(
    upper: &OwnedFd,
    lowers: &[OwnedFd],
    path: &[u8],
    found: &mut Vec<Change>,
) -> Result<(), PackError> {
    refuse_abyss(path)?;
    let failed = |step| move |source| file_error(path, step, source);
    let mut names = tree::names(upper).map_err(failed("list"))?;
    let opaque = tree::is_opaque(upper).map_err(failed("getxattr"))?;
    if opaque {
        // Everything below that was there before and is not made anew is deleted.
        names.extend(merged_names(lowers).map_err(failed("list"))?);
        names.sort_unstable();
        names.dedup();
    }
    for name in names {
        let whole = [path, b"/", &name].concat();
        let failed = |step| {
            let whole = whole.clone();
            move |source| file_error(&whole, step, source)
        };
        let now = tree::stat(upper, &name)
            .map_err(failed("stat"))?
            .filter(|now| !tree::is_whiteout(now));
        let before = lookup(lowers, &name).map_err(failed("stat"))?;
        let Some(now) = now else {
            if before.is_some() {
                record(found, ChangeKind::Deleted, whole);
            }
            continue;
        };
        let is_directory = tree::kind(&now) == FileType::Directory;
        let Some(before) = before else {
            record(found, ChangeKind::Added, whole.clone());
            if is_directory {
                let below = tree::open_directory(upper, &name).map_err(failed("open"))?;
                overlay_level(&below, &[], &whole, found)?;
            }
            continue;
        };
        if !is_directory {
            record(found, ChangeKind::Modified, whole);
            continue;
        }
        if !same_attributes(&now, &before) {
            record(found, ChangeKind::Modified, whole.clone());
        }
        let below = tree::open_directory(upper, &name).map_err(failed("open"))?;
        let lowers = directories(lowers, &name).map_err(failed("open"))?;
        overlay_level(&below, &lowers, &whole, found)?;
    }
    Ok(())
}

/// The status of `name` as the lower layers together show it.
fn lookup(lowers: &[OwnedFd], name: &[u8]) -> Result<Option<Stat>, Errno> {
    for lower in lowers {
        if let Some(status) = tree::stat(lower, name)? {
            return Ok((!tree::is_whiteout(&status)).then_some(status));
        }
    }
    Ok(None)
}

/// The directories that are merged at `name`: down to the first that is opaque, or that is none.
fn directories(lowers: &[OwnedFd], name: &[u8]) -> Result<Vec<OwnedFd>, Errno> {
    let mut found = Vec::new();
    for lower in lowers {
        match tree::stat(lower, name)? {
            None => {}
            Some(status) if tree::kind(&status) == FileType::Directory => {
                let directory = tree::open_directory(lower, name)?;
                let last = tree::is_opaque(&directory)?;
                found.push(directory);
                if last {
                    break;
                }
            }
            Some(_) => break,
        }
    }
    Ok(found)
}

fn merged_names(lowers: &[OwnedFd]) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for lower in lowers {
        names.extend(tree::names(lower)?);
    }
    Ok(names)
}

/// The changes from one whole tree to another, in the same order and meaning as [`changes()`]. A file is taken as
/// unchanged when size, time, mode, owner, kind, device and attributes are the same.
///
/// # Errors
/// [`PackError::File`].
pub fn changes_between(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> Result<Vec<Change>, PackError> {
    between(old, new, Depth::Attributes)
}

/// [`changes_between`] for trees of different origin, where equal size and time say nothing: the content of files is
/// compared, too, unless both are the very same file.
///
/// # Errors
/// [`PackError::File`].
pub fn differences_between(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> Result<Vec<Change>, PackError> {
    between(old, new, Depth::Content)
}

fn between(old: BorrowedFd<'_>, new: BorrowedFd<'_>, depth: Depth) -> Result<Vec<Change>, PackError> {
    let mut found = Vec::new();
    tree_level(Some(&duplicate(old)?), &duplicate(new)?, b"", depth, &mut found)?;
    Ok(found)
}

/// How closely files are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Attributes,
    Content,
}

fn tree_level(
    old: Option<&OwnedFd>,
    new: &OwnedFd,
    path: &[u8],
    depth: Depth,
    found: &mut Vec<Change>,
) -> Result<(), PackError> {
    refuse_abyss(path)?;
    let failed = |step| move |source| file_error(path, step, source);
    let mut names = tree::names(new).map_err(failed("list"))?;
    if let Some(old) = old {
        names.extend(tree::names(old).map_err(failed("list"))?);
        names.sort_unstable();
        names.dedup();
    }
    for name in names {
        let whole = [path, b"/", &name].concat();
        let failed = |step| {
            let whole = whole.clone();
            move |source| file_error(&whole, step, source)
        };
        let now = tree::stat(new, &name).map_err(failed("stat"))?;
        let before = old
            .map_or(Ok(None), |old| tree::stat(old, &name))
            .map_err(failed("stat"))?;
        let Some(now) = now else {
            record(found, ChangeKind::Deleted, whole);
            continue;
        };
        let was_directory = before.is_some_and(|before| tree::kind(&before) == FileType::Directory);
        let is_directory = tree::kind(&now) == FileType::Directory;
        match before {
            None => record(found, ChangeKind::Added, whole.clone()),
            Some(before) => {
                let same = same_attributes(&now, &before)
                    && (is_directory || now.st_size == before.st_size)
                    && same_xattrs(old, new, &name).map_err(failed("getxattr"))?
                    && (depth == Depth::Attributes
                        || content::same(old, new, &name, &before, &now).map_err(failed("read"))?);
                if !same {
                    record(found, ChangeKind::Modified, whole.clone());
                }
            }
        }
        if is_directory {
            let below = tree::open_directory(new, &name).map_err(failed("open"))?;
            let old_below = match old.filter(|_| was_directory) {
                Some(old) => Some(tree::open_directory(old, &name).map_err(failed("open"))?),
                None => None,
            };
            tree_level(old_below.as_ref(), &below, &whole, depth, found)?;
        }
    }
    Ok(())
}

/// A container can nest directories without end; the stack of this process ends.
fn refuse_abyss(path: &[u8]) -> Result<(), PackError> {
    if path.iter().filter(|&&b| b == b'/').count() > 800 {
        return Err(file_error(path, "descend into", Errno::NAMETOOLONG));
    }
    Ok(())
}

fn same_attributes(now: &Stat, before: &Stat) -> bool {
    (
        now.st_mode,
        now.st_uid,
        now.st_gid,
        now.st_rdev,
        now.st_mtime,
        now.st_mtime_nsec,
    ) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_rdev,
        before.st_mtime,
        before.st_mtime_nsec,
    )
}

fn same_xattrs(old: Option<&OwnedFd>, new: &OwnedFd, name: &[u8]) -> Result<bool, Errno> {
    match old {
        Some(old) => Ok(tree::xattrs_at(old, name)? == tree::xattrs_at(new, name)?),
        None => Ok(true),
    }
}

/// Adds a change, after its parents where these are not there yet.
fn record(found: &mut Vec<Change>, kind: ChangeKind, path: Vec<u8>) {
    let mut missing = Vec::new();
    let mut child = &path[..];
    while let Some(slash) = child.iter().rposition(|&b| b == b'/').filter(|&slash| slash > 0) {
        child = &child[..slash];
        // The changes of a directory come together and its own comes first: when the last change is that directory or
        // below it, it is there.
        let known = found.last().and_then(|last| last.path.strip_prefix(child));
        if known.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
            break;
        }
        missing.push(child.to_vec());
    }
    found.extend(missing.into_iter().rev().map(|path| Change {
        kind: ChangeKind::Modified,
        path,
    }));
    found.push(Change { kind, path });
}

fn duplicate(directory: BorrowedFd<'_>) -> Result<OwnedFd, PackError> {
    rustix::io::fcntl_dupfd_cloexec(directory, 3).map_err(|source| file_error(b"/", "dup", source))
}

fn file_error(path: &[u8], step: &'static str, source: Errno) -> PackError {
    PackError::File {
        path: display(path),
        step,
        source,
    }
}

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "says which tests are skipped")]
mod tests;
