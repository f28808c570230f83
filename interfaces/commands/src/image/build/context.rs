//! The context on its way to the daemon: a directory without what `.dockerignore` leaves out, an archive, a Dockerfile.

use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use client::Body;
use dockerfile::ignore::Ignore;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;

use super::git::{self, Temporary};
use crate::failure::Failure;
use crate::streams;

/// A context that is ready to be sent.
pub(super) struct Context {
    pub(super) body: Body,
    /// The Dockerfile's name in it; empty for the default.
    pub(super) dockerfile: String,
    /// The URL of the context, if the daemon fetches it.
    pub(super) remote: String,
    /// A clone, kept until the build is over.
    pub(super) temporary: Option<Temporary>,
}

/// A directory on its way into an archive.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) ignore: Ignore,
    /// Files by name that are not in the directory.
    extra: Extra,
    /// The directory of the archive that it stands in, with a slash; empty for the top.
    pub(super) prefix: String,
}

/// Opens what the command line names.
pub(super) fn open(context: &str, file: &str, compress: bool, named: Vec<Tree>) -> Result<Context, Failure> {
    if context == "-" {
        if !named.is_empty() {
            return Err(Failure::new(
                "a context on standard input and directories as --build-context exclude each other",
            ));
        }
        if file == "-" {
            return Err(Failure::new(
                "invalid argument: can't use stdin for both build context and dockerfile",
            ));
        }
        return Ok(Context {
            body: streams::body_of(io::stdin()),
            dockerfile: file.to_owned(),
            remote: String::new(),
            temporary: None,
        });
    }
    if git::is_git(context) {
        let (temporary, path) = git::fetch(context)?;
        let mut context = directory(&path, file, compress, true, named)?;
        context.temporary = Some(temporary);
        return Ok(context);
    }
    if context.starts_with("http://") || context.starts_with("https://") {
        if file == "-" {
            return Err(Failure::new(
                "invalid argument: a Dockerfile on standard input needs a context that is a directory or a repository",
            ));
        }
        return Ok(Context {
            body: body(named, compress),
            dockerfile: file.to_owned(),
            remote: context.to_owned(),
            temporary: None,
        });
    }
    let path = Path::new(context);
    match path.metadata() {
        Ok(meta) if meta.is_dir() => directory(path, file, compress, false, named),
        Ok(_) => Err(Failure::new(format!(
            "unable to prepare context: context must be a directory: {context}"
        ))),
        Err(_) => Err(Failure::new(format!(
            "unable to prepare context: path {context:?} not found"
        ))),
    }
}

/// Where the Dockerfile is.
struct Found {
    /// Its name in the context.
    name: String,
    /// Its text, if it is not in the context.
    text: Option<Vec<u8>>,
    /// The file of rules beside it.
    rules: Option<PathBuf>,
}

/// A directory that `.dockerignore` in it has rules for.
pub(super) fn named(path: &Path, prefix: String) -> Result<Tree, Failure> {
    let root = path
        .canonicalize()
        .map_err(|error| Failure::new(format!("{}: {}", path.display(), streams::cause(&error))))?;
    if !root.is_dir() {
        return Err(Failure::new(format!("{}: not a directory", path.display())));
    }
    let (_, ignore) = rules(&root.join(".dockerignore"))?;
    Ok(Tree {
        root,
        ignore,
        extra: Extra::new(),
        prefix,
    })
}

/// A directory of an image, whole.
pub(super) fn layout(path: &Path) -> Body {
    let tree = Tree {
        root: path.to_owned(),
        ignore: Ignore::default(),
        extra: Extra::new(),
        prefix: String::new(),
    };
    body(vec![tree], false)
}

/// The text of a file of rules, and what it says; a file that is not there says nothing.
fn rules(path: &Path) -> Result<(String, Ignore), Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
    };
    let ignore = Ignore::parse(&text)
        .map_err(|error| Failure::new(format!("error checking context: {}: {error}", path.display())))?;
    Ok((text, ignore))
}

fn directory(
    root: &Path,
    file: &str,
    compress: bool,
    inside: bool,
    named: Vec<Tree>,
) -> Result<Context, Failure> {
    let root = root
        .canonicalize()
        .map_err(|error| Failure::new(format!("unable to prepare context: {}: {error}", root.display())))?;
    let found = find(&root, file, inside)?;
    let default = root.join(".dockerignore");
    let rules_path = found
        .rules
        .clone()
        .filter(|path| path.is_file())
        .unwrap_or(default);
    let (rules, mut ignore) = rules(&rules_path)?;
    ignore.except(".dockerignore");
    ignore.except(&found.name);
    let mut extra = Vec::new();
    if let Some(text) = found.text {
        // The daemon takes out of the context what these rules leave out, after it has read it.
        let mut text_of_rules = rules;
        if !root.join(".dockerignore").exists() {
            text_of_rules.push_str("\n.dockerignore");
        }
        text_of_rules.push_str(&format!("\n{}\n", found.name));
        extra.push((found.name.clone(), text));
        extra.push((".dockerignore".to_owned(), text_of_rules.into_bytes()));
    }
    let context = Tree {
        root,
        ignore,
        extra,
        prefix: String::new(),
    };
    let trees = std::iter::once(context).chain(named).collect();
    Ok(Context {
        body: body(trees, compress),
        dockerfile: found.name,
        remote: String::new(),
        temporary: None,
    })
}

fn find(root: &Path, file: &str, inside: bool) -> Result<Found, Failure> {
    let outside = |text: Vec<u8>, rules| Found {
        name: format!(".dockerfile.{}", std::process::id()),
        text: Some(text),
        rules,
    };
    if file == "-" {
        let mut text = Vec::new();
        io::stdin()
            .read_to_end(&mut text)
            .map_err(|error| Failure::new(format!("read stdin: {error}")))?;
        return Ok(outside(text, None));
    }
    let path = match file {
        "" => {
            let usual = root.join("Dockerfile");
            let lower = root.join("dockerfile");
            if !usual.exists() && lower.exists() {
                lower
            } else {
                usual
            }
        }
        file if inside => root.join(file),
        file => PathBuf::from(file),
    };
    let failed = |error: io::Error| {
        Failure::new(format!(
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {}: {}",
            path.display(),
            streams::cause(&error)
        ))
    };
    let real = path.canonicalize().map_err(failed)?;
    let rules = path.file_name().map(|name| {
        let mut name = name.to_owned();
        name.push(".dockerignore");
        path.with_file_name(name)
    });
    let written = std::path::absolute(&path).map_err(failed)?;
    let below = written.parent().and_then(|parent| parent.canonicalize().ok());
    let below = below
        .zip(written.file_name())
        .map(|(parent, name)| parent.join(name));
    if let Some(name) = below
        .as_deref()
        .unwrap_or(&real)
        .strip_prefix(root)
        .ok()
        .and_then(Path::to_str)
    {
        return Ok(Found {
            name: name.to_owned(),
            text: None,
            rules,
        });
    }
    Ok(outside(std::fs::read(&real).map_err(failed)?, rules))
}

/// Files by name that are not in the directory.
type Extra = Vec<(String, Vec<u8>)>;

fn body(trees: Vec<Tree>, compress: bool) -> Body {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let pieces = Pieces {
            sender: sender.clone(),
            buffer: Vec::with_capacity(PIECE),
        };
        let packed = match compress {
            false => pack(&trees, pieces).and_then(|mut out| out.flush()),
            true => {
                let encoder = GzEncoder::new(pieces, Compression::fast());
                let packed = pack(&trees, encoder);
                packed.and_then(GzEncoder::finish).and_then(|mut out| out.flush())
            }
        };
        if let Err(error) = packed {
            // The connection is gone, or learns of the failure.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Body::Chunks(receiver)
}

const PIECE: usize = 256 * 1024;

/// Gathers what the archive writes into pieces for the connection.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.sender
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn pack<W: Write>(trees: &[Tree], out: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    for tree in trees {
        let mut walk = Walk {
            archive: &mut archive,
            tree,
            owed: Vec::new(),
        };
        walk.directory("")?;
        for (name, bytes) in &tree.extra {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, format!("{}{name}", tree.prefix), bytes.as_slice())?;
        }
    }
    archive.into_inner()
}

struct Walk<'a, W: Write> {
    archive: &'a mut tar::Builder<W>,
    tree: &'a Tree,
    /// Ignored directories on the way that are sent only if something in them is.
    owed: Vec<String>,
}

impl<W: Write> Walk<'_, W> {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(self.tree.root.join(name))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let Some(own) = file_name.to_str() else {
                let text = format!("{}: the name is not UTF-8", entry.path().display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            let name = if name.is_empty() {
                own.to_owned()
            } else {
                format!("{name}/{own}")
            };
            self.entry(&name)?;
        }
        Ok(())
    }

    fn entry(&mut self, name: &str) -> io::Result<()> {
        if self.tree.extra.iter().any(|(extra, _)| extra == name) {
            return Ok(());
        }
        let path = self.tree.root.join(name);
        let meta = path.symlink_metadata()?;
        let ignored = self.tree.ignore.ignores(name);
        if meta.is_dir() {
            if ignored && !self.tree.ignore.has_exceptions() {
                return Ok(());
            }
            let depth = self.owed.len();
            self.owed.push(name.to_owned());
            if !ignored {
                self.pay()?;
            }
            self.directory(name)?;
            self.owed.truncate(depth);
            return Ok(());
        }
        if ignored || meta.file_type().is_socket() {
            return Ok(());
        }
        self.pay()?;
        self.file(name, &path, &meta)
    }

    /// Sends the directories above.
    fn pay(&mut self) -> io::Result<()> {
        for name in std::mem::take(&mut self.owed) {
            let meta = self.tree.root.join(&name).symlink_metadata()?;
            let mut header = header(&meta);
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            self.archive
                .append_data(&mut header, self.place(&format!("{name}/")), io::empty())?;
        }
        Ok(())
    }

    /// Where a file stands in the archive.
    fn place(&self, name: &str) -> String {
        format!("{}{name}", self.tree.prefix)
    }

    fn file(&mut self, name: &str, path: &Path, meta: &std::fs::Metadata) -> io::Result<()> {
        let mut header = header(meta);
        let kind = meta.file_type();
        if kind.is_symlink() {
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Symlink);
            return self
                .archive
                .append_link(&mut header, self.place(name), std::fs::read_link(path)?);
        }
        if !kind.is_file() {
            let text = format!(
                "{}: devices and pipes cannot be part of a context",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let file = std::fs::File::open(path)?;
        header.set_size(meta.len());
        self.archive
            .append_data(&mut header, self.place(name), file.take(meta.len()))
    }
}

/// Permissions and time; the owner is root, as Docker has it.
fn header(meta: &std::fs::Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(meta.mode() & 0o7777);
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[&str], rules: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let tree = Tree {
            root: folder.path().to_owned(),
            ignore: Ignore::parse(rules).unwrap(),
            extra: Extra::new(),
            prefix: String::new(),
        };
        let bytes = pack(&[tree], Vec::new()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn what_is_ignored_is_not_sent() {
        assert_eq!(
            packed(&["a", "b/c", "b/d", "e/f"], "b/c\ne\n"),
            ["a", "b/", "b/d"]
        );
        assert_eq!(
            packed(&["a", "b/c/d", "b/x"], "*\n!b/c\n"),
            ["b/", "b/c/", "b/c/d"]
        );
        assert_eq!(packed(&["a"], "").len(), 1);
    }

    #[test]
    fn a_dockerfile_outside_is_sent_under_a_name_of_its_own() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = other.path().join("D");
        std::fs::write(&file, "FROM scratch").unwrap();
        let found = find(
            &folder.path().canonicalize().unwrap(),
            file.to_str().unwrap(),
            false,
        )
        .unwrap();
        assert!(found.name.starts_with(".dockerfile.") && found.text.is_some());
        std::fs::write(folder.path().join("X"), "").unwrap();
        let inside = folder.path().join("X");
        let found = find(
            &folder.path().canonicalize().unwrap(),
            inside.to_str().unwrap(),
            false,
        )
        .unwrap();
        assert_eq!((found.name.as_str(), found.text), ("X", None));
    }
}
