//! A local file or tree as a tar stream.

use std::io::{self, Read as _, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use client::Body;

use crate::streams::{self, PIECE};

/// The name that a path has in its directory, also if it is written `.` or `..`.
pub(super) fn own_name(path: &Path, written: &str) -> String {
    if !matches!(written, "" | "." | "..") {
        return written.to_owned();
    }
    let whole = path.canonicalize().ok();
    let name = whole
        .as_deref()
        .and_then(Path::file_name)
        .map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| ".".to_owned())
}

/// Sends `path` under the name `top`; the bytes of its files are counted.
pub(super) fn body(path: PathBuf, top: String, follow: bool, counter: Arc<AtomicU64>) -> Body {
    streams::written_by(move |pieces| {
        let counted = Counted { pieces, counter };
        Ok(pack(&path, &top, follow, counted)?.pieces)
    })
}

/// Counts what the archive writes.
struct Counted<W> {
    pieces: W,
    counter: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.pieces.write(data)?;
        self.counter.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pieces.flush()
    }
}

fn pack<W: Write>(path: &Path, top: &str, follow: bool, out: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    let path = if follow {
        path.canonicalize()?
    } else {
        path.to_owned()
    };
    let mut links = std::collections::HashMap::new();
    add(&mut archive, &path, Path::new(top), &mut links)?;
    archive.into_inner()
}

type Links = std::collections::HashMap<(u64, u64), PathBuf>;

fn add(
    archive: &mut tar::Builder<impl Write>,
    path: &Path,
    name: &Path,
    links: &mut Links,
) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    let kind = meta.file_type();
    if kind.is_socket() {
        return Ok(());
    }
    if kind.is_dir() {
        archive.append_dir(name, path)?;
        let mut entries: Vec<_> = std::fs::read_dir(path)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            add(archive, &entry.path(), &name.join(entry.file_name()), links)?;
        }
        return Ok(());
    }
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&meta);
    if meta.nlink() > 1 && kind.is_file() {
        if let Some(first) = links.get(&(meta.dev(), meta.ino())) {
            header.set_entry_type(tar::EntryType::Link);
            header.set_size(0);
            return archive.append_link(&mut header, name, first.clone());
        }
        links.insert((meta.dev(), meta.ino()), name.to_owned());
    }
    if kind.is_symlink() {
        header.set_size(0);
        return archive.append_link(&mut header, name, std::fs::read_link(path)?);
    }
    if kind.is_file() {
        // No more than the size in the header, should the file grow meanwhile.
        let file = std::fs::File::open(path)?.take(meta.len());
        return archive.append_data(&mut header, name, io::BufReader::with_capacity(PIECE, file));
    }
    header.set_size(0);
    header.set_entry_type(if kind.is_fifo() {
        tar::EntryType::Fifo
    } else if kind.is_block_device() {
        tar::EntryType::Block
    } else {
        tar::EntryType::Char
    });
    if !kind.is_fifo() {
        header.set_device_major(rustix::fs::major(meta.rdev()))?;
        header.set_device_minor(rustix::fs::minor(meta.rdev()))?;
    }
    archive.append_data(&mut header, name, io::empty())
}
