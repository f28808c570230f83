//! The files of one log: `x`, `x.1`, `x.2`, ... from the newest to the oldest, rotated ones perhaps as `x.1.gz`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::Driver;
use crate::format::{Found, LONGEST_RECORD, decode};

/// `x.n`, or `x.n.gz`.
pub(crate) fn rotated_name(path: &Path, number: u32, compressed: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{}", if compressed { ".gz" } else { "" }));
    name.into()
}

/// Moves every file one number up, drops the one beyond `max_file`, and opens a new empty `path`. Readers keep what
/// they have open: no file is ever truncated.
pub(crate) fn rotate(path: &Path, max_file: u32) -> Result<OwnedFd, Errno> {
    let _lock = lock(path)?;
    for number in (1..max_file).rev() {
        for compressed in [false, true] {
            let from = rotated_name(path, number, compressed);
            let result = if number + 1 >= max_file {
                rustix::fs::unlink(&from)
            } else {
                rustix::fs::rename(&from, rotated_name(path, number + 1, compressed))
            };
            ignore_absent(result)?;
        }
    }
    if max_file > 1 {
        ignore_absent(rustix::fs::rename(path, rotated_name(path, 1, false)))?;
    }
    // The new file appears by a rename, so that there is a file at `path` at (almost) any time.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(fresh.as_os_str(), flags, Mode::from_raw_mode(0o640))?;
    rustix::fs::rename(fresh.as_os_str(), path)?;
    Ok(file)
}

fn ignore_absent(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Renaming and compressing exclude each other by a lock on the directory.
fn lock(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path.parent().unwrap_or(Path::new("/")), flags, Mode::empty())?;
    rustix::fs::flock(&directory, FlockOperation::LockExclusive)?;
    Ok(directory)
}

/// Compresses what was rotated and is not compressed yet. Slow: for a process of its own, while the writer goes on.
///
/// # Errors
/// What the file system says; the uncompressed file stays then.
pub fn compress_rotated(path: &Path, max_file: u32) -> io::Result<()> {
    for number in 1..max_file {
        let name = rotated_name(path, number, false);
        let mut source = match File::open(&name) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let inode = source.metadata()?.ino();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".gz.new");
        let mut encoder = GzEncoder::new(File::create(&temporary)?, Compression::fast());
        io::copy(&mut source, &mut encoder)?;
        encoder.finish()?.flush()?;
        let _lock = lock(path)?;
        // It may have moved up, or away, meanwhile.
        let now = (number..max_file).find(|at| {
            std::fs::metadata(rotated_name(path, *at, false)).is_ok_and(|meta| meta.ino() == inode)
        });
        match now {
            Some(at) => {
                let times = std::fs::FileTimes::new().set_modified(source.metadata()?.modified()?);
                File::options().write(true).open(&temporary)?.set_times(times)?;
                std::fs::rename(&temporary, rotated_name(path, at, true))?;
                std::fs::remove_file(rotated_name(path, at, false))?;
            }
            None => std::fs::remove_file(&temporary)?,
        }
    }
    Ok(())
}

/// Cuts off a record that a killed writer left unfinished.
pub(crate) fn mend_end(driver: Driver, file: &OwnedFd) -> Result<(), Errno> {
    let file = File::from(rustix::io::fcntl_dupfd_cloexec(file, 0)?);
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let length = file.metadata().map_err(errno)?.len();
    let whole = match driver {
        Driver::JsonFile => line_start_before(&file, length, 0).map_err(errno)?,
        Driver::Local => whole_records(&file, length).map_err(errno)?,
        Driver::None => length,
    };
    if whole < length {
        rustix::fs::ftruncate(&file, whole)?;
    }
    Ok(())
}

/// The offset after the `skip + 1`th last line feed; 0 if there are not so many.
pub(crate) fn line_start_before(file: &File, length: u64, skip: u64) -> io::Result<u64> {
    let mut buffer = vec![0u8; 64 * 1024];
    let mut left = skip;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let block = &mut buffer[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if left == 0 {
                return Ok(start + at as u64 + 1);
            }
            left -= 1;
        }
        end = start;
    }
    Ok(0)
}

/// The offset of the `count`th last `local` record, and how many records were found (fewer if the file begins).
pub(crate) fn record_start_before(file: &File, length: u64, count: u64) -> io::Result<(u64, u64)> {
    let mut at = whole_records(file, length)?;
    let mut found = 0;
    while found < count && at >= 8 {
        let mut suffix = [0u8; 4];
        file.read_exact_at(&mut suffix, at - 4)?;
        let whole = u64::from(u32::from_be_bytes(suffix)) + 8;
        if whole > at {
            break;
        }
        at -= whole;
        found += 1;
    }
    Ok((at, found))
}

/// The length of the prefix that consists of whole `local` records.
fn whole_records(file: &File, length: u64) -> io::Result<u64> {
    // The usual case: the last record's two lengths agree.
    if length >= 8 {
        let mut word = [0u8; 4];
        file.read_exact_at(&mut word, length - 4)?;
        let whole = u64::from(u32::from_be_bytes(word)) + 8;
        if whole <= length {
            let suffix = word;
            file.read_exact_at(&mut word, length - whole)?;
            if word == suffix {
                return Ok(length);
            }
        }
    }
    let mut at = 0u64;
    let mut head = [0u8; 4];
    while at + 8 <= length {
        file.read_exact_at(&mut head, at)?;
        let body = u32::from_be_bytes(head) as usize;
        if body > LONGEST_RECORD || at + 8 + body as u64 > length {
            break;
        }
        let mut record = vec![0u8; body + 8];
        file.read_exact_at(&mut record, at)?;
        if !matches!(decode(Driver::Local, &record), Found::Record(..)) {
            break;
        }
        at += record.len() as u64;
    }
    Ok(at)
}

/// Counts the records of a (decompressed) file.
pub(crate) fn count_records(driver: Driver, mut source: impl Read) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let mut count = 0;
    let mut chunk = vec![0u8; 64 * 1024];
    loop {
        let got = source.read(&mut chunk)?;
        if got == 0 {
            return Ok(count);
        }
        if driver == Driver::JsonFile {
            count += chunk[..got].iter().filter(|byte| **byte == b'\n').count() as u64;
            continue;
        }
        buffer.extend_from_slice(&chunk[..got]);
        let mut used = 0;
        loop {
            match decode(driver, &buffer[used..]) {
                Found::Record(length, _) => {
                    used += length;
                    count += 1;
                }
                Found::Incomplete => break,
                Found::Damaged => return Ok(count),
            }
        }
        buffer.drain(..used);
    }
}
