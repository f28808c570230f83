//! One file of a log, read record by record.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::format::{Found, LONGEST_RECORD, decode};
use crate::reader::Entry;
use crate::rotation::{count_records, line_start_before, record_start_before, rotated_name};
use crate::{Driver, Timestamp};

const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
enum Bytes {
    /// Read at an offset; may grow.
    Plain { file: File, offset: u64 },
    /// Rotated and complete.
    Compressed(Box<MultiGzDecoder<File>>),
}

/// An open file with what was read of it and not yet used.
#[derive(Debug)]
pub(crate) struct Source {
    bytes: Bytes,
    inode: u64,
    modified: Timestamp,
    buffer: Vec<u8>,
    /// Up to here the buffer is used.
    used: usize,
    /// The file's offset of `buffer[used]`.
    consumed: u64,
    /// Records still to be skipped (compressed files only).
    skip: u64,
    damaged: bool,
}

impl Source {
    /// Opens the `number`th file of a log, 0 being the current one; `None` if there is none.
    pub(crate) fn open(path: &Path, number: u32) -> io::Result<Option<Source>> {
        let candidates = if number == 0 {
            vec![(path.to_owned(), false)]
        } else {
            vec![
                (rotated_name(path, number, false), false),
                (rotated_name(path, number, true), true),
            ]
        };
        for (name, compressed) in candidates {
            let file = match File::open(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let meta = file.metadata()?;
            return Ok(Some(Source {
                inode: meta.ino(),
                modified: meta.modified()?.into(),
                bytes: if compressed {
                    Bytes::Compressed(Box::new(MultiGzDecoder::new(file)))
                } else {
                    Bytes::Plain { file, offset: 0 }
                },
                buffer: Vec::new(),
                used: 0,
                consumed: 0,
                skip: 0,
                damaged: false,
            }));
        }
        Ok(None)
    }

    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    pub(crate) fn modified(&self) -> Timestamp {
        self.modified
    }

    /// Leaves only the last `count` records; says how many there are of them.
    pub(crate) fn skip_to_tail(&mut self, driver: Driver, count: u64) -> io::Result<u64> {
        let Bytes::Plain { file, offset } = &mut self.bytes else {
            return self.skip_compressed(driver, count);
        };
        let length = file.metadata()?.len();
        let (start, found) = match driver {
            Driver::Local => record_start_before(file, length, count)?,
            _ => {
                let start = line_start_before(file, length, count)?;
                // Only a file that has fewer lines is worth counting.
                let found = if start > 0 {
                    count
                } else {
                    count_records(driver, At { file, offset: 0 })?.min(count)
                };
                (start, found)
            }
        };
        *offset = start;
        self.consumed = start;
        Ok(found)
    }

    fn skip_compressed(&mut self, driver: Driver, count: u64) -> io::Result<u64> {
        let Bytes::Compressed(decoder) = &mut self.bytes else {
            return Ok(0);
        };
        let file = decoder.get_ref().try_clone()?;
        let records = count_records(
            driver,
            MultiGzDecoder::new(At {
                file: &file,
                offset: 0,
            }),
        )?;
        self.skip = records.saturating_sub(count);
        Ok(records.min(count))
    }

    /// The next record that ends before `limit`; `None` at the end of what is there now.
    pub(crate) fn next(&mut self, driver: Driver, limit: Option<u64>) -> io::Result<Option<Entry>> {
        while !self.damaged {
            match decode(driver, &self.buffer[self.used..]) {
                Found::Record(length, entry) => {
                    if limit.is_some_and(|limit| self.consumed + length as u64 > limit) {
                        return Ok(None);
                    }
                    self.used += length;
                    self.consumed += length as u64;
                    if self.skip > 0 {
                        self.skip -= 1;
                    } else if entry.is_some() {
                        return Ok(entry);
                    }
                }
                Found::Incomplete => {
                    if self.buffer.len() - self.used > LONGEST_RECORD + 8 {
                        self.damaged = true;
                    } else if !self.read_more()? {
                        return Ok(None);
                    }
                }
                Found::Damaged => self.damaged = true,
            }
        }
        self.buffer = Vec::new();
        Ok(None)
    }

    fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let got = match &mut self.bytes {
            Bytes::Plain { file, offset } => {
                let got = file.read_at(&mut self.buffer[before..], *offset);
                *offset += *got.as_ref().unwrap_or(&0) as u64;
                got
            }
            Bytes::Compressed(decoder) => match decoder.read(&mut self.buffer[before..]) {
                // A compressor that was killed leaves no file under this name; a torn one is damage.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        };
        self.buffer.truncate(before + *got.as_ref().unwrap_or(&0));
        Ok(got? > 0)
    }
}

/// Reads from an offset without moving the file's own position.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.offset)?;
        self.offset += got as u64;
        Ok(got)
    }
}
