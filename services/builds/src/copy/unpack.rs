//! ADD of a local archive: its members become entries of the layer.

use std::fs::File;
use std::io::{BufReader, Write};

use archive::{EntryKind, Limits, Reader};
use rustix::fs::OFlags;

use super::destination::resolve;
use super::identity::Owner;
use super::tree::Root;
use super::write::{Layer, join};

/// Members of one archive, and their bytes: more is refused.
const LIMITS: Limits = Limits {
    entries: 4 << 20,
    file_size: 1 << 40,
    total_size: 4 << 40,
    path: 4096,
    extension: 1 << 20,
    sparse_runs: 1 << 16,
};

fn open(from: &Root, path: &str) -> Option<BufReader<File>> {
    let file = File::from(from.open(path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?);
    file.metadata()
        .ok()?
        .is_file()
        .then(|| BufReader::with_capacity(256 << 10, file))
}

/// Whether a file is an archive, compressed or not, by its content.
pub(super) fn is_archive(from: &Root, path: &str) -> bool {
    let Some(file) = open(from, path) else {
        return false;
    };
    let Ok((_, plain)) = blobs::decompress(file) else {
        return false;
    };
    let mut reader = Reader::with_limits(BufReader::new(plain), LIMITS);
    matches!(reader.next_entry(), Ok(Some(_)))
}

/// Writes the members below `target`.
pub(super) fn unpack(
    layer: &mut Layer<'_, &mut dyn Write>,
    into: Option<&Root>,
    from: &Root,
    path: &str,
    target: &str,
    owner: Option<Owner>,
) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{path}: {error}");
    let file = open(from, path).ok_or_else(|| wrong(&"cannot be opened"))?;
    let (_, plain) = blobs::decompress(file).map_err(|error| wrong(&error))?;
    let mut reader = Reader::with_limits(BufReader::with_capacity(256 << 10, plain), LIMITS);
    if !target.is_empty() {
        layer.directory(target)?;
    }
    while let Some(mut entry) = reader.next_entry().map_err(|error| wrong(&error))? {
        let name = member(&entry.path).map_err(|problem| wrong(&problem))?;
        if name.is_empty() {
            continue;
        }
        if entry.sparse.is_some() {
            return Err(wrong(&format!(
                "{name} is a sparse file, which ADD cannot unpack: use COPY and RUN tar"
            )));
        }
        let place = place(layer, into, target, &name)?;
        if let Some((parent, _)) = place.rsplit_once('/') {
            layer.directory(parent)?;
        }
        entry.path = place.into_bytes();
        if entry.kind == EntryKind::HardLink {
            let link = member(&entry.link).map_err(|problem| wrong(&problem))?;
            entry.link = self::place(layer, into, target, &link)?.into_bytes();
        }
        if let Some(owner) = owner {
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
        (entry.uname, entry.gname) = (Vec::new(), Vec::new());
        layer.entry(entry, &mut reader)?;
    }
    Ok(())
}

/// Where a member goes: a link of the image in its way leads it elsewhere.
fn place(
    layer: &Layer<'_, &mut dyn Write>,
    into: Option<&Root>,
    target: &str,
    name: &str,
) -> Result<String, String> {
    let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
    let parent = join(target, parent);
    if layer.has_directory(&parent) {
        return Ok(join(&parent, last));
    }
    Ok(join(&resolve(into, &format!("/{parent}"))?.path, last))
}

/// The clean name of a member, which must not lead out.
fn member(path: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(path).map_err(|_| "a member's name is not UTF-8".to_owned())?;
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                if names.pop().is_none() {
                    return Err(format!("{text:?} leads out of the archive"));
                }
            }
            name => names.push(name),
        }
    }
    Ok(names.join("/"))
}
