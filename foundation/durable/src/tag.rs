//! The mark by which a daemon knows its own objects in the kernel.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// A short hash of a data root's path: part of the name of every bridge, veth, cgroup and nft table that a
/// daemon makes, so that a sweep touches its own things only. Six lower-case letters and digits, so that it
/// fits into an interface name (15 bytes) beside a prefix and a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceTag([u8; Self::LEN]);

impl InstanceTag {
    /// How many bytes a tag has.
    pub const LEN: usize = 6;

    /// The tag of the daemon whose data root is `data_root`; symbolic links in it are followed if it exists.
    pub fn of(data_root: &Path) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let real = std::fs::canonicalize(data_root).unwrap_or_else(|_| data_root.to_path_buf());
        let hash = Sha256::digest(real.as_os_str().as_bytes());
        let mut tag = [0; Self::LEN];
        for (letter, byte) in tag.iter_mut().zip(hash.iter()) {
            *letter = ALPHABET[usize::from(byte & 31)];
        }
        Self(tag)
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for InstanceTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InstanceTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_depends_on_the_real_path_of_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::os::unix::fs::symlink("root", &link).unwrap();
        let tag = InstanceTag::of(&dir.path().join("root"));
        assert_eq!(tag, InstanceTag::of(&link));
        assert_ne!(tag, InstanceTag::of(dir.path()));
        assert_eq!(tag.as_str().len(), 6);
        assert!(tag.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
