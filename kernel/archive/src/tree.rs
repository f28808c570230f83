//! Directories by descriptor: names, lookups that cannot leave a root, attributes, removal.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags};
use rustix::io::Errno;

use crate::entry::Xattr;

/// Folds `.` and `..` and slashes: `/a/./b//../c/` becomes `a/c`, the root is empty. `None` when it leads out.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// The directory part and the last part of a cleaned path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Opens a path as a process chrooted to `root` would, by openat2(2); the empty path is `root`.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    open_resolved(root, path, flags, ResolveFlags::IN_ROOT)
}

/// Opens a path below `root` that has no symbolic link in it.
pub(crate) fn open_without_links(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    open_resolved(
        root,
        path,
        flags,
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
}

fn open_resolved(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: some rename on the machine raced with a `..`; openat2(2) says to try again.
    for _ in 0..128 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Flags to open a directory itself, never a link to one.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens the directory `name` in `parent`.
pub(crate) fn open_directory(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
}

/// The status of `name` itself in `parent`, `None` when there is nothing.
pub(crate) fn stat(parent: impl AsFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The kind of file that a status is of.
pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether it is overlayfs' mark of a deleted file.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The names in a directory, sorted by bytes.
pub(crate) fn names(directory: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The name by which a path-taking call reaches `name` in `parent` without following it.
pub(crate) fn proc_path(parent: impl AsFd, name: &[u8]) -> CString {
    let mut path = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    CString::new(path).unwrap_or_default()
}

/// Changes the mode of what an O_PATH descriptor stands for; a symbolic link is refused by the kernel.
pub(crate) fn chmod(node: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), mode)
}

/// All extended attributes of an open file, sorted by name.
pub(crate) fn xattrs_of(file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    let file = file.as_fd();
    collect_xattrs(
        |buffer| rustix::fs::flistxattr(file, buffer),
        |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
    )
}

/// All extended attributes of `name` in `parent`, not followed (links and devices cannot be opened).
pub(crate) fn xattrs_at(parent: impl AsFd, name: &[u8]) -> Result<Vec<Xattr>, Errno> {
    let path = proc_path(parent, name);
    collect_xattrs(
        |buffer| rustix::fs::llistxattr(&path, buffer),
        |name, buffer| rustix::fs::lgetxattr(&path, name, buffer),
    )
}

fn collect_xattrs(
    mut list: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    mut get: impl FnMut(&CStr, &mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<Xattr>, Errno> {
    let names = match grow(&mut list) {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names.split_inclusive(|&b| b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        match grow(&mut |buffer| get(name, buffer)) {
            Ok(value) => found.push((name.to_bytes().to_vec(), value)),
            // Gone meanwhile, or listed but not for us.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Calls with a small buffer, then with ones of the kernel's limit (64 KiB, xattr(7)).
fn grow(call: &mut impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(length) => return Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut large = vec![0; 64 << 10];
    let length = call(&mut large)?;
    large.truncate(length);
    Ok(large)
}

/// One attribute of a directory or file that is open, `None` when it has none of that name.
pub(crate) fn xattr(file: impl AsFd, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    match grow(&mut |buffer| rustix::fs::fgetxattr(file.as_fd(), name, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// overlayfs' mark of a directory that hides those below it, overlayfs.rst «whiteouts and opaque directories».
pub(crate) const OPAQUE: &CStr = c"trusted.overlay.opaque";

pub(crate) fn is_opaque(directory: impl AsFd) -> Result<bool, Errno> {
    Ok(xattr(directory, OPAQUE)?.is_some_and(|value| value == b"y"))
}

pub(crate) fn set_opaque(directory: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
}

/// Removes `name` in `parent` and all below it, following no link; one that is not there is fine. In spite of hostile
/// depth it needs few descriptors and no recursion.
///
/// # Errors
/// What the kernel said; part may be gone.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    remove_all(parent, name, &mut |_, _| Ok(false))
}

/// Takes a file away before it is removed; false when it did not want it.
type Leave<'a> = dyn FnMut(BorrowedFd<'_>, &[u8]) -> Result<bool, Errno> + 'a;

/// Removes `name` and all below it; `leave` is asked to take away each non-directory itself (true: it did).
pub(crate) fn remove_all(parent: BorrowedFd<'_>, name: &[u8], leave: &mut Leave<'_>) -> Result<(), Errno> {
    refuse_mount(parent, name)?;
    match stat(parent, name)? {
        None => return Ok(()),
        Some(status) if kind(&status) == FileType::Directory => {}
        Some(_) => {
            if !leave(parent, name)? {
                gone_is_fine(rustix::fs::unlinkat(parent, name, AtFlags::empty()))?;
            }
            return Ok(());
        }
    }
    // A stack instead of recursion, and what is too deep is moved up first: an archive chooses the depth, and
    // descriptors are few.
    const DEEPEST: usize = 128;
    let mut stack = vec![(open_directory(parent, name)?, None::<Vec<Vec<u8>>>, name.to_vec())];
    let mut lifted = 0u64;
    loop {
        let depth = stack.len();
        let Some((directory, pending, _)) = stack.last_mut() else {
            break;
        };
        if pending.is_none() {
            *pending = Some(names(&*directory)?);
        }
        if let Some(child) = pending.as_mut().and_then(Vec::pop) {
            refuse_mount(directory.as_fd(), &child)?;
            match stat(&*directory, &child)? {
                None => {}
                Some(status) if kind(&status) == FileType::Directory => {
                    if depth < DEEPEST {
                        let below = open_directory(&*directory, &child)?;
                        stack.push((below, None, child));
                        continue;
                    }
                    lifted += 1;
                    let higher = format!(".lifted-{lifted}").into_bytes();
                    let from = directory.try_clone().map_err(|_| Errno::MFILE)?;
                    if let Some((top, Some(siblings), _)) = stack.first_mut() {
                        rustix::fs::renameat(&from, &*child, &*top, &*higher)?;
                        siblings.push(higher);
                    }
                }
                Some(_) => {
                    let left = leave(directory.as_fd(), &child)?;
                    if !left {
                        gone_is_fine(rustix::fs::unlinkat(&*directory, &*child, AtFlags::empty()))?;
                    }
                }
            }
            continue;
        }
        let Some((_, _, finished)) = stack.pop() else {
            break;
        };
        let holder = stack.last().map_or(parent, |(directory, _, _)| directory.as_fd());
        gone_is_fine(rustix::fs::unlinkat(holder, &*finished, AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

/// A place where something is mounted is busy. The kernel itself says so only of mounts of our own namespace; one of
/// another namespace, which a container's is, would be taken off silently.
fn refuse_mount(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    match statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE) {
        Ok(status) if status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => Err(Errno::BUSY),
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn gone_is_fine(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_never_lead_out() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(
                clean(path.as_bytes()),
                expect.map(|text| text.as_bytes().to_vec()),
                "{path}"
            );
        };
        check("/a/./b//../c/", Some("a/c"));
        check("./", Some(""));
        check("/", Some(""));
        check("a/../b", Some("b"));
        check("..", None);
        check("/..", None);
        check("a/../../b", None);
        check("...", Some("..."));
    }
}
