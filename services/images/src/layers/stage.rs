//! From an archive to a directory that may become a layer, and back to the very same archive.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};

use archive::{Recorder, UnpackOptions};
use oci::digest::Digest;
use storage_drivers::Key;

use super::{LayerRow, Layers};
use crate::ImageError;
use crate::build::FindFile;
use crate::chunks::Chunks;
use crate::error::{file, stream};

/// A directory with the content of an archive, not a layer yet; removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    layers: Arc<Layers>,
    pub(crate) key: Key,
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
    pub(crate) archive_size: u64,
    kept: bool,
}

impl Staged {
    pub(super) fn into_row(mut self, parent: Option<Digest>, boot_id: String) -> LayerRow {
        self.kept = true;
        LayerRow {
            diff_id: self.diff_id.clone(),
            parent,
            cache_id: self.key.as_str().to_owned(),
            size: self.size,
            archive_size: self.archive_size,
            boot_id,
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.layers.discard(&self.key)
        {
            tracing::warn!(%error, key = %self.key, "directory is not removed; the next start will try again");
        }
        let mut staging = self.layers.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.remove(&self.key);
    }
}

/// zstd's fastest level: the record is mostly tar headers, and packs to a tenth.
const RECORD_LEVEL: i32 = 1;

impl Layers {
    /// Unpacks a plain archive into a new directory, hashing it on the way. `below` matters only to drivers that copy
    /// the chain.
    pub(crate) fn stage(
        self: &Arc<Self>,
        below: Option<&Digest>,
        source: impl Read + Send,
    ) -> Result<Staged, ImageError> {
        self.stage_with(below, source, None)
    }

    /// The same; what `find` finds is linked.
    pub(crate) fn stage_with(
        self: &Arc<Self>,
        below: Option<&Digest>,
        source: impl Read + Send,
        mut find: Option<FindFile>,
    ) -> Result<Staged, ImageError> {
        let chain = if self.driver.needs_parent() {
            self.keys(below)?
        } else {
            Vec::new()
        };
        let random: [u8; 32] = rand::random();
        let key = Key::new(Digest::from_sha256(random).hex())?;
        (self.staging.lock().unwrap_or_else(PoisonError::into_inner)).insert(key.clone());
        let mut staged = Staged {
            layers: Arc::clone(self),
            key,
            diff_id: Digest::sha256(""),
            size: 0,
            archive_size: 0,
            kept: false,
        };
        self.driver.prepare(&staged.key, &chain)?;
        durable::crash_point("images.layer.prepared");
        let target = self.driver.target(&staged.key)?;
        let root = File::open(&target.directory).map_err(file("open", &target.directory))?;
        let path = self.record(staged.key.as_str());
        let record = File::create_new(&path).map_err(file("create", &path))?;
        let mut record =
            zstd::Encoder::new(BufWriter::new(record), RECORD_LEVEL).map_err(file("write", &path))?;

        let find = find.as_mut();
        let hashed = blobs::hash_while(source, |plain| {
            let mut by_path = find.map(|find| move |entry: &archive::Entry| find(&entry.path));
            let mut buffered = BufWriter::with_capacity(64 << 10, &mut record);
            let recorder = Recorder::new(&mut buffered);
            let options = UnpackOptions {
                whiteouts: target.whiteouts,
                record: Some(recorder),
                attic: Some(&target.attic),
                links: by_path.as_mut().map(|find| find as &mut archive::FindLink<'_>),
                ..UnpackOptions::default()
            };
            archive::unpack(plain, root.as_fd(), options)
        })
        .map_err(stream("read layer"))?;
        let stats = hashed.value?;
        let written = record.finish().and_then(|mut buffered| buffered.flush());
        written.map_err(file("write", &path))?;
        durable::crash_point("images.layer.unpacked");
        (staged.diff_id, staged.size, staged.archive_size) = (hashed.digest, stats.size, hashed.size);
        Ok(staged)
    }

    /// Writes the archive that a layer was made from, byte for byte.
    pub(crate) fn rebuild(&self, chain: &Digest, out: impl Write) -> Result<u64, ImageError> {
        let Some(row) = self.row(chain) else {
            return Err(ImageError::NoLayer { chain: chain.clone() });
        };
        self.rebuild_row(chain, &row, out)
    }

    pub(super) fn rebuild_row(
        &self,
        chain: &Digest,
        row: &LayerRow,
        out: impl Write,
    ) -> Result<u64, ImageError> {
        let target = self.driver.target(&Key::new(row.cache_id.clone())?)?;
        let root = File::open(&target.directory).map_err(file("open", &target.directory))?;
        let path = self.record(&row.cache_id);
        let record = File::open(&path).map_err(file("open", &path))?;
        let record = zstd::Decoder::new(record).map_err(file("read", &path))?;
        let record = BufReader::with_capacity(64 << 10, record);
        archive::rebuild(record, root.as_fd(), Some(&target.attic), out).map_err(|source| {
            ImageError::Rebuild {
                chain: chain.clone(),
                source,
            }
        })
    }
}

/// Runs `write` on a thread of its own, and `read` here on what it writes. When `read` returns early, `write` is
/// told by a broken pipe.
pub(crate) fn piped<W: Send, R>(
    write: impl FnOnce(&mut dyn Write) -> Result<W, ImageError> + Send,
    read: impl FnOnce(&mut (dyn Read + Send)) -> Result<R, ImageError>,
) -> Result<(W, R), ImageError> {
    let (sender, receiver) = sync_channel(8);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut out = PipeWriter {
                sender,
                chunk: Vec::new(),
            };
            let written = write(&mut out)?;
            out.flush().map_err(stream("write layer"))?;
            // Without this mark the reader takes the end for a failure.
            let _ = out.sender.send(None);
            Ok(written)
        });
        let mut reader = Chunks::new(receiver, "the writing side failed");
        let value = read(&mut reader);
        drop(reader);
        let written = match writer.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match (written, value) {
            // The writer's failure is the cause of the reader's.
            (Err(error @ ImageError::Stream { .. }), Err(cause)) => {
                tracing::debug!(%error, "the reader of a pipe failed first");
                Err(cause)
            }
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(error),
            (Ok(written), Ok(value)) => Ok((written, value)),
        }
    })
}

const CHUNK: usize = 256 << 10;

struct PipeWriter {
    sender: SyncSender<Option<Vec<u8>>>,
    chunk: Vec<u8>,
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK);
        }
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        (self.sender.send(Some(chunk))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
