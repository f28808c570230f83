//! Content that arrives in pieces, over several requests and lives of a process, until it is whole and becomes a blob.
//!
//! On disk: `<root>/uploads/<name>`, one file for each, in the order of arrival; what is in it survives a kill.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oci::digest::{Digest, Digester};
use rustix::fs::{AtFlags, CWD, OFlags};

use crate::{Blob, BlobError, Store};

/// The unfinished uploads below one data root.
#[derive(Debug)]
pub struct Uploads {
    path: PathBuf,
}

/// An unfinished upload as it lies on disk.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// Its name.
    pub name: String,
    /// When the last piece came.
    pub changed: SystemTime,
}

impl Uploads {
    /// Opens (and makes where needed) the folder below `root`, the data root of a [`Store`].
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        let path = root.join("uploads");
        std::fs::create_dir_all(&path).map_err(|source| failed("create", &path, source))?;
        Ok(Self { path })
    }

    /// Begins an upload under a new name of letters, digits and dashes.
    ///
    /// # Errors
    /// [`BlobError::File`], also when the name is taken.
    pub fn create(&self, name: &str) -> Result<Upload, BlobError> {
        let path = self.file(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("create", &path, source))?;
        Ok(Upload {
            path,
            file,
            digester: Digester::sha256(),
            size: 0,
        })
    }

    /// Takes an upload up again that an earlier life of the process began; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn resume(&self, name: &str) -> Result<Option<Upload>, BlobError> {
        let Ok(path) = self.file(name) else {
            return Ok(None);
        };
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path, error)),
        };
        let mut digester = Digester::sha256();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => digester.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &path, error)),
            }
        }
        let size = (file.stream_position()).map_err(|source| failed("read", &path, source))?;
        Ok(Some(Upload {
            path,
            file,
            digester,
            size,
        }))
    }

    /// Everything unfinished.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn list(&self) -> Result<Vec<Unfinished>, BlobError> {
        let list_failed = |source| failed("list", &self.path, source);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(list_failed)? {
            let entry = entry.map_err(list_failed)?;
            // One that ended since it was listed has no times.
            let changed = entry.metadata().and_then(|status| status.modified());
            if let (Ok(name), Ok(changed)) = (entry.file_name().into_string(), changed) {
                all.push(Unfinished { name, changed });
            }
        }
        Ok(all)
    }

    /// Gives an upload up; whether there was one.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn remove(&self, name: &str) -> Result<bool, BlobError> {
        let Ok(path) = self.file(name) else {
            return Ok(false);
        };
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &path, error)),
        }
    }

    /// Names come from clients: one that is a path is none.
    fn file(&self, name: &str) -> Result<PathBuf, BlobError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            let source = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(failed("name", &self.path.join("?"), source));
        }
        Ok(self.path.join(name))
    }
}

/// One upload, open for more.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: File,
    digester: Digester,
    size: u64,
}

impl Upload {
    /// How many bytes have arrived.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file with what has arrived.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of what has arrived so far.
    pub fn digest(&self) -> Digest {
        self.digester.clone().finish()
    }

    /// Adds a piece. When it fails (a full disk), what was there before stays and can be continued.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn append(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        if let Err(source) = self.file.write_all(piece) {
            // Part of the piece may have been written: the file must hold exactly what is hashed.
            let _ = self.file.set_len(self.size);
            let _ = self.file.seek(io::SeekFrom::Start(self.size));
            return Err(failed("write to", &self.path, source));
        }
        self.digester.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }

    /// Makes it the blob `expected` of `store`, which must be on the same file system, durably; the upload is over,
    /// also when it is not what was expected.
    ///
    /// # Errors
    /// [`BlobError::Mismatch`], [`BlobError::Algorithm`], [`BlobError::File`].
    pub fn finish(self, store: &Store, expected: &Digest) -> Result<Blob, BlobError> {
        let outcome = self.become_blob(store, expected);
        // Its name goes, whatever came of it; one that stays is found by age.
        let _ = std::fs::remove_file(&self.path);
        outcome
    }

    fn become_blob(&self, store: &Store, expected: &Digest) -> Result<Blob, BlobError> {
        store.check_name(expected)?;
        let digest = self.digest();
        if digest != *expected {
            return Err(BlobError::Mismatch {
                expected: expected.clone(),
                actual: digest,
            });
        }
        let readable = self
            .file
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        readable
            .and_then(|()| self.file.sync_all())
            .map_err(|source| failed("sync", &self.path, source))?;
        store.link(&digest, self.size, |directory, name| {
            rustix::fs::linkat(CWD, &self.path, directory, name, AtFlags::empty())
        })
    }
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::File {
        step,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Store, Uploads) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let uploads = Uploads::open(root.path()).unwrap();
        (root, store, uploads)
    }

    #[test]
    fn pieces_of_two_lives_become_one_blob() {
        let (_root, store, uploads) = place();
        let mut first = uploads.create("a-1").unwrap();
        first.append(b"hel").unwrap();
        drop(first);
        assert_eq!(uploads.list().unwrap().len(), 1);
        let mut second = uploads.resume("a-1").unwrap().unwrap();
        assert_eq!(second.size(), 3);
        second.append(b"lo").unwrap();
        let blob = second.finish(&store, &Digest::sha256(b"hello")).unwrap();
        assert_eq!(blob.size, 5);
        assert_eq!(store.read(&blob.digest, 10).unwrap(), b"hello");
        assert!(uploads.list().unwrap().is_empty());
        assert!(uploads.resume("a-1").unwrap().is_none());
    }

    #[test]
    fn what_is_not_what_was_promised_goes_away() {
        let (_root, store, uploads) = place();
        let mut upload = uploads.create("a").unwrap();
        upload.append(b"one").unwrap();
        let error = upload.finish(&store, &Digest::sha256(b"two")).unwrap_err();
        assert!(matches!(error, BlobError::Mismatch { .. }), "{error}");
        assert!(store.list().unwrap().is_empty() && uploads.list().unwrap().is_empty());
    }

    #[test]
    fn the_same_content_from_two_uploads_is_one_blob() {
        let (_root, store, uploads) = place();
        let digest = Digest::sha256(b"same");
        for name in ["a", "b"] {
            let mut upload = uploads.create(name).unwrap();
            upload.append(b"same").unwrap();
            upload.finish(&store, &digest).unwrap();
        }
        assert_eq!(store.list().unwrap().len(), 1);
        assert!(uploads.list().unwrap().is_empty());
    }

    #[test]
    fn a_name_that_is_a_path_is_no_upload() {
        let (_root, _store, uploads) = place();
        for name in ["", "..", "../blobs", "a/b", "a\0", "a.b"] {
            assert!(uploads.create(name).is_err(), "{name:?}");
            assert!(uploads.resume(name).unwrap().is_none(), "{name:?}");
            assert!(!uploads.remove(name).unwrap(), "{name:?}");
        }
        assert!(!uploads.remove("gone").unwrap());
    }
}
