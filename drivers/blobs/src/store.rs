//! The store itself: `<root>/blobs/sha256/<64 digits>`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use oci::digest::{Algorithm, Digest, Digester};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::BlobError;

/// What is stored under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The name.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
}

/// A content-addressed store in one directory. All methods may be called from many threads and processes at once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// let store = blobs::Store::open(root.path())?;
/// let blob = store.put(b"hello")?;
/// assert_eq!(store.read(&blob.digest, 1 << 20)?, b"hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    directory: File,
}

impl Store {
    /// Opens (and makes where needed) the store below `root`, the data root.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        let path = root.join("blobs/sha256");
        std::fs::create_dir_all(&path).map_err(|source| file_error("create", &path, source))?;
        let directory = File::open(&path).map_err(|source| file_error("open", &path, source))?;
        Ok(Self { path, directory })
    }

    /// Starts a blob of unknown name; nothing is seen of it before [`BlobWriter::commit`].
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn writer(&self) -> Result<BlobWriter<'_>, BlobError> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, ".", flags, Mode::from_raw_mode(0o644))
            .map_err(|error| file_error("create a file without a name in", &self.path, error.into()))?;
        Ok(BlobWriter {
            store: self,
            file: File::from(file),
            digester: Digester::sha256(),
            size: 0,
        })
    }

    /// Stores all that `source` yields; with `expected` only if it hashes to that. A blob that is there already is fine.
    ///
    /// # Errors
    /// [`BlobError::Source`], [`BlobError::Mismatch`], [`BlobError::File`].
    pub fn ingest(&self, mut source: impl Read, expected: Option<&Digest>) -> Result<Blob, BlobError> {
        let mut writer = self.writer()?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => writer
                    .write_all(&buffer[..read])
                    .map_err(|error| file_error("write a blob in", &self.path, error))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BlobError::Source(error)),
            }
        }
        writer.commit(expected)
    }

    /// Stores bytes at hand.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn put(&self, bytes: &[u8]) -> Result<Blob, BlobError> {
        let digest = Digest::sha256(bytes);
        if self.size(&digest)? == Some(bytes.len() as u64) {
            let size = bytes.len() as u64;
            return Ok(Blob { digest, size });
        }
        self.ingest(bytes, None)
    }

    /// Opens a blob for reading, with its size. The content is not verified again.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Algorithm`], [`BlobError::File`].
    pub fn open_blob(&self, digest: &Digest) -> Result<(File, u64), BlobError> {
        let name = name_of(digest)?;
        let failed = |step, error: Errno| match error {
            Errno::NOENT => BlobError::NotFound {
                digest: digest.clone(),
            },
            other => file_error(step, &self.path.join(name), other.into()),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())
            .map_err(|error| failed("open", error))?;
        let status = rustix::fs::fstat(&file).map_err(|error| failed("stat", error))?;
        Ok((File::from(file), u64::try_from(status.st_size).unwrap_or(0)))
    }

    /// The whole content of a blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`], [`BlobError::Mismatch`] and those of [`Store::open_blob`].
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
        let (file, size) = self.open_blob(digest)?;
        if size > limit {
            return Err(BlobError::TooLarge {
                digest: digest.clone(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| file_error("read", &self.path.join(digest.hex()), error))?;
        check(digest, Digest::sha256(&bytes))?;
        Ok(bytes)
    }

    /// The size in bytes, `None` when there is no such blob.
    ///
    /// # Errors
    /// [`BlobError::Algorithm`], [`BlobError::File`].
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        let name = name_of(digest)?;
        match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(u64::try_from(status.st_size).unwrap_or(0))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(file_error("stat", &self.path.join(name), error.into())),
        }
    }

    /// Hashes the content again.
    ///
    /// # Errors
    /// [`BlobError::Mismatch`] when it has rotted, and those of [`Store::open_blob`].
    pub fn verify(&self, digest: &Digest) -> Result<(), BlobError> {
        let (mut file, _) = self.open_blob(digest)?;
        let mut digester = Digester::sha256();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return check(digest, digester.finish()),
                Ok(read) => digester.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(file_error("read", &self.path.join(digest.hex()), error)),
            }
        }
    }

    /// Everything that is stored, in no order. Files with other names are passed over.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn list(&self) -> Result<Vec<Blob>, BlobError> {
        let failed = |error| file_error("list", &self.path, error);
        let mut blobs = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(digest) = entry
                .file_name()
                .to_str()
                .and_then(|name| Digest::from_sha256_hex(name).ok())
            else {
                continue;
            };
            // Removed by somebody else since it was listed.
            if let Some(size) = self.size(&digest)? {
                blobs.push(Blob { digest, size });
            }
        }
        Ok(blobs)
    }

    /// Removes a blob; whether it was there. Whoever has it open reads on.
    ///
    /// # Errors
    /// [`BlobError::Algorithm`], [`BlobError::File`].
    pub fn remove(&self, digest: &Digest) -> Result<bool, BlobError> {
        let name = name_of(digest)?;
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(file_error("remove", &self.path.join(name), error.into())),
        }
    }

    /// Removes all that is not in `keep`. A blob that is ingested meanwhile may be removed too: call it only while nobody
    /// ingests (at boot) or with everything in `keep` that is on its way. Returns what was removed.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn sweep(&self, keep: &HashSet<Digest>) -> Result<Vec<Blob>, BlobError> {
        let mut removed = Vec::new();
        for blob in self.list()? {
            if !keep.contains(&blob.digest) && self.remove(&blob.digest)? {
                removed.push(blob);
            }
        }
        Ok(removed)
    }
}

impl Store {
    /// Whether a blob may have this name.
    pub(crate) fn check_name(&self, digest: &Digest) -> Result<(), BlobError> {
        name_of(digest).map(drop)
    }

    /// Gives a synced file its name by `link`, durably.
    pub(crate) fn link(
        &self,
        digest: &Digest,
        size: u64,
        link: impl Fn(&File, &str) -> Result<(), Errno>,
    ) -> Result<Blob, BlobError> {
        let failed = |error: Errno| file_error("name", &self.path.join(digest.hex()), error.into());
        match link(&self.directory, digest.hex()) {
            // Somebody stored the same content before. If a broken file system left another size, replace it.
            Err(Errno::EXIST) if self.size(digest)? == Some(size) => {}
            Err(Errno::EXIST) => {
                self.remove(digest)?;
                link(&self.directory, digest.hex()).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        self.directory
            .sync_all()
            .map_err(|error| file_error("sync", &self.path, error))?;
        Ok(Blob {
            digest: digest.clone(),
            size,
        })
    }
}

/// A blob being written; dropped without [`BlobWriter::commit`] it never existed: the file has no name until then.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: File,
    digester: Digester,
    size: u64,
}

impl BlobWriter<'_> {
    /// Makes the blob durable and visible; with `expected` only if it hashes to that.
    ///
    /// # Errors
    /// [`BlobError::Mismatch`], [`BlobError::Algorithm`], [`BlobError::File`].
    pub fn commit(self, expected: Option<&Digest>) -> Result<Blob, BlobError> {
        let Self {
            store,
            file,
            digester,
            size,
        } = self;
        let digest = digester.finish();
        if let Some(expected) = expected {
            name_of(expected)?;
            check(expected, digest.clone())?;
        }
        let path = store.path.join(digest.hex());
        file.sync_data()
            .map_err(|error| file_error("sync", &path, error))?;
        // linkat(2) with AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH; by /proc it needs nothing.
        let nameless = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        store.link(&digest, size, |directory, name| {
            rustix::fs::linkat(
                rustix::fs::CWD,
                &nameless,
                directory,
                name,
                AtFlags::SYMLINK_FOLLOW,
            )
        })
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digester.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn name_of(digest: &Digest) -> Result<&str, BlobError> {
    match digest.algorithm() {
        Algorithm::Sha256 => Ok(digest.hex()),
        _ => Err(BlobError::Algorithm {
            digest: digest.clone(),
        }),
    }
}

fn check(expected: &Digest, actual: Digest) -> Result<(), BlobError> {
    if *expected == actual {
        return Ok(());
    }
    Err(BlobError::Mismatch {
        expected: expected.clone(),
        actual,
    })
}

fn file_error(step: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::File {
        step,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        (root, store)
    }

    #[test]
    fn what_was_stored_is_read_back_under_its_digest() {
        let (_root, store) = store();
        let blob = store.ingest(&b"hello"[..], None).unwrap();
        assert_eq!(
            blob,
            Blob {
                digest: Digest::sha256(b"hello"),
                size: 5
            }
        );
        assert_eq!(store.read(&blob.digest, 5).unwrap(), b"hello");
        assert_eq!(store.size(&blob.digest).unwrap(), Some(5));
        store.verify(&blob.digest).unwrap();
        assert_eq!(store.put(b"hello").unwrap(), blob);
        assert_eq!(store.list().unwrap(), [blob]);
    }

    #[test]
    fn content_of_another_digest_never_appears() {
        let (_root, store) = store();
        let expected = Digest::sha256(b"what was promised");
        let error = store.ingest(&b"something else"[..], Some(&expected)).unwrap_err();
        assert!(matches!(error, BlobError::Mismatch { .. }), "{error}");
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn an_abandoned_writer_leaves_nothing() {
        let (root, store) = store();
        store.writer().unwrap().write_all(b"half").unwrap();
        assert_eq!(
            std::fs::read_dir(root.path().join("blobs/sha256"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn rot_is_found_by_verify_and_by_read() {
        let (root, store) = store();
        let blob = store.put(b"precious").unwrap();
        std::fs::write(
            root.path().join("blobs/sha256").join(blob.digest.hex()),
            b"previous",
        )
        .unwrap();
        assert!(matches!(
            store.verify(&blob.digest),
            Err(BlobError::Mismatch { .. })
        ));
        assert!(matches!(
            store.read(&blob.digest, 100),
            Err(BlobError::Mismatch { .. })
        ));
    }

    #[test]
    fn blobs_larger_than_the_reader_allows_are_not_read() {
        let (_root, store) = store();
        let blob = store.put(b"0123456789").unwrap();
        assert!(matches!(
            store.read(&blob.digest, 9),
            Err(BlobError::TooLarge {
                size: 10,
                limit: 9,
                ..
            })
        ));
    }

    #[test]
    fn a_sweep_removes_all_but_what_is_kept() {
        let (_root, store) = store();
        let (kept, gone) = (store.put(b"kept").unwrap(), store.put(b"gone").unwrap());
        let removed = store.sweep(&HashSet::from([kept.digest.clone()])).unwrap();
        assert_eq!(removed, std::slice::from_ref(&gone));
        assert!(matches!(
            store.open_blob(&gone.digest),
            Err(BlobError::NotFound { .. })
        ));
        assert!(store.open_blob(&kept.digest).is_ok());
        assert!(!store.remove(&gone.digest).unwrap());
    }

    #[test]
    fn many_may_store_the_same_at_once() {
        let (_root, store) = store();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| store.ingest(&b"the same"[..], None).unwrap());
            }
        });
        assert_eq!(store.list().unwrap().len(), 1);
    }
}
