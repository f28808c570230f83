//! HOME of a user, from the `/etc/passwd` of the root file system.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};

use crate::RootfsSource;

/// More than this is not read: the file is an image's, so it may be anything.
const LIMIT: u64 = 1 << 20;

/// The home directory of `uid`, if the file names one.
pub(crate) fn of(rootfs: &RootfsSource, directory: Option<&str>, uid: u32) -> Option<String> {
    match (rootfs, directory) {
        (RootfsSource::DetachedMount(fd), _) => in_root(fd.as_fd(), uid),
        (_, Some(path)) => {
            let root = rustix::fs::open(
                path,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            in_root(root.ok()?.as_fd(), uid)
        }
        _ => None,
    }
}

/// As [`of`], seen from a root.
pub(crate) fn in_root(root: BorrowedFd<'_>, uid: u32) -> Option<String> {
    // Non-blocking, because it may be a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = linux::fd::open_in_root(root, c"/etc/passwd", flags, Mode::empty()).ok()?;
    if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode).is_file() {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::from(file)
        .take(LIMIT)
        .read_to_end(&mut text)
        .ok()?;
    find(&String::from_utf8_lossy(&text), uid)
}

fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let matches = fields.get(2)?.parse() == Ok(uid);
        fields
            .get(5)
            .filter(|home| matches && home.starts_with('/'))
            .map(|home| (*home).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_with_the_number_counts() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad line\nother:x:7:7::/home/other:\nsame:x:7:7::/x:\n";
        assert_eq!(find(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(find(passwd, 7).as_deref(), Some("/home/other"));
        assert_eq!(find(passwd, 8), None);
    }
}
