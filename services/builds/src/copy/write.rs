//! Sources to the archive of a layer.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use archive::{Entry, EntryKind, Timestamp, Writer};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::destination::{Place, absolute, resolve};
use super::identity::Owner;
use super::tree::{self, Root};
use super::{Ready, Source, unpack};

/// Writes the entries of one layer: each directory above an entry comes first, with what it has in the image, since an
/// overlay shows the upper directory's permissions.
pub(super) struct Layer<'a, W: Write> {
    writer: Writer<W>,
    into: Option<&'a Root>,
    /// Directories that are written.
    written: HashSet<String>,
    /// Whom new directories belong to.
    owner: Owner,
    epoch: Option<i64>,
}

impl<'a, W: Write> Layer<'a, W> {
    pub(super) fn new(out: W, into: Option<&'a Root>, owner: Owner, epoch: Option<i64>) -> Self {
        Self {
            writer: Writer::new(out),
            into,
            written: HashSet::new(),
            owner,
            epoch,
        }
    }

    /// Writes the directories above a path.
    pub(super) fn parents(&mut self, path: &str) -> Result<(), String> {
        let ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).collect();
        ends.into_iter().try_for_each(|end| self.directory(&path[..end]))
    }

    /// Writes a directory as it is in the image, or a new one.
    pub(super) fn directory(&mut self, path: &str) -> Result<(), String> {
        if path.is_empty() || self.written.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        let known = self.into.map(|into| tree::entry(into, &format!("/{path}"), path));
        let entry = match known {
            Some(Ok(entry)) if entry.kind == EntryKind::Directory => entry,
            Some(Ok(_)) => return Err(format!("cannot copy to non-directory: /{path}")),
            Some(Err(errno)) if errno != Errno::NOENT => return Err(format!("/{path}: {errno}")),
            _ => self.new_directory(path),
        };
        self.entry(entry, &mut io::empty())
    }

    fn new_directory(&self, path: &str) -> Entry {
        let mut entry = Entry::directory(path.as_bytes(), 0o755);
        (entry.uid, entry.gid) = (self.owner.uid, self.owner.gid);
        entry.mtime.seconds = self.epoch.unwrap_or_else(|| jiff::Timestamp::now().as_second());
        entry
    }

    /// Whether a directory is written already.
    pub(super) fn has_directory(&self, path: &str) -> bool {
        path.is_empty() || self.written.contains(path)
    }

    /// Writes an entry; what stands above it is there.
    pub(super) fn entry(&mut self, mut entry: Entry, data: &mut dyn Read) -> Result<(), String> {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let last = path.rsplit('/').next().unwrap_or_default();
        if last.starts_with(".wh.") {
            return Err(format!(
                "/{path}: names that begin with .wh. stand for deleted files in images"
            ));
        }
        if let Some(epoch) = self.epoch {
            limit(&mut entry.mtime, epoch);
        }
        if entry.kind == EntryKind::Directory {
            self.written.insert(path.trim_end_matches('/').to_owned());
        }
        self.writer
            .append(&entry, data)
            .map_err(|error| format!("/{path}: {error}"))
    }

    fn finish(self) -> Result<(), String> {
        self.writer
            .finish()
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

fn limit(time: &mut Timestamp, epoch: i64) {
    if time.seconds >= epoch {
        *time = Timestamp {
            seconds: epoch,
            nanos: 0,
        };
    }
}

impl Ready {
    /// Writes the archive of the layer.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_all(out).map_err(io::Error::other)
    }

    fn write_all(&self, out: &mut dyn Write) -> Result<(), String> {
        let job = &self.job;
        let owner = self.owner.unwrap_or_default();
        let into = job.into.as_deref().filter(|_| !job.link);
        let mut layer = Layer::new(out, into, owner, job.epoch);
        let wants_directory = job.destination.ends_with('/')
            || job.destination.ends_with("/.")
            || [".", ".."].contains(&job.destination.as_str())
            || self.sources.len() + job.heredocs.len() > 1;
        let place = resolve(into, &absolute(&job.workdir, &job.destination))?;
        if wants_directory && place.is_directory == Some(false) {
            return Err(format!("cannot copy to non-directory: /{}", place.path));
        }
        for source in &self.sources {
            self.source(&mut layer, source, &place, wants_directory)?;
        }
        for (document, text) in &job.heredocs {
            let target = target(&place, wants_directory, &document.name);
            layer.parents(&target)?;
            let mut entry = Entry::file(target.as_bytes(), 0o644, text.len() as u64);
            self.adorn(&mut entry);
            entry.mtime.seconds = job.epoch.unwrap_or_else(|| jiff::Timestamp::now().as_second());
            layer.entry(entry, &mut text.as_bytes())?;
        }
        layer.finish()
    }

    fn source(
        &self,
        layer: &mut Layer<'_, &mut dyn Write>,
        source: &Source,
        place: &Place,
        wants_directory: bool,
    ) -> Result<(), String> {
        let job = &self.job;
        if job.parents {
            let target = join(&place.path, &source.kept);
            return if source.is_directory {
                self.tree(layer, source, &target, true)
            } else {
                self.file(layer, source, &target)
            };
        }
        if source.is_directory {
            if place.is_directory == Some(false) {
                return Err(format!("cannot copy to non-directory: /{}", place.path));
            }
            let is_new = place.is_directory.is_none() && !wants_directory;
            if !is_new {
                layer.directory(&place.path)?;
            }
            return self.tree(layer, source, &place.path, is_new);
        }
        if source.unpack && unpack::is_archive(&source.root, &source.path) {
            return unpack::unpack(
                layer,
                job.into.as_deref().filter(|_| !job.link),
                &source.root,
                &source.path,
                &place.path,
                self.owner,
            );
        }
        self.file(layer, source, &target(place, wants_directory, source.name()))
    }

    fn file(
        &self,
        layer: &mut Layer<'_, &mut dyn Write>,
        source: &Source,
        target: &str,
    ) -> Result<(), String> {
        if source.excludes("") {
            return Ok(());
        }
        if target.is_empty() {
            return Err("the destination is the root directory itself".to_owned());
        }
        layer.parents(target)?;
        // A link that is named itself stands for the file it leads to.
        let fd = source.root.open(&source.path, OFlags::RDONLY | OFlags::NONBLOCK);
        let real = fd.map_err(|errno| format!("{}: {errno}", source.path))?;
        let root = Root::new(real);
        let mut entry = tree::entry_of(&root, target).map_err(|errno| format!("{}: {errno}", source.path))?;
        self.adorn(&mut entry);
        self.origins.note(&source.root, &source.path, target);
        layer.entry(entry, &mut BufReader::new(File::from(root.into_fd())))
    }

    /// Copies what is below a directory; with `itself` also what the directory itself has.
    fn tree(
        &self,
        layer: &mut Layer<'_, &mut dyn Write>,
        source: &Source,
        target: &str,
        itself: bool,
    ) -> Result<(), String> {
        let from = &source.root;
        tree::walk(source, &mut |here| {
            let (path, below) = (here.path, here.below);
            if source.excludes(below) || (below.is_empty() && !itself) {
                return Ok(true);
            }
            let name = join(target, below);
            if name.is_empty() {
                return Ok(true);
            }
            let entry = if below.is_empty() {
                let root = from.open(path, OFlags::RDONLY | OFlags::DIRECTORY).map(Root::new);
                root.and_then(|root| tree::entry_of(&root, &name))
            } else {
                tree::entry(from, path, &name)
            };
            let mut entry = match entry {
                // A socket is in no archive.
                Err(Errno::NOTSUP) => return Ok(false),
                entry => entry.map_err(|errno| format!("{path}: {errno}"))?,
            };
            if entry.kind == EntryKind::Directory && layer.has_directory(&name) {
                return Ok(true);
            }
            layer.parents(&name)?;
            self.adorn(&mut entry);
            if entry.kind != EntryKind::File {
                layer.entry(entry, &mut io::empty())?;
                return Ok(true);
            }
            let file = from.open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK);
            let mut file = File::from(file.map_err(|errno| format!("{path}: {errno}"))?);
            self.origins.note(from, path, &name);
            layer.entry(entry, &mut file)?;
            Ok(true)
        })
    }

    fn adorn(&self, entry: &mut Entry) {
        match self.owner {
            Some(owner) => (entry.uid, entry.gid) = (owner.uid, owner.gid),
            None if !self.job.keep_owner => (entry.uid, entry.gid) = (0, 0),
            None => {}
        }
        if let Some(mode) = self.mode.as_ref().filter(|_| entry.kind != EntryKind::Symlink) {
            entry.mode = mode.apply(entry.mode, entry.kind == EntryKind::Directory);
        }
    }
}

fn target(place: &Place, wants_directory: bool, name: &str) -> String {
    if wants_directory || place.is_directory == Some(true) {
        join(&place.path, name)
    } else {
        place.path.clone()
    }
}

pub(super) fn join(directory: &str, name: &str) -> String {
    match (directory, name) {
        ("", name) => name.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

/// The archive of a layer that makes a directory (WORKDIR), or nothing if it is there.
pub(crate) fn make_directory(
    into: Option<&Root>,
    path: &str,
    epoch: Option<i64>,
) -> Result<Option<Vec<u8>>, String> {
    let place = resolve(into, path)?;
    match place.is_directory {
        Some(true) => return Ok(None),
        Some(false) => return Err(format!("mkdir /{}: not a directory", place.path)),
        None => {}
    }
    let mut bytes = Vec::new();
    let mut layer = Layer::new(&mut bytes, into, Owner::default(), epoch);
    layer.directory(&place.path)?;
    layer.finish()?;
    Ok(Some(bytes))
}

/// Passes an archive on without the entries `drop`, and with no time after `epoch`.
pub(crate) fn clamp(
    read: &mut dyn Read,
    write: &mut dyn Write,
    drop: &HashSet<Vec<u8>>,
    epoch: Option<i64>,
) -> io::Result<()> {
    let mut reader = archive::Reader::new(BufReader::with_capacity(256 << 10, read));
    let mut writer = Writer::new(BufWriter::with_capacity(256 << 10, write));
    while let Some(mut entry) = reader.next_entry().map_err(io::Error::other)? {
        let path = entry.path.strip_suffix(b"/").unwrap_or(&entry.path);
        if drop.contains(path.strip_prefix(b"./").unwrap_or(path)) {
            continue;
        }
        if let Some(epoch) = epoch {
            limit(&mut entry.mtime, epoch);
        }
        writer.append(&entry, &mut reader)?;
    }
    reader.drain().map_err(io::Error::other)?;
    writer.finish()?.flush()
}
