//! The bounded buffer of the mode `non-blocking`: lines that wait until they are written, in batches for whoever writes.
//!
//! It does no I/O and knows no clock.

use std::collections::VecDeque;
use std::convert::Infallible;

use crate::lines::{End, LONGEST, Lines, Piece};
use crate::{Stream, Timestamp};

/// A batch takes no more lines when it is this long.
const BATCH: usize = 32 * 1024;
/// In front of every line: its stream and whether it continues one, its time, its length.
const HEAD: usize = 1 + 8 + 4;
const STDERR: u8 = 1;
const CONTINUES: u8 = 2;

/// Lines that are not in the log yet. A line counts until [`Buffer::written`] has told that its batch is in the log; one
/// that does not fit is dropped, but an empty buffer takes any.
#[derive(Debug)]
pub struct Buffer {
    limit: u64,
    held: u64,
    lines: Lines,
    batches: VecDeque<Vec<u8>>,
    /// So many of the first batches are being written.
    taken: usize,
}

impl Buffer {
    /// No batch is longer: the last line begins below the bound and is a piece of at most 16 KiB.
    pub const LONGEST_BATCH: usize = BATCH + HEAD + LONGEST + 1;

    /// Empty; `limit` is in bytes.
    pub fn new(limit: u64) -> Self {
        Buffer {
            limit,
            held: 0,
            lines: Lines::default(),
            batches: VecDeque::new(),
            taken: 0,
        }
    }

    /// Takes output in pieces of any size, and keeps every complete line that fits.
    pub fn push(&mut self, stream: Stream, at: Timestamp, bytes: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        let Ok(()) = lines.of(stream).feed(bytes, |piece| {
            self.keep(stream, at, &piece);
            Ok::<(), Infallible>(())
        });
        self.lines = lines;
    }

    /// The stream has ended: an unfinished line becomes a partial entry.
    pub fn finish(&mut self, stream: Stream, at: Timestamp) {
        let mut lines = std::mem::take(&mut self.lines);
        let Ok(()) = lines.of(stream).finish(|piece| {
            self.keep(stream, at, &piece);
            Ok::<(), Infallible>(())
        });
        self.lines = lines;
    }

    fn keep(&mut self, stream: Stream, at: Timestamp, piece: &Piece<'_>) {
        // No piece is longer than 16 KiB.
        let length = piece.bytes.len() + usize::from(piece.end == End::Line);
        let cost = (HEAD + length) as u64;
        if self.held > 0 && self.held + cost > self.limit {
            return;
        }
        self.held += cost;
        if self.batches.len() == self.taken || self.batches.back().is_some_and(|last| last.len() >= BATCH) {
            self.batches.push_back(Vec::new());
        }
        let Some(batch) = self.batches.back_mut() else {
            return;
        };
        let mut flags = 0;
        if stream == Stream::Stderr {
            flags |= STDERR;
        }
        if piece.continues {
            flags |= CONTINUES;
        }
        batch.push(flags);
        batch.extend_from_slice(&at.as_nanos().to_le_bytes());
        batch.extend_from_slice(&(length as u32).to_le_bytes());
        batch.extend_from_slice(piece.bytes);
        if piece.end == End::Line {
            batch.push(b'\n');
        }
    }

    /// The next batch that nobody writes yet, for [`crate::Writer::write_batch`].
    pub fn next_batch(&self) -> Option<&[u8]> {
        self.batches.get(self.taken).map(Vec::as_slice)
    }

    /// The next batch is being written; it stays here until it is.
    pub fn take_batch(&mut self) {
        self.taken = (self.taken + 1).min(self.batches.len());
    }

    /// The oldest batch that was taken is in the log, or lost: there is room for others.
    pub fn written(&mut self) {
        if self.taken > 0
            && let Some(batch) = self.batches.pop_front()
        {
            self.taken -= 1;
            self.held -= batch.len() as u64;
        }
    }

    /// Whether no line waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The lines that wait, oldest first, with their line feeds.
    pub fn waiting(&self) -> impl Iterator<Item = (Stream, &[u8])> {
        let frames = self.batches.iter().flat_map(|batch| frames(batch));
        frames.map(|frame| (frame.stream, frame.bytes))
    }

    /// The unfinished line of a stream.
    pub fn pending(&self, stream: Stream) -> &[u8] {
        self.lines.pending(stream)
    }

    /// Gives memory back that only bursts need.
    pub fn shrink(&mut self) {
        self.batches.shrink_to_fit();
        self.lines.shrink();
    }
}

struct Frame<'a> {
    stream: Stream,
    continues: bool,
    at: Timestamp,
    bytes: &'a [u8],
}

fn frames(mut batch: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (flags, rest) = batch.split_first()?;
        let (nanos, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        batch = rest;
        Some(Frame {
            stream: if flags & STDERR == 0 {
                Stream::Stdout
            } else {
                Stream::Stderr
            },
            continues: flags & CONTINUES != 0,
            at: Timestamp::from_nanos(i64::from_le_bytes(*nanos)),
            bytes,
        })
    })
}

/// What a batch consists of.
pub(crate) fn pieces(batch: &[u8]) -> impl Iterator<Item = (Stream, Timestamp, Piece<'_>)> {
    frames(batch).map(|frame| {
        let (bytes, end) = match frame.bytes.strip_suffix(b"\n") {
            Some(line) => (line, End::Line),
            None => (frame.bytes, End::Open),
        };
        let piece = Piece {
            bytes,
            end,
            continues: frame.continues,
        };
        (frame.stream, frame.at, piece)
    })
}

#[cfg(test)]
mod tests;
