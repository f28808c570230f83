//! What the client sent: unpacked into the build's own directory, with its Dockerfile.

use std::any::Any;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{Devices, Entry, EntryKind, UnpackOptions, Verdict};
use dockerfile::ignore::{Ignore, clean};
use rustix::fs::OFlags;

use crate::BuildError;
use crate::contexts::Contexts;
use crate::copy::Root;
use crate::error::file;
use crate::sources;

/// Where a build's files come from.
pub enum Source {
    /// An archive, plain or compressed, or a Dockerfile alone.
    Archive(Box<dyn Read + Send>),
    /// A directory that stays as it is while it is built from.
    Directory {
        /// Where it is; a directory of the daemon's own, whose path has no links that somebody else made.
        path: PathBuf,
        /// The Dockerfile's text, which need not be in it.
        dockerfile: String,
        /// The rules by which files were left out.
        ignore: Option<Ignore>,
        /// Whatever must live as long as the directory is in use.
        guard: Box<dyn Any + Send + Sync>,
    },
    /// The same with the Dockerfile and the rules in it: what the rules leave out of these is taken away.
    Kept {
        /// Where it is.
        path: PathBuf,
        /// Whatever must live as long as the directory is in use.
        guard: Box<dyn Any + Send + Sync>,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Archive(_) => f.write_str("Archive"),
            Self::Directory { path, .. } => f.debug_tuple("Directory").field(path).finish(),
            Self::Kept { path, .. } => f.debug_tuple("Kept").field(path).finish(),
        }
    }
}

/// The unpacked context.
#[derive(Debug)]
pub struct Context {
    pub(crate) root: Arc<Root>,
    /// Where the root is on the host.
    pub(crate) path: PathBuf,
    /// Lives as long as the files are in use.
    pub(crate) guard: Option<Box<dyn Any + Send + Sync>>,
    pub(crate) dockerfile: String,
    pub(crate) ignore: Option<Ignore>,
}

impl Context {
    /// The Dockerfile with the files of the context that it includes.
    pub(crate) fn included(&self) -> Result<String, BuildError> {
        let mut read = |path: &str| {
            if clean(path).starts_with("..") {
                return Err("it is outside of the build context".to_owned());
            }
            let bytes = self.root.read(&clean(&format!("/{path}")), LONGEST);
            let bytes = bytes.map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "no such file in the build context, or .dockerignore leaves it out".to_owned()
                }
                _ => error.to_string(),
            })?;
            String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
        };
        Ok(dockerfile::include::expand(&self.dockerfile, &mut read)?)
    }

    /// The text of its Dockerfile.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }
}

const DEFAULT_NAME: &str = "Dockerfile";
const IGNORE: &str = ".dockerignore";
/// A longer Dockerfile is refused by the parser too.
const LONGEST: u64 = 16 << 20;

/// What a body turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An archive; it is unpacked.
    Archive,
    /// Something else, cut at the length of the longest Dockerfile.
    Text(Vec<u8>),
}

/// Unpacks an archive, plain or compressed, into a directory that is made for it.
///
/// # Errors
/// [`BuildError`]: the archive is broken, or tries to leave the directory.
pub fn unpack(source: impl Read + Send, path: &Path) -> Result<Body, BuildError> {
    std::fs::create_dir_all(path).map_err(file("create", path))?;
    let root = File::open(path).map_err(file("open", path))?;
    durable::crash_point("builds.context.directory-made");
    let (_, plain) = blobs::decompress(BufReader::with_capacity(256 << 10, source)).map_err(wrong)?;
    let mut plain = plain;
    let mut start = Vec::new();
    (&mut plain).take(BLOCK).read_to_end(&mut start).map_err(wrong)?;
    let is_archive = start.get(257..262) == Some(b"ustar") || is_end(&start);
    let plain = BufReader::with_capacity(256 << 10, Cursor::new(start).chain(plain));
    if !is_archive {
        let mut text = Vec::new();
        plain.take(LONGEST).read_to_end(&mut text).map_err(wrong)?;
        return Ok(Body::Text(text));
    }
    let mut stay_inside = |entry: &mut Entry| {
        entry.path = below_root(&entry.path);
        if entry.kind == EntryKind::HardLink {
            entry.link = below_root(&entry.link);
        }
        Verdict::Unpack
    };
    let options = UnpackOptions {
        devices: Devices::Refuse,
        on_entry: Some(&mut stay_inside),
        ..UnpackOptions::default()
    };
    let plain = BufReader::new(Ended::new(plain));
    archive::unpack(plain, root.as_fd(), options).map_err(|error| BuildError::Context(error.to_string()))?;
    Ok(Body::Archive)
}

/// A name as whoever has the context for a root sees it: nothing is above the root, so `../a` is `a`. Docker takes
/// contexts whose makers wrote such names.
fn below_root(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return b".".to_vec();
    }
    parts.join(&b'/')
}

/// Unpacks a context and reads its Dockerfile. A body that is no archive is taken for a Dockerfile without a context.
pub(crate) fn receive(
    source: impl Read + Send,
    path: PathBuf,
    name: &str,
    contexts: &Contexts,
    build: &Path,
) -> Result<Context, BuildError> {
    let mut name = name;
    if let Body::Text(text) = unpack(source, &path)? {
        // The text is the Dockerfile, whatever name was asked for.
        name = DEFAULT_NAME;
        let file_path = path.join(name);
        std::fs::write(&file_path, text).map_err(file("write", &file_path))?;
    }
    contexts.take(&path, build)?;
    durable::crash_point("builds.context.received");
    open(path, name)
}

/// Reads the Dockerfile of a context that is there.
///
/// # Errors
/// [`BuildError`]: there is no such Dockerfile in it, or it or the ignore file is no text of its kind.
pub fn open(path: PathBuf, name: &str) -> Result<Context, BuildError> {
    read(sources::tree(&path)?, path, name)
}

/// An archive with its end: `docker build -f` outside of the context sends one that stops after the last file's
/// bytes, without padding and without the two blocks of zeroes.
struct Ended<R> {
    source: R,
    read: u64,
    /// Zeroes still to come, once the source has ended.
    zeroes: Option<u64>,
}

const BLOCK: u64 = 512;

impl<R: Read> Ended<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            read: 0,
            zeroes: None,
        }
    }
}

impl<R: Read> Read for Ended<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.zeroes.is_none() && !buffer.is_empty() {
            let count = self.source.read(buffer)?;
            self.read += count as u64;
            if count > 0 {
                return Ok(count);
            }
        }
        let missing = self.read.next_multiple_of(BLOCK) - self.read + 2 * BLOCK;
        let left = self.zeroes.get_or_insert(missing);
        let count = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
        buffer[..count].fill(0);
        *left -= count as u64;
        Ok(count)
    }
}

fn wrong(error: std::io::Error) -> BuildError {
    BuildError::Context(error.to_string())
}

/// An archive without members is zeroes.
fn is_end(start: &[u8]) -> bool {
    !start.is_empty() && start.iter().take(512).all(|byte| *byte == 0)
}

fn read(root: Arc<Root>, at: PathBuf, name: &str) -> Result<Context, BuildError> {
    let written = if name.is_empty() { DEFAULT_NAME } else { name };
    if clean(written).starts_with("..") {
        return Err(BuildError::DockerfileOutside(written.to_owned()));
    }
    let mut path = clean(&format!("/{written}"));
    if name.is_empty() && root.stat(&path).is_err() && root.stat("/dockerfile").is_ok() {
        path = "/dockerfile".to_owned();
    }
    let bytes = root
        .read(&path, LONGEST)
        .map_err(|_| BuildError::NoDockerfile(written.to_owned()))?;
    if bytes.is_empty() {
        return Err(BuildError::EmptyDockerfile(written.to_owned()));
    }
    let dockerfile = String::from_utf8(bytes).map_err(|_| {
        BuildError::Dockerfile(dockerfile::Located {
            error: dockerfile::SyntaxError::NotText,
            span: dockerfile::Span { first: 1, last: 1 },
            word: None,
        })
    })?;
    let ignore = match root.read(&format!("/{IGNORE}"), LONGEST) {
        Err(_) => None,
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Some(Ignore::parse(&text).map_err(|error| BuildError::Context(format!("{IGNORE}: {error}")))?)
        }
    };
    if let Some(ignore) = &ignore {
        // They are sent for the builder; a COPY must not see what the rules leave out.
        for name in [IGNORE, path.trim_start_matches('/')] {
            if ignore.ignores(name) {
                remove(&root, name);
            }
        }
    }
    Ok(Context {
        root,
        path: at,
        guard: None,
        dockerfile,
        ignore,
    })
}

fn remove(root: &Root, name: &str) {
    let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
    if let Ok(parent) = root.open(&format!("/{parent}"), OFlags::PATH | OFlags::DIRECTORY) {
        // Not there is as good.
        let _ = rustix::fs::unlinkat(&parent, last, rustix::fs::AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(source: impl Read + Send, directory: &Path, name: &str) -> Result<Context, BuildError> {
        let path = directory.join("context");
        super::receive(source, path, name, &Contexts::default(), directory)
    }

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = archive::Writer::new(Vec::new());
        for (name, text) in files {
            writer
                .append_bytes(&archive::Entry::file(*name, 0o644, 0), text.as_bytes())
                .unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_dockerfile_that_is_ignored_is_read_but_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let body = tar(&[
            ("Dockerfile", "FROM a"),
            (".dockerignore", "*file\n.docker*"),
            ("x", ""),
        ]);
        let context = receive(body.as_slice(), folder.path(), "").unwrap();
        assert_eq!(context.dockerfile, "FROM a");
        assert_eq!(context.root.names("/").unwrap(), ["x"]);
    }

    #[test]
    fn a_text_is_a_dockerfile_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let context = receive("FROM scratch\n".as_bytes(), folder.path(), "").unwrap();
        assert_eq!(context.dockerfile, "FROM scratch\n");
        let folder = tempfile::tempdir().unwrap();
        let error = receive(tar(&[("x", "")]).as_slice(), folder.path(), "a/B").unwrap_err();
        assert_eq!(error.to_string(), "Cannot locate specified Dockerfile: a/B");
        let folder = tempfile::tempdir().unwrap();
        let error = receive(tar(&[("x", "")]).as_slice(), folder.path(), "../B").unwrap_err();
        assert!(matches!(error, BuildError::DockerfileOutside(_)));
    }

    #[test]
    fn an_archive_without_its_end_is_whole_but_one_cut_in_a_file_is_not() {
        let body = tar(&[("Dockerfile", "FROM a"), ("big", &"x".repeat(2000))]);
        let folder = tempfile::tempdir().unwrap();
        let whole = 512 + 512 + 512 + 2000;
        let context = receive(&body[..whole], folder.path(), "").unwrap();
        assert_eq!(context.root.read("/big", 4096).unwrap().len(), 2000);
        let folder = tempfile::tempdir().unwrap();
        let cut = receive(&body[..512 + 512 + 512], folder.path(), "").unwrap_err();
        assert!(matches!(cut, BuildError::Context(_)), "{cut}");
    }

    #[test]
    fn names_that_lead_out_of_the_context_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let body = tar(&[
            ("../../evil", "x"),
            ("a/../../b/./c", "y"),
            ("/Dockerfile", "FROM a"),
        ]);
        let context = receive(body.as_slice(), &folder.path().join("a/b"), "").unwrap();
        assert!(!folder.path().join("evil").exists() && !folder.path().join("a/evil").exists());
        assert_eq!(context.root.read("/evil", 9).unwrap(), b"x");
        assert_eq!(context.root.read("/b/c", 9).unwrap(), b"y");
    }

    #[test]
    fn an_empty_dockerfile_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = receive(tar(&[("a/B", "")]).as_slice(), folder.path(), "a/B").unwrap_err();
        assert_eq!(error.to_string(), "the Dockerfile (a/B) cannot be empty");
    }
}
