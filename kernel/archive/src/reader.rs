//! Reading the tar format: ustar, old GNU, PAX, long names, base-256 numbers, sparse files.
//!
//! Where archives are ambiguous it decides as Go's archive/tar does (which Docker and registries use), so that nobody
//! sees other files than we do: links, devices and directories have no data whatever their size field says, one
//! zero block must be followed by another.

use std::io::{self, BufRead, Read};

use crate::entry::display;
use crate::header::{self, BLOCK, Header};
use crate::pax::Pax;
use crate::{Entry, EntryKind, Limits, ReadError};

mod sparse;

/// Reads an archive entry by entry from a stream. As a [`Read`] and [`BufRead`] it yields the data of the
/// present entry (for a sparse file the runs, without the holes).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = std::io::empty();
/// let mut reader = archive::Reader::new(std::io::BufReader::with_capacity(1 << 18, file));
/// while let Some(entry) = reader.next_entry()? {
///     let mut data = Vec::new();
///     std::io::Read::read_to_end(&mut reader, &mut data)?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    limits: Limits,
    /// Bytes consumed of the source.
    offset: u64,
    entries: u64,
    /// Data of the present entry that are still in the source.
    remaining: u64,
    /// Zeroes between the data and the next header.
    padding: u64,
    global: Pax,
    ended: bool,
    /// All bytes that are not data of an entry, since it was last taken; `None` when nobody wants them.
    raw: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// A reader with the default [`Limits`].
    pub fn new(source: R) -> Self {
        Self::with_limits(source, Limits::default())
    }

    /// A reader with chosen limits.
    pub fn with_limits(source: R, limits: Limits) -> Self {
        Self {
            source,
            limits,
            offset: 0,
            entries: 0,
            remaining: 0,
            padding: 0,
            global: Pax::default(),
            ended: false,
            raw: None,
        }
    }

    /// From now on keep the bytes that are not data, see [`Self::take_raw`].
    pub(crate) fn keep_raw(&mut self) {
        self.raw = Some(Vec::new());
    }

    /// The bytes of headers and padding read since the last call.
    pub(crate) fn take_raw(&mut self) -> &mut Vec<u8> {
        self.raw.get_or_insert_default()
    }

    /// Goes to the next entry, over what is unread of the present one; `None` after the end-of-archive mark.
    ///
    /// # Errors
    /// [`ReadError`]; after an error the reader is of no more use.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        while self.remaining > 0 {
            let length = self.data("the data of an entry")?.len();
            self.advance(length);
        }
        let padding = std::mem::take(&mut self.padding);
        self.read_raw(padding, "the padding of an entry", |_| {})?;
        if self.ended {
            return Ok(None);
        }
        let mut pending = Pending::default();
        loop {
            let at = self.offset;
            let Some(block) = self.block(true)? else {
                pending.refuse_at_end(at)?;
                self.ended = true;
                return Ok(None);
            };
            if block == [0; BLOCK] {
                pending.refuse_at_end(at)?;
                if self.block(true)?.is_some_and(|second| second != [0; BLOCK]) {
                    let problem = "a single block of zeroes";
                    return Err(ReadError::Header { offset: at, problem });
                }
                self.ended = true;
                return Ok(None);
            }
            let header =
                Header::parse(&block).map_err(|problem| ReadError::Header { offset: at, problem })?;
            if let Some(entry) = self.header(&header, at, &mut pending)? {
                return Ok(Some(entry));
            }
        }
    }

    /// Takes an extension header into `pending` or makes the entry.
    fn header(
        &mut self,
        header: &Header<'_>,
        at: u64,
        pending: &mut Pending,
    ) -> Result<Option<Entry>, ReadError> {
        let malformed = |problem| ReadError::Header { offset: at, problem };
        match header.type_flag() {
            flag @ (b'x' | b'g' | b'L' | b'K') => {
                let size = header.size().map_err(malformed)?;
                pending.bytes = pending.bytes.saturating_add(size);
                if pending.bytes > self.limits.extension {
                    return Err(self.limit(
                        &header.path(),
                        "the size of its extension headers",
                        self.limits.extension,
                    ));
                }
                let data = self.extension(size)?;
                let runs = self.limits.sparse_runs;
                let refuse = |problem| ReadError::Extension {
                    entry: display(&header.path()),
                    problem,
                };
                match flag {
                    b'x' => {
                        let mut pax = self.global.clone();
                        pax.add(&data, false, runs).map_err(refuse)?;
                        pending.pax = Some(pax);
                    }
                    b'g' => self.global.add(&data, true, runs).map_err(refuse)?,
                    b'L' => pending.path = Some(header::text(&data).to_vec()),
                    _ => pending.link = Some(header::text(&data).to_vec()),
                }
                // Counted too, so that empty extensions without end stop somewhere.
                self.count(&header.path())?;
                Ok(None)
            }
            _ => self.entry(header, at, std::mem::take(pending)).map(Some),
        }
    }

    fn entry(&mut self, header: &Header<'_>, at: u64, pending: Pending) -> Result<Entry, ReadError> {
        let malformed = |problem| ReadError::Header { offset: at, problem };
        let flag = header.type_flag();
        let mut pax = pending.pax.unwrap_or_else(|| self.global.clone());
        let mut path = pax.path.take().or(pending.path).unwrap_or_else(|| header.path());
        if let Some(name) = pax.sparse.name.take() {
            path = name;
        }
        let link = pax.link.take().or(pending.link).unwrap_or_else(|| header.link());
        self.count(&path)?;
        for (what, name) in [("its name", &path), ("its link target", &link)] {
            if name.len() > self.limits.path {
                return Err(self.limit(&path, what, self.limits.path as u64));
            }
        }
        if path.is_empty() {
            return Err(malformed("an entry has no name"));
        }
        let kind = match flag {
            0 if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => EntryKind::Other(other),
        };
        let id = |number: i64, problem| u32::try_from(number).map_err(|_| malformed(problem));
        let mut entry = Entry {
            mode: (header.mode().map_err(malformed)? & 0o7777) as u32,
            uid: id(
                or(pax.uid, || header.uid()).map_err(malformed)?,
                "the uid is out of range",
            )?,
            gid: id(
                or(pax.gid, || header.gid()).map_err(malformed)?,
                "the gid is out of range",
            )?,
            uname: pax.uname.take().unwrap_or_else(|| header.uname()),
            gname: pax.gname.take().unwrap_or_else(|| header.gname()),
            mtime: match pax.mtime {
                Some(time) => time,
                None => crate::Timestamp {
                    seconds: header.mtime().map_err(malformed)?,
                    nanos: 0,
                },
            },
            xattrs: std::mem::take(&mut pax.xattrs),
            link: if matches!(kind, EntryKind::HardLink | EntryKind::Symlink) {
                link
            } else {
                Vec::new()
            },
            ..Entry::new(kind, path, 0)
        };
        if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            entry.device = header.device().map_err(malformed)?;
        }
        if (b'1'..=b'6').contains(&flag) {
            return Ok(entry);
        }
        let stored = or(pax.size, || header.size()).map_err(malformed)?;
        self.remaining = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
        if kind == EntryKind::Directory {
            return Ok(entry);
        }
        self.sparse(header, &mut entry, pax.sparse)?;
        if entry.sparse.is_none() {
            entry.size = stored;
        }
        if entry.size > self.limits.file_size {
            return Err(self.limit(&entry.path, "its size", self.limits.file_size));
        }
        Ok(entry)
    }

    /// Reads whatever follows the end-of-archive mark to the end of the stream (padding of tape blocks).
    ///
    /// # Errors
    /// [`ReadError::Source`].
    pub fn drain(&mut self) -> Result<(), ReadError> {
        while self.drain_some(|_| Ok::<(), ReadError>(()))? {}
        Ok(())
    }

    /// One piece of what follows the archive; false at the end.
    pub(crate) fn drain_some<E: From<ReadError>>(
        &mut self,
        mut see: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let piece = retry(&mut self.source).map_err(ReadError::Source)?;
        let length = piece.len();
        if length > 0 {
            see(piece)?;
        }
        self.source.consume(length);
        self.offset += length as u64;
        Ok(length > 0)
    }

    /// The next piece of the present entry's data; empty at its end.
    pub(crate) fn data(&mut self, what: &'static str) -> Result<&[u8], ReadError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let piece = retry(&mut self.source).map_err(ReadError::Source)?;
        if piece.is_empty() {
            let offset = self.offset;
            return Err(ReadError::Truncated { what, offset });
        }
        let length = usize::try_from(self.remaining).map_or(piece.len(), |most| piece.len().min(most));
        Ok(&piece[..length])
    }

    /// Takes `length` bytes of what [`Self::data`] returned as read.
    pub(crate) fn advance(&mut self, length: usize) {
        self.source.consume(length);
        self.remaining -= length as u64;
        self.offset += length as u64;
    }

    /// How much stored data the present entry still has.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// One block; `None` at a clean end of the stream where that `may_end`.
    fn block(&mut self, may_end: bool) -> Result<Option<[u8; BLOCK]>, ReadError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        if may_end && retry(&mut self.source).map_err(ReadError::Source)?.is_empty() {
            return Ok(None);
        }
        self.read_raw(BLOCK as u64, "a header", |piece| {
            block[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        })?;
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ReadError> {
        let mut data = Vec::new();
        self.read_raw(size, "an extension header", |piece| data.extend_from_slice(piece))?;
        let padding = size.wrapping_neg() % BLOCK as u64;
        self.read_raw(padding, "an extension header", |_| {})?;
        Ok(data)
    }

    /// Reads `size` bytes that are not data of an entry.
    fn read_raw(
        &mut self,
        mut size: u64,
        what: &'static str,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        while size > 0 {
            let piece = retry(&mut self.source).map_err(ReadError::Source)?;
            if piece.is_empty() {
                let offset = self.offset;
                return Err(ReadError::Truncated { what, offset });
            }
            let length = usize::try_from(size).map_or(piece.len(), |most| piece.len().min(most));
            see(&piece[..length]);
            if let Some(raw) = &mut self.raw {
                raw.extend_from_slice(&piece[..length]);
            }
            self.source.consume(length);
            self.offset += length as u64;
            size -= length as u64;
        }
        Ok(())
    }

    fn count(&mut self, path: &[u8]) -> Result<(), ReadError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.limit(path, "the number of entries", self.limits.entries));
        }
        Ok(())
    }

    fn limit(&self, path: &[u8], what: &'static str, limit: u64) -> ReadError {
        let entry = display(path);
        ReadError::Limit { entry, what, limit }
    }
}

/// What extension headers said about the entry to come.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// The size of all of them.
    bytes: u64,
}

impl Pending {
    fn refuse_at_end(&self, offset: u64) -> Result<(), ReadError> {
        if self.pax.is_some() || self.path.is_some() || self.link.is_some() {
            let what = "an entry announced by an extension header";
            return Err(ReadError::Truncated { what, offset });
        }
        Ok(())
    }
}

fn or<T>(first: Option<T>, second: impl FnOnce() -> Result<T, &'static str>) -> Result<T, &'static str> {
    first.map_or_else(second, Ok)
}

/// `fill_buf` that goes on after a signal.
fn retry(source: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match source.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // Asked twice because the borrow checker does not let a loop return the slice; the second is served from the buffer.
    source.fill_buf()
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.data("the data of an entry").map_err(|error| match error {
            ReadError::Source(source) => source,
            other => io::Error::new(io::ErrorKind::UnexpectedEof, other),
        })
    }

    fn consume(&mut self, amount: usize) {
        self.advance(amount);
    }
}

#[cfg(test)]
mod tests;
