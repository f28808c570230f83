//! Owners, modes, times and extended attributes of what was unpacked.

use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::Owner;
use super::work::{Step, Unpacker, at};
use crate::{Entry, Timestamp, UnpackError};

impl Unpacker<'_, '_> {
    /// Owner, attributes and mode of an open file or directory, in the order in which none undoes another:
    /// chown clears setuid and `security.capability`.
    pub(super) fn finish(&mut self, entry: &Entry, file: &OwnedFd) -> Result<(), UnpackError> {
        let owner = self.owner(entry)?;
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        if let Some((uid, gid)) = owner {
            at("chown", rustix::fs::fchown(file, Some(uid), Some(gid))).map_err(failed)?;
        }
        let mut skipped = 0;
        for (key, value) in wanted_xattrs(entry, &mut skipped) {
            let result = rustix::fs::fsetxattr(file, key, value, XattrFlags::empty());
            skip_unsupported(result, &mut skipped).map_err(failed)?;
        }
        self.stats.skipped += skipped;
        at("chmod", rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))).map_err(failed)
    }

    pub(super) fn owner(&self, entry: &Entry) -> Result<Option<(Uid, Gid)>, UnpackError> {
        // (uid_t)-1 means «leave it» to chown and is nobody's id.
        let raw = |mapped: Option<u32>, id| {
            mapped
                .filter(|&id| id != u32::MAX)
                .ok_or_else(|| UnpackError::Unmapped {
                    entry: entry.display_path(),
                    id,
                })
        };
        let (uid, gid) = match &self.options.owner {
            Owner::Process => return Ok(None),
            Owner::Fixed { uid, gid } => (*uid, *gid),
            Owner::Archive { uids, gids } => (
                raw(uids.to_outside(entry.uid), entry.uid)?,
                raw(gids.to_outside(entry.gid), entry.gid)?,
            ),
        };
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }
}

/// The attributes of an entry that an archive may set.
pub(super) fn wanted_xattrs<'e>(entry: &'e Entry, skipped: &mut u64) -> Vec<(&'e [u8], &'e [u8])> {
    let mut wanted = Vec::new();
    for (key, value) in &entry.xattrs {
        if key.starts_with(b"trusted.overlay.") || key.contains(&0) {
            *skipped += 1;
        } else {
            wanted.push((&**key, &**value));
        }
    }
    wanted
}

pub(super) fn skip_unsupported(result: Result<(), Errno>, skipped: &mut u64) -> Step<()> {
    match result {
        Err(Errno::OPNOTSUPP) => {
            *skipped += 1;
            Ok(())
        }
        other => at("set an extended attribute", other),
    }
}

pub(super) fn timestamps(time: Timestamp) -> Timestamps {
    let spec = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanos.into(),
    };
    Timestamps {
        last_access: spec,
        last_modification: spec,
    }
}
