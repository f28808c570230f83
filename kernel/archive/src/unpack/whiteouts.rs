//! What `.wh.` entries do.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Whiteouts;
use super::work::{Step, Unpacker, at};
use crate::{Entry, UnpackError, tree};

impl Unpacker<'_, '_> {
    /// `hidden` is the name after `.wh.`, in the directory `parent`.
    pub(super) fn whiteout(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        hidden: &[u8],
    ) -> Result<(), UnpackError> {
        let failed = |(step, source)| UnpackError::File {
            entry: entry.display_path(),
            step,
            source,
        };
        let overlay = self.options.whiteouts == Whiteouts::Overlay;
        if hidden == b".wh..opq" {
            self.place.directory(parent).map_err(failed)?;
            return if overlay {
                self.mark_opaque(parent)
            } else {
                self.apply_resolved_opaque(parent)
            }
            .map_err(failed);
        }
        if hidden.starts_with(b".wh.") {
            // AUFS' own files, as old Docker versions packed them.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(UnpackError::Refused {
                entry: entry.display_path(),
                problem: "a whiteout hides nothing nameable",
            });
        }
        if !overlay {
            return self.place.apply_whiteout(parent, hidden).map_err(failed);
        }
        let directory = self.place.directory(parent).map_err(failed)?;
        match rustix::fs::mknodat(directory, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            // Made by this archive, so it is not what is hidden; a directory must not let the hidden one shine through.
            Err(Errno::EXIST) => {
                let present = at("look at its place", tree::stat(directory, hidden)).map_err(failed)?;
                if present.is_some_and(|present| tree::kind(&present) == FileType::Directory) {
                    let opened = at("open", tree::open_directory(directory, hidden)).map_err(failed)?;
                    at("set trusted.overlay.opaque", tree::set_opaque(&opened)).map_err(failed)?;
                }
                Ok(())
            }
            Err(source) => Err(failed(("make a whiteout", source))),
        }
    }

    fn mark_opaque(&mut self, path: &[u8]) -> Step<()> {
        let opened = at(
            "open",
            tree::open_in_root(self.place.root(), path, OFlags::RDONLY | OFlags::DIRECTORY),
        )?;
        at("set trusted.overlay.opaque", tree::set_opaque(&opened))
    }

    fn apply_resolved_opaque(&mut self, path: &[u8]) -> Step<()> {
        match self.place.apply_opaque(path) {
            // A link on the way: what it leads to was made by another name, which this archive knows nothing of.
            Err((_, Errno::LOOP)) => Ok(()),
            other => other,
        }
    }
}
