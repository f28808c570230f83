//! Files that are there already: they are linked instead of being written again.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::work::Unpacker;
use crate::{Entry, UnpackError, tree};

impl Unpacker<'_, '_> {
    /// The file that has all that an entry says, if one is known.
    pub(super) fn linked(&mut self, entry: &Entry) -> Option<OwnedFd> {
        // Attributes would have to be compared; few files have any.
        if entry.sparse.is_some() || !entry.xattrs.is_empty() {
            return None;
        }
        let file = self.options.links.as_mut()?(entry)?;
        let stat = rustix::fs::fstat(&file).ok()?;
        self.is_same(entry, &stat).then_some(file)
    }

    fn is_same(&self, entry: &Entry, stat: &Stat) -> bool {
        let owner = match self.owner(entry) {
            Ok(Some((uid, gid))) => (uid.as_raw(), gid.as_raw()) == (stat.st_uid, stat.st_gid),
            _ => false,
        };
        let time = (entry.mtime.seconds, u64::from(entry.mtime.nanos));
        owner
            && tree::kind(stat) == FileType::RegularFile
            && stat.st_mode & 0o7777 == entry.mode & 0o7777
            && u64::try_from(stat.st_size) == Ok(entry.size)
            && (stat.st_mtime, stat.st_mtime_nsec) == time
    }

    /// Links a file to the place of an entry; false where the file system has no such links.
    pub(super) fn link(&mut self, entry: &Entry, path: &[u8], file: &OwnedFd) -> Result<bool, UnpackError> {
        let linked = self.replace(entry, path, "link", |directory, name| {
            rustix::fs::linkat(file, "", directory, name, AtFlags::EMPTY_PATH)
        });
        match linked {
            Ok(()) => Ok(true),
            // Another file system; too many links; or nobody may make any.
            Err(UnpackError::File {
                source: Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::NOENT,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
