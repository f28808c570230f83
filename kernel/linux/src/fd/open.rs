//! Opening below a directory without being led out of it by symbolic links.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::{Errno, Result};

const NO_MAGIC: ResolveFlags = ResolveFlags::NO_MAGICLINKS;

/// Opens `path` as a process would whose root were `root`: absolute symbolic links and `..` stay inside, magic links are
/// refused. *Async-signal-safe.*
///
/// # Errors
/// As `openat2(2)`.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    retry(|| {
        rustix::fs::openat2(
            root,
            path,
            flags | OFlags::CLOEXEC,
            mode,
            ResolveFlags::IN_ROOT | NO_MAGIC,
        )
    })
}

/// Opens `path` below `directory`; anything that leads out of it is an error, `EXDEV`. *Async-signal-safe.*
///
/// # Errors
/// As `openat2(2)`.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    retry(|| {
        rustix::fs::openat2(
            directory,
            path,
            flags | OFlags::CLOEXEC,
            mode,
            ResolveFlags::BENEATH | NO_MAGIC,
        )
    })
}

/// The kernel answers EAGAIN when a rename during `..` resolution may have fooled it; it asks to try again.
fn retry(mut open: impl FnMut() -> Result<OwnedFd>) -> Result<OwnedFd> {
    for _ in 0..128 {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Longest path that [`ensure_directory_in_root`] takes, with its terminator.
const PATH_MAX: usize = 4096;

/// How many symbolic links to what does not exist are followed, each making what it names.
const MAX_DANGLING: u32 = 8;

/// Opens the directory `path` inside `root` (as [`open_in_root`]), making what is missing with `mode`; what a dangling
/// symbolic link names is made where the link leads inside `root`. *Async-signal-safe.*
///
/// # Errors
/// `ENOTDIR` when a part exists and is something else, `ELOOP`, `ENAMETOOLONG`.
pub fn ensure_directory_in_root(root: BorrowedFd<'_>, path: &CStr, mode: Mode) -> Result<OwnedFd> {
    ensure_directory(root, path, mode, MAX_DANGLING)
}

fn ensure_directory(root: BorrowedFd<'_>, path: &CStr, mode: Mode, links: u32) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open_in_root(root, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    if make_last(root, path, mode).is_some() {
        return open_in_root(root, path, flags, Mode::empty());
    }
    let mut prefix = Prefix::new(path)?;
    let mut opened = open_in_root(root, c"/", flags, Mode::empty())?;
    while let Some((start, end)) = prefix.next_name() {
        opened = match open_in_root(root, prefix.path(), flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                let mut buffer = [0_u8; 256];
                let name = terminated(prefix.bytes(start, end), &mut buffer)?;
                match rustix::fs::mkdirat(&opened, name, mode) {
                    Ok(()) => {}
                    // Somebody else was faster, or it is a symbolic link to nothing.
                    Err(Errno::EXIST) => {
                        let mut target = [0_u8; PATH_MAX];
                        if let Some(target) = link_target(&opened, name, prefix.bytes(0, start), &mut target)?
                        {
                            ensure_directory(root, target, mode, links.checked_sub(1).ok_or(Errno::LOOP)?)?;
                        }
                    }
                    Err(error) => return Err(error),
                }
                open_in_root(root, prefix.path(), flags, Mode::empty())?
            }
            other => other?,
        };
    }
    Ok(opened)
}

/// The usual case, in which only the last name is missing: makes it in a directory that is there. `None` where that does
/// not do.
fn make_last(root: BorrowedFd<'_>, path: &CStr, mode: Mode) -> Option<()> {
    let bytes = trimmed(path.to_bytes());
    let split = bytes.iter().rposition(|&b| b == b'/')?;
    let (parent, name) = (trimmed(&bytes[..split]), &bytes[split + 1..]);
    let mut buffer = [0_u8; 256];
    let parent = if parent.is_empty() {
        c"/"
    } else {
        terminated(parent, &mut buffer).ok()?
    };
    let parent = open_in_root(root, parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).ok()?;
    let mut buffer = [0_u8; 256];
    rustix::fs::mkdirat(&parent, terminated(name, &mut buffer).ok()?, mode).ok()
}

/// Opens (`O_PATH`) the file `path` inside `root`, making it and its directories if missing, as
/// [`ensure_directory_in_root`] does. It may be of any type but a directory. *Async-signal-safe.*
///
/// # Errors
/// `EISDIR` when it is a directory; otherwise as [`ensure_directory_in_root`].
pub fn ensure_file_in_root(root: BorrowedFd<'_>, path: &CStr, mode: Mode) -> Result<OwnedFd> {
    ensure_file(root, path, mode, MAX_DANGLING)
}

fn ensure_file(root: BorrowedFd<'_>, path: &CStr, mode: Mode, links: u32) -> Result<OwnedFd> {
    match open_in_root(root, path, OFlags::PATH, Mode::empty()) {
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
        Ok(found) => {
            let stat = rustix::fs::fstat(&found)?;
            let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
            return if is_directory {
                Err(Errno::ISDIR)
            } else {
                Ok(found)
            };
        }
    }
    let bytes = trimmed(path.to_bytes());
    let split = bytes
        .iter()
        .rposition(|&b| b == b'/')
        .map_or(0, |place| place + 1);
    let (parent, name) = bytes.split_at(split);
    if name.is_empty() {
        return Err(Errno::ISDIR);
    }
    let mut parent_buffer = [0_u8; PATH_MAX];
    let parent_path = if parent.is_empty() {
        c"/"
    } else {
        terminated(parent, &mut parent_buffer)?
    };
    let directory = ensure_directory(root, parent_path, Mode::from_raw_mode(0o755), links)?;
    let mut name_buffer = [0_u8; 256];
    let name = terminated(name, &mut name_buffer)?;
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&directory, name, flags, mode) {
        Ok(_) | Err(Errno::EXIST) => {}
        // A symbolic link to nothing, such as /etc/resolv.conf of systemd's images.
        Err(Errno::LOOP) => {
            let mut target = [0_u8; PATH_MAX];
            let target = link_target(&directory, name, parent, &mut target)?.ok_or(Errno::LOOP)?;
            return ensure_file(root, target, mode, links.checked_sub(1).ok_or(Errno::LOOP)?);
        }
        Err(error) => return Err(error),
    }
    open_in_root(root, path, OFlags::PATH, Mode::empty())
}

/// What the symbolic link `name` in `directory` (whose path is `parent`) says, as a path from the root; `None` when it is
/// no symbolic link.
fn link_target<'a>(
    directory: &OwnedFd,
    name: &CStr,
    parent: &[u8],
    buffer: &'a mut [u8; PATH_MAX],
) -> Result<Option<&'a CStr>> {
    let mut text = [0_u8; PATH_MAX];
    let length = match rustix::fs::readlinkat_raw(directory, name, &mut text[..]) {
        Err(Errno::INVAL) => return Ok(None),
        other => other?,
    };
    let text = &text[..length];
    let base = if text.starts_with(b"/") { &[][..] } else { parent };
    let end = base.len() + text.len();
    if end >= PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    buffer[..base.len()].copy_from_slice(base);
    buffer[base.len()..end].copy_from_slice(text);
    buffer[end] = 0;
    CStr::from_bytes_until_nul(buffer)
        .map(Some)
        .map_err(|_| Errno::INVAL)
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = bytes {
        bytes = rest;
    }
    bytes
}

fn terminated<'a>(bytes: &[u8], buffer: &'a mut [u8]) -> Result<&'a CStr> {
    if bytes.len() >= buffer.len() {
        return Err(Errno::NAMETOOLONG);
    }
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer[bytes.len()] = 0;
    CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::INVAL)
}

/// Walks a path name by name, giving the path up to and with each.
struct Prefix {
    buffer: [u8; PATH_MAX],
    length: usize,
    end: usize,
    /// The byte that the terminator of the present prefix replaces.
    replaced: u8,
}

impl Prefix {
    fn new(path: &CStr) -> Result<Self> {
        let bytes = path.to_bytes();
        let mut buffer = [0_u8; PATH_MAX];
        if bytes.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(Self {
            buffer,
            length: bytes.len(),
            end: 0,
            replaced: bytes.first().copied().unwrap_or(0),
        })
    }

    /// Goes on to the next name and says where it stands.
    fn next_name(&mut self) -> Option<(usize, usize)> {
        self.buffer[self.end] = self.replaced;
        let mut start = self.end;
        while start < self.length && self.buffer[start] == b'/' {
            start += 1;
        }
        if start >= self.length {
            return None;
        }
        let mut end = start;
        while end < self.length && self.buffer[end] != b'/' {
            end += 1;
        }
        self.replaced = self.buffer[end];
        self.buffer[end] = 0;
        self.end = end;
        Some((start, end))
    }

    fn bytes(&self, start: usize, end: usize) -> &[u8] {
        &self.buffer[start..end]
    }

    fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.buffer).unwrap_or(c"/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    fn root() -> (tempfile::TempDir, std::fs::File) {
        let directory = tempfile::tempdir().expect("dir");
        let fd = std::fs::File::open(directory.path()).expect("open");
        (directory, fd)
    }

    #[test]
    fn missing_directories_are_made_inside_the_root() {
        let (directory, fd) = root();
        ensure_directory_in_root(fd.as_fd(), c"/a//b/c/", Mode::from_raw_mode(0o755)).expect("made");
        assert!(directory.path().join("a/b/c").is_dir());
    }

    #[test]
    fn symbolic_links_lead_nowhere_but_inside_the_root() {
        let (directory, fd) = root();
        let outside = tempfile::tempdir().expect("outside");
        std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).expect("link");
        std::os::unix::fs::symlink("../run/below/conf", directory.path().join("conf")).expect("link");
        std::os::unix::fs::symlink("loop", directory.path().join("loop")).expect("link");
        // What the link names is made inside the root; nothing appears outside.
        ensure_file_in_root(fd.as_fd(), c"link/x", Mode::from_raw_mode(0o644)).expect("made");
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
        let inner = outside.path().strip_prefix("/").expect("absolute");
        assert!(directory.path().join(inner).join("x").is_file());
        ensure_file_in_root(fd.as_fd(), c"/conf", Mode::from_raw_mode(0o644)).expect("made");
        assert!(directory.path().join("run/below/conf").is_file());
        let mode = Mode::from_raw_mode(0o755);
        assert_eq!(
            ensure_file_in_root(fd.as_fd(), c"loop", mode).expect_err("loop"),
            Errno::LOOP
        );
        assert_eq!(
            ensure_directory_in_root(fd.as_fd(), c"loop/x", mode).expect_err("loop"),
            Errno::LOOP
        );
    }

    #[test]
    fn dots_do_not_climb_out() {
        let (directory, fd) = root();
        ensure_file_in_root(fd.as_fd(), c"../../../x", Mode::from_raw_mode(0o644)).expect("made");
        assert!(directory.path().join("x").is_file());
    }
}
