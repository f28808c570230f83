//! Paths inside a container's tree: what they are, and where they lead.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use linux::Errno;
use log_drivers::Timestamp;
use rustix::fs::{FileType, Mode, OFlags};

use super::{FilesError, failed, file_type};
use crate::plan::PathStat;

/// Links that are followed before a path is called a loop, as the kernel does.
const MOST_LINKS: usize = 40;

/// What a path is, and where it is: relative to the root, without symbolic links in its directories. A trailing `/` or `/.`
/// asks for what a link leads to.
pub(super) fn stat(root: BorrowedFd<'_>, path: &Path) -> Result<(PathStat, Vec<u8>), FilesError> {
    let text = path.as_os_str().as_bytes();
    let asks_directory = text.ends_with(b"/") || text.ends_with(b"/.");
    let clean = components(text);
    let full = match clean.split_last() {
        None => Vec::new(),
        Some(_) if asks_directory => evaluate(root, &clean)?,
        Some((last, parents)) => {
            let mut full = evaluate(root, parents)?;
            full.push(last.clone());
            full
        }
    };
    let start = full.join(&b'/');
    let place = if start.is_empty() {
        root_of(root)?
    } else {
        open_path(root, &start, path)?
    };
    let stat = rustix::fs::fstat(&place).map_err(failed("stat", path))?;
    let kind = file_type(&stat);
    if asks_directory && !kind.is_dir() {
        return Err(FilesError::NotDirectoryPath(path.display().to_string()));
    }
    let mut link_target = String::new();
    if kind.is_symlink() {
        let target = evaluate(root, &full)?.join(&b'/');
        link_target = format!("/{}", String::from_utf8_lossy(&target));
    }
    let name = if text.ends_with(b"/.") && !clean.is_empty() {
        b".".to_vec()
    } else {
        clean.last().cloned().unwrap_or_else(|| b"/".to_vec())
    };
    let mtime = Timestamp::from_nanos(stat.st_mtime as i64 * 1_000_000_000 + stat.st_mtime_nsec as i64);
    let told = PathStat {
        name: String::from_utf8_lossy(&name).into_owned(),
        size: stat.st_size,
        mode: go_mode(stat.st_mode),
        mtime,
        link_target,
    };
    Ok((told, start))
}

pub(super) fn root_of(root: BorrowedFd<'_>) -> Result<OwnedFd, FilesError> {
    rustix::io::fcntl_dupfd_cloexec(root, 3).map_err(failed("open", "/"))
}

/// Opens a path that has no links in its directories; a link at its end is not followed.
pub(super) fn open_path(root: BorrowedFd<'_>, path: &[u8], asked: &Path) -> Result<OwnedFd, FilesError> {
    let name = CString::new(path).map_err(|_| failed("open", asked)(Errno::INVAL))?;
    match linux::fd::open_in_root(root, &name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Err(FilesError::NotFound(asked.display().to_string())),
        other => other.map_err(failed("open", asked)),
    }
}

/// The parts of a path, with `.` and `..` folded; nothing is above the root.
pub(super) fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            _ => parts.push(part.to_vec()),
        }
    }
    parts
}

/// Follows all symbolic links of a path, as text, inside the root; parts that do not exist stay as they are.
pub(super) fn evaluate(root: BorrowedFd<'_>, parts: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, FilesError> {
    let mut left: Vec<Vec<u8>> = parts.iter().rev().cloned().collect();
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == b".." {
            done.pop();
            continue;
        }
        done.push(part);
        let name = CString::new(done.join(&b'/')).map_err(|_| failed("open", "path")(Errno::INVAL))?;
        let opened = linux::fd::open_in_root(root, &name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
        let Ok(opened) = opened else { continue };
        let Ok(target) = rustix::fs::readlinkat(&opened, c"", Vec::new()) else {
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            let path = PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned());
            return Err(failed("follow", path)(Errno::LOOP));
        }
        done.pop();
        if target.as_bytes().starts_with(b"/") {
            done.clear();
        }
        let parts = target.as_bytes().split(|byte| *byte == b'/').rev();
        left.extend(
            parts
                .filter(|part| !part.is_empty() && *part != b".")
                .map(<[u8]>::to_vec),
        );
    }
    Ok(done)
}

/// Go's `os.FileMode` of a mode.
pub(super) fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let bit = |set: u32, go: u32| if mode & set != 0 { 1 << go } else { 0 };
    mode & 0o777 | kind | bit(0o4000, 23) | bit(0o2000, 22) | bit(0o1000, 20)
}
