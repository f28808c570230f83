//! The members of an archive of images: documents are kept, layers are unpacked while the archive is read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use api_types::progress::{Detail, Message};
use archive::{Entry, EntryKind, Reader};
use blobs::Compression;
use oci::digest::Digest;

use crate::ImageError;
use crate::chunks::Chunks;
use crate::error::{file, stream};
use crate::given_up::Wanted;
use crate::layers::{Layers, Pin, Staged};
use crate::load::known;

/// A longer document is none of ours (the limit is Docker's for a configuration).
const MAX_DOCUMENT: u64 = 8 << 20;
/// All documents of one archive together.
const MAX_DOCUMENTS: u64 = 64 << 20;
/// More members than this are no archive of images.
const MAX_MEMBERS: usize = 100_000;
/// How many layers are unpacked at the same time.
const WORKERS: usize = 3;
const CHUNK: usize = 256 << 10;
/// One block of a tar, by which a layer is known.
const HEAD: u64 = 512;
/// How many chunks may wait for a worker.
const DEPTH: usize = 16;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(100);

/// What became of a member that looked like a layer.
pub(super) enum Layer {
    /// Unpacked; `None` when it has been used.
    Staged(Option<Staged>),
    /// Not unpacked, because a layer with this content is here.
    Known(Pin),
    /// Put aside as it came.
    Spooled(File),
}

#[derive(Default)]
pub(super) struct Members {
    pub(super) documents: HashMap<String, Vec<u8>>,
    pub(super) layers: HashMap<String, Layer>,
    pub(super) wanted: Wanted,
    links: HashMap<String, String>,
}

impl Members {
    /// Follows links inside the archive (old archives have one member per layer only, and links to it).
    pub(super) fn resolve<'a>(&'a self, path: &'a str) -> &'a str {
        let mut path = path;
        for _ in 0..8 {
            match self.links.get(path) {
                Some(target) => path = target,
                None => break,
            }
        }
        path
    }

    pub(super) fn document(&self, path: &str) -> Option<&[u8]> {
        self.documents.get(self.resolve(path)).map(Vec::as_slice)
    }
}

type Unpacking<'scope> = (String, ScopedJoinHandle<'scope, Result<Layer, ImageError>>);

/// Reads the whole archive.
pub(super) fn read(
    layers: &Arc<Layers>,
    data_root: &Path,
    archive: impl BufRead,
    wanted: &Wanted,
    progress: &dyn Fn(Message),
) -> Result<Members, ImageError> {
    std::thread::scope(|scope| {
        let mut reading = Reading {
            layers,
            data_root,
            wanted,
            progress,
            members: Members {
                wanted: wanted.clone(),
                ..Members::default()
            },
            unpacking: Vec::new(),
            documents: 0,
        };
        let mut reader = Reader::new(archive);
        let mut count = 0;
        while let Some(entry) = reader.next_entry()? {
            count += 1;
            if count > MAX_MEMBERS {
                return Err(ImageError::Archive(format!("more than {MAX_MEMBERS} members")));
            }
            reading.member(scope, &entry, &mut reader)?;
        }
        reading.finish()
    })
}

struct Reading<'a, 'scope> {
    layers: &'a Arc<Layers>,
    data_root: &'a Path,
    wanted: &'a Wanted,
    progress: &'a dyn Fn(Message),
    members: Members,
    unpacking: Vec<Unpacking<'scope>>,
    documents: u64,
}

impl<'scope> Reading<'_, 'scope> {
    fn member<R: BufRead>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        entry: &Entry,
        data: &mut Reader<R>,
    ) -> Result<(), ImageError> {
        let Some(path) = clean(&entry.path) else {
            return Ok(());
        };
        match entry.kind {
            EntryKind::File => {}
            EntryKind::Symlink | EntryKind::HardLink => {
                let is_symlink = entry.kind == EntryKind::Symlink;
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                let base = if is_symlink { directory } else { "" };
                let target = [base.as_bytes(), &entry.link].join(&b'/');
                if let Some(target) = clean(&target) {
                    self.members.links.insert(path, target);
                }
                return Ok(());
            }
            _ => return Ok(()),
        }
        // What a duplicate replaces must not stay behind as something else.
        self.members.documents.remove(&path);
        self.members.layers.remove(&path);
        self.members.links.remove(&path);
        self.unpacking.retain(|(other, _)| *other != path);
        // What the buffer holds just now may end anywhere, also within the first block of a layer.
        let mut head = Vec::with_capacity(HEAD as usize);
        data.by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(stream("read archive"))?;
        let is_layer = looks_like_layer(&head);
        let mut data = head.as_slice().chain(data);
        if is_layer {
            return self.layer(scope, path, entry.size, &mut data);
        }
        if entry.size <= MAX_DOCUMENT {
            self.documents += entry.size;
            if self.documents > MAX_DOCUMENTS {
                return Err(ImageError::Archive("too many documents".to_owned()));
            }
            let mut document = Vec::new();
            data.by_ref()
                .take(MAX_DOCUMENT)
                .read_to_end(&mut document)
                .map_err(stream("read archive"))?;
            self.members.documents.insert(path, document);
        }
        Ok(())
    }

    fn layer(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        path: String,
        size: u64,
        data: &mut impl BufRead,
    ) -> Result<(), ImageError> {
        // In a content-addressed archive a plain layer is named by its digest: what is here need not be read.
        let known = path
            .strip_prefix("blobs/sha256/")
            .and_then(|hex| Digest::from_sha256_hex(hex).ok());
        if let Some(pin) = known.and_then(|diff_id| self.layers.pin_content(&diff_id)) {
            self.members.layers.insert(path, Layer::Known(pin));
            return Ok(());
        }
        let mut meter = Meter::new(self.progress, &path, size);
        if self.layers.driver().needs_parent() {
            let spool = spool(self.data_root, data, &mut meter)?;
            self.members.layers.insert(path, Layer::Spooled(spool));
            return Ok(());
        }
        if self.unpacking.len() >= WORKERS {
            let (path, worker) = self.unpacking.remove(0);
            let layer = join(worker)?;
            self.members.layers.insert(path, layer);
        }
        let (sender, receiver) = sync_channel(DEPTH);
        let (layers, wanted) = (Arc::clone(self.layers), self.wanted.clone());
        let worker = scope.spawn(move || {
            let source =
                BufReader::with_capacity(CHUNK, Chunks::new(receiver, "the archive ends in a layer"));
            let (packing, plain) = blobs::decompress(source).map_err(stream("read layer"))?;
            match packing {
                Compression::None => known::known_or_staged(&layers, size, wanted.reader(plain)),
                _ => Ok(Layer::Staged(Some(layers.stage(None, wanted.reader(plain))?))),
            }
        });
        let fed = feed(data, &sender, &mut meter);
        if fed.is_ok() {
            let _ = sender.send(None);
        }
        drop(sender);
        match fed {
            Ok(true) => self.unpacking.push((path, worker)),
            // The worker does not want more: it has failed and says why.
            Ok(false) => drop(join(worker)?),
            Err(error) => {
                let _ = join(worker);
                return Err(error);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Members, ImageError> {
        for (path, worker) in self.unpacking {
            self.members.layers.insert(path, join(worker)?);
        }
        Ok(self.members)
    }
}

fn join(worker: ScopedJoinHandle<'_, Result<Layer, ImageError>>) -> Result<Layer, ImageError> {
    match worker.join() {
        Ok(layer) => layer,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Hands the data to a worker; `false` when the worker is gone.
fn feed(
    data: &mut impl BufRead,
    worker: &SyncSender<Option<Vec<u8>>>,
    meter: &mut Meter<'_>,
) -> Result<bool, ImageError> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = data
            .take(CHUNK as u64)
            .read_to_end(&mut chunk)
            .map_err(stream("read archive"))?;
        if read == 0 {
            return Ok(true);
        }
        meter.add(read as u64);
        if worker.send(Some(chunk)).is_err() {
            return Ok(false);
        }
    }
}

fn spool(data_root: &Path, data: &mut impl BufRead, meter: &mut Meter<'_>) -> Result<File, ImageError> {
    let mut spool = tempfile::tempfile_in(data_root).map_err(file("make a temporary file in", data_root))?;
    loop {
        let chunk = data.fill_buf().map_err(stream("read archive"))?;
        let length = chunk.len();
        if length == 0 {
            return Ok(spool);
        }
        spool
            .write_all(chunk)
            .map_err(file("write a temporary file in", data_root))?;
        data.consume(length);
        meter.add(length as u64);
    }
}

/// Tells how far a layer is, not too often.
struct Meter<'a> {
    progress: &'a dyn Fn(Message),
    id: String,
    current: u64,
    total: u64,
    told: Option<Instant>,
}

impl<'a> Meter<'a> {
    fn new(progress: &'a dyn Fn(Message), path: &str, total: u64) -> Self {
        let id = path.strip_prefix("blobs/sha256/").unwrap_or(path);
        Self {
            progress,
            id: id.chars().take(12).collect(),
            current: 0,
            total,
            told: None,
        }
    }

    fn add(&mut self, bytes: u64) {
        self.current += bytes;
        let due = self.told.is_none_or(|told| told.elapsed() >= PROGRESS);
        if !due && self.current < self.total {
            return;
        }
        self.told = Some(Instant::now());
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        (self.progress)(Message {
            status: "Loading layer".to_owned(),
            progress_detail: Some(Detail {
                current: signed(self.current),
                total: signed(self.total),
                ..Detail::default()
            }),
            id: self.id.clone(),
            ..Message::default()
        });
    }
}

/// A member's path without `.`; nothing when it leads out of the archive or is not text.
fn clean(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// A tar, plain or compressed, by its first block; 512 zeros are a tar without entries.
fn looks_like_layer(head: &[u8]) -> bool {
    if Compression::detect(head) != Compression::None {
        return true;
    }
    let Some(block) = head.get(..512) else {
        return false;
    };
    if block.iter().all(|byte| *byte == 0) || &block[257..262] == b"ustar" {
        return true;
    }
    // Before POSIX a tar had no mark, but always the sum of its header.
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum::<u64>()
        - block[148..156].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        + 8 * u64::from(b' ');
    let text = std::str::from_utf8(&block[148..156]).unwrap_or_default();
    let text = text.trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(text, 8).is_ok_and(|written| written == sum)
}
