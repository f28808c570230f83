//! One member of an archive, whatever the dialect it was written in.

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file, with data.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// Another name for the entry [`Entry::link`] of the same archive.
    HardLink,
    /// A character device, see [`Entry::device`].
    CharDevice,
    /// A block device, see [`Entry::device`].
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A type flag that nobody here knows; its data can be read or skipped.
    Other(u8),
}

/// A point in time to the nanosecond, counted from 1970 in UTC; seconds may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A run of data of a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where in the file the run begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The name and the value of an extended attribute.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One member of an archive. Names are bytes as Linux has them, not text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as the archive has it (not cleaned, may be absolute or hostile); never empty, never with NUL.
    pub path: Vec<u8>,
    /// The target of a symbolic or hard link, else empty.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name, may be empty.
    pub uname: Vec<u8>,
    /// The group's name, may be empty.
    pub gname: Vec<u8>,
    /// The size of the file in bytes when unpacked; 0 for all kinds without data.
    pub size: u64,
    /// The last modification.
    pub mtime: Timestamp,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes (`SCHILY.xattr.*` records), in the archive's order.
    pub xattrs: Vec<Xattr>,
    /// For a sparse file where its data lie, ascending; the data of the entry are these runs without the holes.
    pub sparse: Option<Vec<Run>>,
}

impl Entry {
    /// An entry of `kind` named `path` with mode `mode`, owned by root, from 1970, without data.
    pub fn new(kind: EntryKind, path: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self {
            path: path.into(),
            link: Vec::new(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            uname: Vec::new(),
            gname: Vec::new(),
            size: 0,
            mtime: Timestamp::default(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    /// A regular file of `size` bytes.
    pub fn file(path: impl Into<Vec<u8>>, mode: u32, size: u64) -> Self {
        Self {
            size,
            ..Self::new(EntryKind::File, path, mode)
        }
    }

    /// A directory.
    pub fn directory(path: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self::new(EntryKind::Directory, path, mode)
    }

    /// The name for messages: invalid UTF-8 replaced, long names cut.
    pub fn display_path(&self) -> String {
        display(&self.path)
    }
}

/// A name for messages: control characters escaped, invalid UTF-8 replaced, long names cut.
pub(crate) fn display(name: &[u8]) -> String {
    const LONGEST: usize = 256;
    let mut text: String = String::from_utf8_lossy(&name[..name.len().min(LONGEST)])
        .chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if name.len() > LONGEST {
        text.push('…');
    }
    text
}
