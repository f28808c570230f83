//! One file as the client describes it, checked.

use bollard_buildkit_proto::fsutil::types::Stat;

use crate::grpc::{Code, Status};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    /// Is not made: it has no content that an image could have.
    Socket,
}

/// A file of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative, without `.`, `..` and empty names.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// Permissions with the three bits above them.
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    /// Where a symbolic link leads; the path of the same file for a hard link; empty otherwise.
    pub(super) link: String,
    /// Names and values of `user.*` and `security.capability`.
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;
const DEEPEST: usize = 1000;

/// Go's `fs.FileMode`.
mod go {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const FIFO: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHARACTER: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const IRREGULAR: u32 = 1 << 19;
}

/// A mode as Go writes it.
pub(crate) fn mode_of(mode: u32) -> u32 {
    use rustix::fs::FileType;
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => go::DIRECTORY,
        FileType::Symlink => go::SYMLINK,
        FileType::Fifo => go::FIFO,
        FileType::Socket => go::SOCKET,
        FileType::CharacterDevice => go::DEVICE | go::CHARACTER,
        FileType::BlockDevice => go::DEVICE,
        _ => 0,
    };
    let bits = BITS.iter().filter(|(_, value)| mode & value != 0);
    bits.fold(mode & 0o777 | kind, |mode, (bit, _)| mode | bit)
}

/// The bits above the permissions.
const BITS: [(u32, u32); 3] = [(go::SETUID, 0o4000), (go::SETGID, 0o2000), (go::STICKY, 0o1000)];

impl Entry {
    /// Checks what the client sent.
    ///
    /// # Errors
    /// The path leads out of the directory, or it is a kind of file that is not taken.
    pub(super) fn read(stat: Stat) -> Result<Self, Status> {
        let refuse = |why: &str| {
            let text = format!("the client sent {:?}: {why}", stat.path);
            Err(Status::new(Code::InvalidArgument, text))
        };
        let kind = match stat.mode {
            mode if mode & go::DIRECTORY != 0 => Kind::Directory,
            mode if mode & go::SYMLINK != 0 => Kind::Symlink,
            mode if mode & go::SOCKET != 0 => Kind::Socket,
            mode if mode & go::FIFO != 0 => Kind::Fifo,
            mode if mode & (go::DEVICE | go::CHARACTER) != 0 => return refuse("devices are not taken"),
            mode if mode & go::IRREGULAR != 0 => return refuse("it is of no kind that is known"),
            _ => Kind::File,
        };
        let Ok(size) = u64::try_from(stat.size) else {
            return refuse("its size is negative");
        };
        let mut mode = stat.mode & 0o777;
        for (bit, value) in BITS {
            if stat.mode & bit != 0 {
                mode |= value;
            }
        }
        let xattrs = stat.xattrs.into_iter();
        let mut xattrs: Vec<_> = xattrs
            .filter(|(name, value)| {
                let known = name.starts_with("user.") || name == "security.capability";
                known && name.len() <= NAME_MAX && !name.contains('\0') && value.len() <= linux::fs::XATTR_MAX
            })
            .collect();
        xattrs.sort();
        checked(Self {
            path: stat.path,
            kind,
            mode,
            size,
            time: stat.mod_time,
            link: stat.linkname,
            xattrs,
        })
    }
}

/// An entry whose paths lead nowhere else.
///
/// # Errors
/// Its path leads out of the directory, or its link nowhere.
pub(super) fn checked(entry: Entry) -> Result<Entry, Status> {
    let refuse = |why: &str| {
        let text = format!("the client sent {:?}: {why}", entry.path);
        Err(Status::new(Code::InvalidArgument, text))
    };
    let link = &entry.link;
    let bad_link = match entry.kind {
        Kind::Symlink => link.is_empty() || link.len() >= PATH_MAX || link.contains('\0'),
        _ => !link.is_empty() && !is_clean(link),
    };
    match () {
        () if !is_clean(&entry.path) => refuse("a path must be relative and clean"),
        () if bad_link => refuse("its link leads nowhere"),
        () => Ok(entry),
    }
}

fn is_clean(path: &str) -> bool {
    let fits =
        |name: &str| !matches!(name, "" | "." | "..") && name.len() <= NAME_MAX && !name.contains('\0');
    path.len() < PATH_MAX && path.split('/').count() <= DEEPEST && path.split('/').all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, mode: u32, link: &str) -> Result<Entry, Status> {
        Entry::read(Stat {
            path: path.into(),
            mode,
            linkname: link.into(),
            ..Stat::default()
        })
    }

    #[test]
    fn go_modes_are_understood() {
        let entry = read("a/b", go::SETUID | 0o755, "").unwrap();
        assert_eq!((entry.kind, entry.mode), (Kind::File, 0o4755));
        assert_eq!(
            read("a", go::DIRECTORY | 0o700, "").unwrap().kind,
            Kind::Directory
        );
        assert_eq!(
            read("a", go::SYMLINK | 0o777, "../..").unwrap().kind,
            Kind::Symlink
        );
    }

    #[test]
    fn modes_are_written_as_go_writes_them() {
        assert_eq!(mode_of(0o100_755), 0o755);
        assert_eq!(mode_of(0o041_777), go::DIRECTORY | go::STICKY | 0o777);
        assert_eq!(mode_of(0o020_644), go::DEVICE | go::CHARACTER | 0o644);
    }

    #[test]
    fn paths_that_lead_out_and_devices_are_refused() {
        let long = "x".repeat(300);
        for path in [
            "",
            "/a",
            "..",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a\0",
            long.as_str(),
        ] {
            assert!(read(path, 0o644, "").is_err(), "{path:?}");
        }
        assert!(read("a", go::DEVICE, "").is_err());
        assert!(read("a", 0o644, "../b").is_err(), "a hard link out of the tree");
        assert!(read("a", go::SYMLINK, "").is_err());
    }
}
