//! Small files that others read at any time: written whole, by a temporary file and a rename.

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

/// Puts `value` as JSON at `path` (mode 0600). Not synced: a power loss ends the process that the record is about, too.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Errno> {
    let text = serde_json::to_vec(value).map_err(|_| Errno::INVAL)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(temporary.as_os_str(), flags, Mode::from_raw_mode(0o600))?;
    let mut rest = &text[..];
    while !rest.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = &rest[count..];
    }
    rustix::fs::rename(temporary.as_os_str(), path)
}

/// Removes a record; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlink(path) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}
