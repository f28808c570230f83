//! Writing the tar format: ustar, with PAX records where ustar has no room.

use std::io::{self, Read, Write};

use crate::header::BLOCK;
use crate::{Entry, EntryKind};

/// Writes an archive to a stream. Headers are ustar; names, numbers, times and attributes that do not fit go into
/// PAX records. The same entries always give the same bytes.
///
/// ```
/// use archive::{Entry, Writer};
/// # fn main() -> std::io::Result<()> {
/// let mut writer = Writer::new(Vec::new());
/// writer.append_bytes(&Entry::file("hello.txt", 0o644, 0), b"hello\n")?;
/// let bytes = writer.finish()?;
/// # assert_eq!(bytes.len(), 2048);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// Data of the last entry that are still to come.
    owed: u64,
    /// Zeroes that they are followed by.
    padding: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// A writer that puts many small writes into `out`: give it something buffered.
    pub fn new(out: W) -> Self {
        Self {
            out,
            owed: 0,
            padding: 0,
            buffer: Vec::new(),
        }
    }

    /// Writes an entry whose data (`entry.size` bytes) come from `data`.
    ///
    /// # Errors
    /// The failures of both streams; `UnexpectedEof` when `data` is shorter than `entry.size`.
    pub fn append(&mut self, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        self.start(entry, entry.size)?;
        if self.owed > 0 {
            self.buffer.resize(256 << 10, 0);
        }
        while self.owed > 0 {
            let most =
                usize::try_from(self.owed).map_or(self.buffer.len(), |owed| owed.min(self.buffer.len()));
            match data.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(short(&entry.display_path(), self.owed)),
                Ok(read) => {
                    self.out.write_all(&self.buffer[..read])?;
                    self.owed -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pad()
    }

    /// Begins an entry whose data (`entry.size` bytes) are then written, and ended with [`EntryData::end`].
    ///
    /// # Errors
    /// The failures of the stream.
    pub fn begin(&mut self, entry: &Entry) -> io::Result<EntryData<'_, W>> {
        self.start(entry, entry.size)?;
        Ok(EntryData {
            writer: self,
            name: entry.display_path(),
        })
    }

    /// Writes an entry with the data at hand; its size is that of `data`.
    ///
    /// # Errors
    /// The failures of the stream.
    pub fn append_bytes(&mut self, entry: &Entry, data: &[u8]) -> io::Result<()> {
        self.start(entry, data.len() as u64)?;
        self.out.write_all(data)?;
        self.owed = 0;
        self.pad()
    }

    /// Writes the end-of-archive mark, flushes and gives the stream back.
    ///
    /// # Errors
    /// The failures of the stream.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// The headers of an entry with `size` bytes of data to follow (kinds without data have none).
    fn start(&mut self, entry: &Entry, size: u64) -> io::Result<()> {
        if self.owed > 0 {
            return Err(io::Error::other("the entry before was cut short"));
        }
        let size = if entry.kind == EntryKind::File { size } else { 0 };
        let mut path = entry.path.clone();
        if entry.kind == EntryKind::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let mut header = Block::new(type_flag(entry.kind));
        let mut pax = Vec::new();
        if !header.path(&path) {
            record(&mut pax, b"path", &path);
        }
        if entry.link.len() > 100 {
            record(&mut pax, b"linkpath", &entry.link);
        }
        header.text(157, 100, &entry.link);
        let mut number = |header: &mut Block, key: &[u8], at, width, value: u64| {
            if !header.number(at, width, value) {
                record(&mut pax, key, value.to_string().as_bytes());
            }
        };
        number(&mut header, b"uid", 108, 8, entry.uid.into());
        number(&mut header, b"gid", 116, 8, entry.gid.into());
        number(&mut header, b"size", 124, 12, size);
        header.number(100, 8, (entry.mode & 0o7777).into());
        let fits = u64::try_from(entry.mtime.seconds).is_ok_and(|seconds| header.number(136, 12, seconds));
        if !fits || entry.mtime.nanos != 0 {
            record(&mut pax, b"mtime", time(entry.mtime).as_bytes());
        }
        for (key, at, name) in [(&b"uname"[..], 265, &entry.uname), (b"gname", 297, &entry.gname)] {
            // Full fields without a NUL are allowed, but not all readers know.
            if name.len() > 31 {
                record(&mut pax, key, name);
            }
            header.text(at, 31, name);
        }
        if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            let (major, minor) = entry.device;
            if !header.number(329, 8, major.into()) || !header.number(337, 8, minor.into()) {
                let message = format!(
                    "{}: device number {major}:{minor} has no room in tar",
                    entry.display_path()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        for (key, value) in &entry.xattrs {
            record(&mut pax, &[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        if !pax.is_empty() {
            self.extension(&path, &pax)?;
        }
        self.out.write_all(&header.finish())?;
        self.owed = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn extension(&mut self, path: &[u8], pax: &[u8]) -> io::Result<()> {
        let mut header = Block::new(b'x');
        let trimmed = path.strip_suffix(b"/").unwrap_or(path);
        let base = trimmed.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let name = [b"PaxHeaders.0/", &base[..base.len().min(86)]].concat();
        header.text(0, 100, &name);
        header.number(100, 8, 0o644);
        header.number(108, 8, 0);
        header.number(116, 8, 0);
        header.number(124, 12, pax.len() as u64);
        header.number(136, 12, 0);
        self.out.write_all(&header.finish())?;
        self.out.write_all(pax)?;
        let padding = pax.len().wrapping_neg() % BLOCK;
        self.out.write_all(&[0; BLOCK][..padding])
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&[0; BLOCK][..padding as usize])
    }
}

/// The place where the data of an entry are written.
#[derive(Debug)]
pub struct EntryData<'w, W> {
    writer: &'w mut Writer<W>,
    name: String,
}

impl<W: Write> EntryData<'_, W> {
    /// Ends the entry. Without it nothing more can be written to the archive.
    ///
    /// # Errors
    /// `UnexpectedEof` when not all data were written; the failures of the stream.
    pub fn end(self) -> io::Result<()> {
        match self.writer.owed {
            0 => self.writer.pad(),
            owed => Err(short(&self.name, owed)),
        }
    }
}

impl<W: Write> Write for EntryData<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.writer.owed {
            let long = format!("{} is longer than its header says", self.name);
            return Err(io::Error::new(io::ErrorKind::InvalidData, long));
        }
        let written = self.writer.out.write(bytes)?;
        self.writer.owed -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.out.flush()
    }
}

fn short(name: &str, owed: u64) -> io::Error {
    let short = format!("{name} is {owed} bytes shorter than its header says");
    io::Error::new(io::ErrorKind::UnexpectedEof, short)
}

fn type_flag(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
        EntryKind::Other(flag) => flag,
    }
}

/// One record; its length counts its own digits.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    pax.extend_from_slice(length.to_string().as_bytes());
    pax.push(b' ');
    pax.extend_from_slice(key);
    pax.push(b'=');
    pax.extend_from_slice(value);
    pax.push(b'\n');
}

/// Seconds with a fraction as short as possible; before 1970 the sign is that of the whole.
fn time(time: crate::Timestamp) -> String {
    let total = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, nanos) = (
        total.unsigned_abs() / 1_000_000_000,
        total.unsigned_abs() % 1_000_000_000,
    );
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    let fraction = format!("{nanos:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

/// A header block being filled.
struct Block([u8; BLOCK]);

impl Block {
    fn new(type_flag: u8) -> Self {
        let mut block = [0; BLOCK];
        block[156] = type_flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let mut block = Self(block);
        block.number(329, 8, 0);
        block.number(337, 8, 0);
        block
    }

    /// As much of `text` as there is room for.
    fn text(&mut self, at: usize, width: usize, text: &[u8]) {
        let length = text.len().min(width);
        self.0[at..at + length].copy_from_slice(&text[..length]);
    }

    /// Octal with a NUL behind; when `value` needs more digits the field is zero and the answer false.
    fn number(&mut self, at: usize, width: usize, value: u64) -> bool {
        let fits = value < 1 << (3 * (width - 1));
        let digits = format!("{:0width$o}\0", if fits { value } else { 0 }, width = width - 1);
        self.0[at..at + width].copy_from_slice(digits.as_bytes());
        fits
    }

    /// The name, split at a slash into prefix and name where it is long; false (and cut) when it does not fit.
    fn path(&mut self, path: &[u8]) -> bool {
        if path.len() <= 100 {
            self.text(0, 100, path);
            return true;
        }
        let slash = (path.len().saturating_sub(101)..path.len().saturating_sub(1).min(156))
            .find(|&place| path[place] == b'/' && place > 0);
        match slash {
            Some(slash) => {
                self.text(0, 100, &path[slash + 1..]);
                self.text(345, 155, &path[..slash]);
                true
            }
            None => {
                self.text(0, 100, path);
                false
            }
        }
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|&byte| u32::from(byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_come_in_pieces_and_must_be_as_long_as_said() {
        let entry = Entry::file("a", 0o644, 6);
        let mut whole = Writer::new(Vec::new());
        whole.append_bytes(&entry, b"hello\n").unwrap();
        let mut pieces = Writer::new(Vec::new());
        let mut data = pieces.begin(&entry).unwrap();
        data.write_all(b"hel").unwrap();
        assert_eq!(
            data.write_all(b"lo\n!").unwrap_err().to_string(),
            "a is longer than its header says"
        );
        data.write_all(b"lo\n").unwrap();
        data.end().unwrap();
        assert_eq!(pieces.finish().unwrap(), whole.finish().unwrap());

        let mut cut = Writer::new(Vec::new());
        let mut data = cut.begin(&entry).unwrap();
        data.write_all(b"hell").unwrap();
        assert_eq!(
            data.end().unwrap_err().to_string(),
            "a is 2 bytes shorter than its header says"
        );
        assert!(cut.append_bytes(&entry, b"").is_err());
    }
}
