//! Only what the daemon does not have yet: it is told of all files first, and asks for those that it wants.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use client::{Body, Query};

use super::pack::{self, Sink, Tree};
use crate::app::App;
use crate::failure::Failure;
use crate::streams;

/// A file that the daemon may want.
#[derive(Debug)]
enum Item {
    /// It is in the directory.
    File(String),
    /// It is not.
    Text(Vec<u8>),
    /// It has no content.
    Other,
}

/// All files of a tree, one in a line.
#[derive(Debug, Default)]
struct Listing {
    text: Vec<u8>,
    items: Vec<Item>,
    read_always: Vec<String>,
}

/// Path, kind, permissions, size, seconds, link, and what tells this state of the file from all others.
type Line<'a> = (&'a str, char, u32, u64, i64, &'a str, String);

impl Listing {
    fn of(tree: &Tree) -> io::Result<Self> {
        let mut listing = Self {
            read_always: tree.read_always.clone(),
            ..Self::default()
        };
        pack::walk(tree, &mut listing)?;
        Ok(listing)
    }

    fn line(&mut self, line: &Line<'_>, item: Item) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, line)?;
        self.items.push(item);
        self.text.write_all(b"\n")
    }
}

impl Sink for Listing {
    fn file(&mut self, name: &str, path: &Path, meta: &std::fs::Metadata) -> io::Result<()> {
        let (mode, time) = (meta.mode() & 0o7777, meta.mtime().max(0));
        if meta.is_dir() {
            return self.line(&(name, 'd', mode, 0, time, "", String::new()), Item::Other);
        }
        if meta.is_symlink() {
            let link = std::fs::read_link(path)?;
            let link = link.to_str().ok_or_else(|| {
                let text = format!("{}: it leads to a name that is not UTF-8", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            return self.line(&(name, 'l', mode, 0, time, link, String::new()), Item::Other);
        }
        let state = match self.read_always.iter().any(|known| known == name) {
            true => String::new(),
            false => format!(
                "{}:{}:{}.{}",
                meta.dev(),
                meta.ino(),
                meta.ctime(),
                meta.ctime_nsec()
            ),
        };
        let line = (name, 'f', mode, meta.len(), time, "", state);
        self.line(&line, Item::File(name.to_owned()))
    }

    fn extra(&mut self, name: &str, text: &[u8]) -> io::Result<()> {
        let line = (name, 'f', 0o644, text.len() as u64, 0, "", String::new());
        self.line(&line, Item::Text(text.to_vec()))
    }
}

/// What the daemon keeps the copy of a directory under: this machine, this user, this directory.
fn key(root: &Path) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let host = rustix::system::uname();
    format!(
        "{} {} {} {}",
        machine.trim(),
        host.nodename().to_string_lossy(),
        rustix::process::geteuid().as_raw(),
        root.display()
    )
}

/// Tells the daemon of a tree's files; the query and the body with what it wants of them. A daemon that keeps nothing
/// gets all.
pub(super) async fn offer(app: &App, tree: Tree, query: Query) -> Result<(Query, Body), Failure> {
    let listing = tokio::task::spawn_blocking(move || Listing::of(&tree).map(|listing| (tree, listing)));
    let listed = listing.await.map_err(|error| Failure::new(error.to_string()))?;
    let (tree, listing) =
        listed.map_err(|error| Failure::new(format!("unable to prepare context: {error}")))?;
    let Listing { text, items, .. } = listing;
    match app.client()?.build_context(&key(&tree.root), text).await? {
        None => Ok((query, pack::body(vec![tree], false))),
        Some(reply) => Ok((
            query.with("kept", &reply.id),
            wanted(tree.root, items, reply.wanted),
        )),
    }
}

/// An archive of some files, which are named by their numbers.
fn wanted(root: PathBuf, items: Vec<Item>, numbers: Vec<u32>) -> Body {
    streams::written_by(move |out| {
        let mut archive = tar::Builder::new(out);
        for number in numbers {
            let place = number.to_string();
            match items.get(number as usize) {
                Some(Item::File(name)) => {
                    let path = root.join(name);
                    let meta = path.symlink_metadata()?;
                    pack::append(&mut archive, pack::header(&meta), place, &path, &meta)?;
                }
                Some(Item::Text(text)) => pack::append_text(&mut archive, place, text)?,
                Some(Item::Other) | None => {
                    let text = format!("the daemon wants file {number}, which there is not");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
        archive.into_inner()
    })
}

#[cfg(test)]
mod tests {
    use dockerfile::ignore::Ignore;

    use super::*;

    #[test]
    fn a_list_tells_every_state_of_a_file_apart_but_for_what_is_always_sent() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "Dockerfile"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("../x", folder.path().join("l")).unwrap();
        let tree = Tree {
            root: folder.path().to_owned(),
            ignore: Ignore::parse("b").unwrap(),
            extra: vec![("more".to_owned(), b"text".to_vec())],
            prefix: String::new(),
            read_always: vec!["Dockerfile".to_owned()],
        };
        let lines = || -> Vec<serde_json::Value> {
            let listing = Listing::of(&tree).unwrap();
            let lines = listing
                .text
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
        };
        let first = lines();
        let names: Vec<_> = first.iter().map(|line| line[0].as_str().unwrap()).collect();
        assert_eq!(names, ["Dockerfile", "a", "l", "more"]);
        assert_eq!(first[0][6], "", "it is always sent");
        assert_eq!((&first[2][1], &first[2][5]), (&"l".into(), &"../x".into()));
        assert_eq!(lines(), first);
        // As long and as old as before, and still another file.
        let about = folder.path().join("a").metadata().unwrap();
        std::fs::write(folder.path().join("new"), "A").unwrap();
        let file = std::fs::File::options()
            .write(true)
            .open(folder.path().join("new"))
            .unwrap();
        file.set_modified(about.modified().unwrap()).unwrap();
        std::fs::rename(folder.path().join("new"), folder.path().join("a")).unwrap();
        let second = lines();
        assert_eq!(
            first[1].as_array().unwrap()[..6],
            second[1].as_array().unwrap()[..6]
        );
        assert_ne!(first[1][6], second[1][6]);
    }
}
