//! The files of a context on their way into an archive: those that `.dockerignore` leaves in.

use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use client::Body;
use dockerfile::ignore::Ignore;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::streams;

/// A directory on its way into an archive.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) ignore: Ignore,
    /// Files by name that are not in the directory.
    pub(super) extra: Extra,
    /// The directory of the archive that it stands in, with a slash; empty for the top.
    pub(super) prefix: String,
    /// Files that the daemon reads and may take away: they are always sent.
    pub(super) read_always: Vec<String>,
}

/// Files by name that are not in the directory.
pub(super) type Extra = Vec<(String, Vec<u8>)>;

/// An archive of directories.
pub(super) fn body(trees: Vec<Tree>, compress: bool) -> Body {
    streams::written_by(move |pieces| match compress {
        false => pack(&trees, pieces),
        true => pack(&trees, GzEncoder::new(pieces, Compression::fast())).and_then(GzEncoder::finish),
    })
}

fn pack<W: Write>(trees: &[Tree], out: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    for tree in trees {
        let mut sink = Archive {
            archive: &mut archive,
            prefix: &tree.prefix,
        };
        walk(tree, &mut sink)?;
    }
    archive.into_inner()
}

/// What becomes of the files of a tree.
pub(super) trait Sink {
    /// A file, directory or symbolic link below the tree's root.
    fn file(&mut self, name: &str, path: &Path, meta: &std::fs::Metadata) -> io::Result<()>;
    /// A file that is not in the directory.
    fn extra(&mut self, name: &str, text: &[u8]) -> io::Result<()>;
}

/// Shows a sink all files of a tree that are sent, in order.
pub(super) fn walk(tree: &Tree, sink: &mut dyn Sink) -> io::Result<()> {
    let mut walk = Walk {
        sink,
        tree,
        owed: Vec::new(),
    };
    walk.directory("")?;
    tree.extra
        .iter()
        .try_for_each(|(name, bytes)| sink.extra(name, bytes))
}

struct Walk<'a> {
    sink: &'a mut dyn Sink,
    tree: &'a Tree,
    /// Ignored directories on the way that are sent only if something in them is.
    owed: Vec<String>,
}

impl Walk<'_> {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(self.tree.root.join(name))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let Some(own) = file_name.to_str() else {
                let text = format!("{}: the name is not UTF-8", entry.path().display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            let name = if name.is_empty() {
                own.to_owned()
            } else {
                format!("{name}/{own}")
            };
            self.entry(&name)?;
        }
        Ok(())
    }

    fn entry(&mut self, name: &str) -> io::Result<()> {
        if self.tree.extra.iter().any(|(extra, _)| extra == name) {
            return Ok(());
        }
        let path = self.tree.root.join(name);
        let meta = path.symlink_metadata()?;
        let ignored = self.tree.ignore.ignores(name);
        if meta.is_dir() {
            if ignored && !self.tree.ignore.has_exceptions() {
                return Ok(());
            }
            let depth = self.owed.len();
            self.owed.push(name.to_owned());
            if !ignored {
                self.pay()?;
            }
            self.directory(name)?;
            self.owed.truncate(depth);
            return Ok(());
        }
        let kind = meta.file_type();
        if ignored || kind.is_socket() {
            return Ok(());
        }
        self.pay()?;
        if !kind.is_file() && !kind.is_symlink() {
            let text = format!(
                "{}: devices and pipes cannot be part of a context",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.sink.file(name, &path, &meta)
    }

    /// Sends the directories above.
    fn pay(&mut self) -> io::Result<()> {
        for name in std::mem::take(&mut self.owed) {
            let path = self.tree.root.join(&name);
            let meta = path.symlink_metadata()?;
            self.sink.file(&name, &path, &meta)?;
        }
        Ok(())
    }
}

/// The archive of a build.
struct Archive<'a, W: Write> {
    archive: &'a mut tar::Builder<W>,
    /// The directory of the archive that the tree stands in, with a slash; empty for the top.
    prefix: &'a str,
}

impl<W: Write> Sink for Archive<'_, W> {
    fn file(&mut self, name: &str, path: &Path, meta: &std::fs::Metadata) -> io::Result<()> {
        let place = format!("{}{name}", self.prefix);
        let mut header = header(meta);
        if meta.is_dir() {
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Directory);
            return self
                .archive
                .append_data(&mut header, format!("{place}/"), io::empty());
        }
        if meta.is_symlink() {
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Symlink);
            return self
                .archive
                .append_link(&mut header, place, std::fs::read_link(path)?);
        }
        append(self.archive, header, place, path, meta)
    }

    fn extra(&mut self, name: &str, text: &[u8]) -> io::Result<()> {
        append_text(self.archive, format!("{}{name}", self.prefix), text)
    }
}

/// Adds a file as long as it was described.
pub(super) fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    mut header: tar::Header,
    place: String,
    path: &Path,
    meta: &std::fs::Metadata,
) -> io::Result<()> {
    let file = std::fs::File::open(path)?;
    header.set_size(meta.len());
    archive.append_data(&mut header, place, file.take(meta.len()))
}

/// Adds a file that is nowhere.
pub(super) fn append_text<W: Write>(
    archive: &mut tar::Builder<W>,
    place: String,
    text: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    archive.append_data(&mut header, place, text)
}

/// Permissions and time; the owner is root, as Docker has it.
pub(super) fn header(meta: &std::fs::Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(meta.mode() & 0o7777);
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[&str], rules: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let tree = Tree {
            root: folder.path().to_owned(),
            ignore: Ignore::parse(rules).unwrap(),
            extra: Extra::new(),
            prefix: String::new(),
            read_always: Vec::new(),
        };
        let bytes = pack(&[tree], Vec::new()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn what_is_ignored_is_not_sent() {
        assert_eq!(
            packed(&["a", "b/c", "b/d", "e/f"], "b/c\ne\n"),
            ["a", "b/", "b/d"]
        );
        assert_eq!(
            packed(&["a", "b/c/d", "b/x"], "*\n!b/c\n"),
            ["b/", "b/c/", "b/c/d"]
        );
        assert_eq!(packed(&["a"], "").len(), 1);
    }
}
