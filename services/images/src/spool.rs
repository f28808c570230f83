//! What has come of a layer so far, kept beside the unpacking so that a broken pull goes on where it was.
//!
//! A spool is not synced: what a power loss makes of it is found out by the digest, and then it is fetched anew. It is
//! removed when the image is whole. On a disk that is full it gives way: the layer itself is worth more.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci::digest::{Digest, Digester};

use crate::ImageError;
use crate::error::{file, is_full};
use crate::transfer::InputReader;

/// Smaller layers are fetched again as quickly as they are read.
const WORTH_IT: u64 = 256 << 10;
/// What nobody has asked for in this time is removed at the next start.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of all spools.
#[derive(Debug)]
pub(crate) struct Spools {
    folder: PathBuf,
}

/// The beginning of a layer.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Option<File>,
    /// Bytes in it.
    pub(crate) length: u64,
    /// Has seen them.
    pub(crate) digester: Digester,
}

impl Spools {
    /// Makes the folder if need be.
    pub(crate) fn open_folder(data_root: &Path) -> Result<Self, ImageError> {
        let folder = data_root.join("downloads");
        std::fs::create_dir_all(&folder).map_err(file("create", &folder))?;
        Ok(Self { folder })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder
            .join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    /// What is here of a layer; reads it.
    pub(crate) fn open(&self, digest: &Digest, size: u64) -> Result<Spool, ImageError> {
        if size < WORTH_IT {
            return Ok(Spool::not_kept(digest));
        }
        let mut digester = Digester::new(digest.algorithm());
        let path = self.path(digest);
        let mut options = File::options();
        let mut spool = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(file("open", &path))?;
        let mut length = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match spool.read(&mut buffer).map_err(file("read", &path))? {
                0 => break,
                read => {
                    digester.update(&buffer[..read]);
                    length += read as u64;
                }
            }
        }
        if length > size {
            // Never a part of this layer.
            spool.set_len(0).map_err(file("cut", &path))?;
            return self.open(digest, size);
        }
        Ok(Spool {
            file: Some(spool),
            length,
            digester,
        })
    }

    /// Removes what is here of a layer.
    pub(crate) fn remove(&self, digest: &Digest) {
        remove(&self.path(digest));
    }

    /// Removes what is old, or with `all` everything that passes `idle`; the bytes that are free now.
    pub(crate) fn sweep(&self, all: bool, idle: impl Fn(&str) -> bool) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return 0;
        };
        let mut freed = 0;
        for entry in entries.flatten() {
            let Ok(status) = entry.metadata() else { continue };
            let age = status
                .modified()
                .ok()
                .and_then(|m| SystemTime::now().duration_since(m).ok());
            let old = age.is_some_and(|age| age > LIFE);
            let name = entry.file_name().to_string_lossy().replacen('-', ":", 1);
            if (all || old) && idle(&name) {
                freed += status.len();
                remove(&entry.path());
            }
        }
        freed
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "spool is not removed; the next start will try again");
    }
}

impl Spool {
    /// Of a layer that comes without being kept.
    pub(crate) fn not_kept(digest: &Digest) -> Self {
        Self {
            file: None,
            length: 0,
            digester: Digester::new(digest.algorithm()),
        }
    }

    /// The layer: first what is here, then what comes, which is kept too.
    pub(crate) fn reader(self, rest: InputReader) -> io::Result<Box<dyn Read + Send>> {
        let Some(mut known) = self.file else {
            return Ok(Box::new(rest));
        };
        let keep = known.try_clone()?;
        io::Seek::rewind(&mut known)?;
        let kept = Keeping {
            file: Some(keep),
            offset: self.length,
            rest,
        };
        Ok(Box::new(known.take(self.length).chain(kept)))
    }
}

/// Writes down what passes.
struct Keeping {
    /// `None` when there is no room for it any more.
    file: Option<File>,
    offset: u64,
    rest: InputReader,
}

impl Read for Keeping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(buffer)?;
        if let Some(file) = self.file.take() {
            // At its own place: the other handle of the same file moves the common one.
            match std::os::unix::fs::FileExt::write_all_at(&file, &buffer[..read], self.offset) {
                Ok(()) => self.file = Some(file),
                Err(error) if is_full(&error) => file.set_len(0)?,
                Err(error) => return Err(error),
            }
        }
        self.offset += read as u64;
        Ok(read)
    }
}
