//! From an archive to a directory, safely.

use std::fmt;
use std::io::BufRead;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::{Entry, IdMap, Limits, Recorder, UnpackError};

mod attributes;
mod links;
mod place;
mod whiteouts;
mod work;

/// What `.wh.` entries of the layer format become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// What overlayfs understands: character devices 0:0 and the `trusted.overlay.opaque` attribute.
    Overlay,
    /// They delete what the root held before this archive.
    Apply,
    /// They are files like all others.
    Literal,
}

/// What becomes of device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    Create,
    /// They are left out and counted in [`UnpackStats::skipped`].
    Skip,
    /// They are an error.
    Refuse,
}

/// Whom unpacked files belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The ids of the archive, through these maps.
    Archive {
        /// For users.
        uids: IdMap,
        /// For groups.
        gids: IdMap,
    },
    /// All to one user and group.
    Fixed {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Whoever runs this process: no chown at all.
    Process,
}

/// The answer of [`UnpackOptions::on_entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Unpack the entry, with the changes made to it.
    Unpack,
    /// Leave it out.
    Skip,
}

/// Sees, changes or leaves out an entry.
pub type OnEntry<'a> = dyn FnMut(&mut Entry) -> Verdict + 'a;

/// Finds the file that an entry was made of.
pub type FindLink<'a> = dyn FnMut(&Entry) -> Option<OwnedFd> + 'a;

/// How to unpack.
pub struct UnpackOptions<'a> {
    /// Default: [`Whiteouts::Literal`].
    pub whiteouts: Whiteouts,
    /// Default: the archive's ids as they are.
    pub owner: Owner,
    /// Default: [`Devices::Create`].
    pub devices: Devices,
    /// Whether a directory may be replaced by something else and the reverse (default: true; `docker cp` refuses
    /// by default).
    pub replace_directories: bool,
    /// Bounds.
    pub limits: Limits,
    /// Called for every entry before anything is done with it; may rename it, change its owner or leave it out.
    pub on_entry: Option<&'a mut OnEntry<'a>>,
    /// Finds files that need not be written again: one that has what the entry says (size, permissions, owner, time) is
    /// linked, where the file system can do that. It must have the data of the entry and must never be changed.
    pub links: Option<&'a mut FindLink<'a>>,
    /// Receives the tar-split record.
    pub record: Option<Recorder<'a>>,
    /// With `record`: a directory (made when needed; same file system, outside the root) that keeps the files that
    /// later entries of the same archive replaced, so that the archive can still be rebuilt.
    pub attic: Option<&'a Path>,
}

impl Default for UnpackOptions<'_> {
    fn default() -> Self {
        Self {
            whiteouts: Whiteouts::Literal,
            owner: Owner::Archive {
                uids: IdMap::default(),
                gids: IdMap::default(),
            },
            devices: Devices::Create,
            replace_directories: true,
            limits: Limits::default(),
            on_entry: None,
            links: None,
            record: None,
            attic: None,
        }
    }
}

impl fmt::Debug for UnpackOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnpackOptions")
            .field("whiteouts", &self.whiteouts)
            .field("owner", &self.owner)
            .field("devices", &self.devices)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnpackStats {
    /// Entries read.
    pub entries: u64,
    /// Sum of the sizes of the regular files in bytes: Docker's size of a layer.
    pub size: u64,
    /// Entries and attributes left out (devices not wanted, attributes that the file system does not have).
    pub skipped: u64,
}

/// Unpacks the archive `source` below the directory `root`, to its last byte (so that a hashing source has seen
/// everything). Nothing outside of `root` is touched, whatever the archive says and whatever symbolic links stand
/// in `root`; `root` itself gets the attributes of an entry `./` if there is one.
///
/// Names are cleaned: a leading `/` is dropped, `.` and inner `..` are folded. Symbolic links in the way are followed
/// inside the root. An entry replaces what stands at its place (the last duplicate wins), but a directory stays when a
/// directory comes. Missing parents are made with mode 0755. overlayfs' own attributes (`trusted.overlay.*`) are left
/// out: an archive must not steer the mount. Nothing is synced.
///
/// # Errors
/// [`UnpackError`] names the entry; what was unpacked before stays.
pub fn unpack(
    source: impl BufRead,
    root: BorrowedFd<'_>,
    options: UnpackOptions<'_>,
) -> Result<UnpackStats, UnpackError> {
    work::Unpacker::new(root, options).run(source)
}

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "says which tests are skipped")]
mod tests;
