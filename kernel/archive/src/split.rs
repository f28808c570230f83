//! The tar-split record: all of an archive but the data of its files, so that its very bytes can be given back.
//!
//! The format is that of github.com/vbatts/tar-split (Docker's `tar-split.json.gz`, gzip left to the caller): lines of
//! JSON, `{"type":2,"payload":BASE64,"position":N}` for raw bytes and
//! `{"type":1,"name":NAME,"size":SIZE,"payload":BASE64 CRC64-ISO,"position":N}` for the data of a file. Data that no
//! file of the tree holds (those of whiteouts, of sparse and of omitted entries) are raw bytes in the record.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use crate::SplitError;
use crate::base64;
use crate::crc64::Crc64;
use crate::entry::display;
use crate::tree;

const FILE: u8 = 1;
const SEGMENT: u8 = 2;
/// Raw bytes per line at most, so that whoever reads it needs little memory.
const LONGEST_SEGMENT: usize = 48 << 10;
/// The longest line taken; Docker's own writer has lines of some megabytes for archives with long paddings.
const LONGEST_LINE: u64 = 32 << 20;

/// Writes a record while an archive is unpacked.
pub struct Recorder<'a> {
    out: &'a mut dyn Write,
    position: u64,
    line: Vec<u8>,
}

impl<'a> Recorder<'a> {
    /// A recorder that writes many small lines to `out`: give it something buffered or compressed.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            position: 0,
            line: Vec::new(),
        }
    }

    /// Raw bytes of the archive.
    pub(crate) fn segment(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(LONGEST_SEGMENT) {
            self.line.clear();
            self.line.extend_from_slice(b"{\"type\":2,\"payload\":\"");
            base64::encode(piece, &mut self.line);
            self.line.push(b'"');
            self.end_line()?;
        }
        Ok(())
    }

    /// The data of a file stood here; returns the position of this line.
    pub(crate) fn file(&mut self, name: &[u8], size: u64, sum: Crc64) -> io::Result<u64> {
        self.line.clear();
        match str::from_utf8(name) {
            Ok(name) => {
                self.line.extend_from_slice(b"{\"type\":1,\"name\":");
                serde_json::to_writer(&mut self.line, name)?;
            }
            Err(_) => {
                self.line.extend_from_slice(b"{\"type\":1,\"name_raw\":\"");
                base64::encode(name, &mut self.line);
                self.line.push(b'"');
            }
        }
        if size > 0 {
            write!(self.line, ",\"size\":{size},\"payload\":\"")?;
            base64::encode(&sum.finish(), &mut self.line);
            self.line.push(b'"');
        } else {
            self.line.extend_from_slice(b",\"payload\":null");
        }
        self.end_line()?;
        Ok(self.position - 1)
    }

    fn end_line(&mut self) -> io::Result<()> {
        writeln!(self.line, ",\"position\":{}}}", self.position)?;
        self.position += 1;
        self.out.write_all(&self.line)
    }
}

impl fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    name_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    size: u64,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
    #[serde(default)]
    position: u64,
}

/// Writes the archive that was unpacked into `root` while `record` was taken, byte for byte; `attic` is the one that
/// unpacking used. Returns its length in bytes.
///
/// # Errors
/// [`SplitError::Changed`] when a file is not what it was; bytes of the archive have then been written already.
pub fn rebuild(
    mut record: impl BufRead,
    root: BorrowedFd<'_>,
    attic: Option<&Path>,
    mut out: impl Write,
) -> Result<u64, SplitError> {
    let attic = Attic::open(attic)?;
    let mut text = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = Vec::new();
    let (mut number, mut written) = (0, 0);
    loop {
        number += 1;
        text.clear();
        let length = (&mut record)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut text)
            .map_err(SplitError::Record)?;
        if length == 0 {
            break;
        }
        let refuse = |problem: String| SplitError::Line {
            line: number,
            problem,
        };
        if length as u64 == LONGEST_LINE {
            return Err(refuse("it is too long".to_owned()));
        }
        let line: Line<'_> = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        bytes.clear();
        let payload = line.payload.as_deref().unwrap_or_default();
        base64::decode(payload.as_bytes(), &mut bytes)
            .ok_or_else(|| refuse("its payload is not base64".to_owned()))?;
        match line.kind {
            SEGMENT => {
                out.write_all(&bytes).map_err(SplitError::Write)?;
                written += bytes.len() as u64;
            }
            FILE if line.size == 0 => {}
            FILE => {
                let mut raw = Vec::new();
                let name = match &line.name_raw {
                    Some(encoded) => {
                        base64::decode(encoded.as_bytes(), &mut raw)
                            .ok_or_else(|| refuse("its name is not base64".to_owned()))?;
                        &raw[..]
                    }
                    None => line.name.as_bytes(),
                };
                let file = attic.file(root, name, line.position)?;
                copy(file, name, line.size, &bytes, &mut buffer, &mut out)?;
                written += line.size;
            }
            other => return Err(refuse(format!("type {other} is unknown"))),
        }
    }
    out.flush().map_err(SplitError::Write)?;
    Ok(written)
}

/// The files that later entries replaced, by the position of their line.
struct Attic {
    directory: Option<std::os::fd::OwnedFd>,
    positions: HashSet<Vec<u8>>,
}

impl Attic {
    fn open(path: Option<&Path>) -> Result<Self, SplitError> {
        let none = Self {
            directory: None,
            positions: HashSet::new(),
        };
        let Some(path) = path else { return Ok(none) };
        let failed = |step| {
            move |source| SplitError::File {
                path: path.display().to_string(),
                step,
                source,
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(none),
            Err(source) => return Err(failed("open")(source)),
        };
        let positions = tree::names(&directory)
            .map_err(failed("list"))?
            .into_iter()
            .collect();
        Ok(Self {
            directory: Some(directory),
            positions,
        })
    }

    fn file(&self, root: BorrowedFd<'_>, name: &[u8], position: u64) -> Result<File, SplitError> {
        let failed = |source| SplitError::File {
            path: display(name),
            step: "open",
            source,
        };
        // NONBLOCK: should the file have become a pipe, do not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let position = position.to_string();
        let file = match &self.directory {
            Some(directory) if self.positions.contains(position.as_bytes()) => {
                rustix::fs::openat(directory, position, flags, Mode::empty()).map_err(failed)?
            }
            _ => {
                let clean = tree::clean(name).ok_or(failed(Errno::XDEV))?;
                tree::open_in_root(root, &clean, flags).map_err(failed)?
            }
        };
        Ok(File::from(file))
    }
}

fn copy(
    mut file: File,
    name: &[u8],
    size: u64,
    sum: &[u8],
    buffer: &mut [u8],
    out: &mut impl Write,
) -> Result<(), SplitError> {
    let changed = |problem| SplitError::Changed {
        path: display(name),
        problem,
    };
    let mut crc = Crc64::default();
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = match file.read(&mut buffer[..most]) {
            Ok(0) => return Err(changed("it is shorter")),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(SplitError::File {
                    path: display(name),
                    step: "read",
                    source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
                });
            }
        };
        crc.update(&buffer[..read]);
        // The sum is known only at the end: hold back nothing, a wrong archive is found out by its digest anyway.
        out.write_all(&buffer[..read]).map_err(SplitError::Write)?;
        left -= read as u64;
    }
    if crc.finish() != sum {
        return Err(changed("its checksum is another"));
    }
    Ok(())
}
