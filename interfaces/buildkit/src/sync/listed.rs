//! Contexts of `dhow build`: the client lists its files, learns which of them are wanted, and sends those in an archive. No
//! part of BuildKit's protocol, but the same kept copies. All blocking.
//!
//! A file is known again by its line of the list, which has its inode and time of change on the client's machine besides
//! what one can see of it: no tool can set these back, so that a file with the size and the time of another is told apart.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use super::stat::{Entry, Kind};
use super::tree::Tree;
use super::{KeptTree, stat};
use crate::grpc::{Code, Status};

/// The list of what is in the copy.
const LIST: &str = "list";
/// The list of what is on its way.
const NEXT: &str = "list.next";
/// A line with the longest path and link, escaped.
const LONGEST_LINE: u64 = 32 << 10;
/// Files beyond which a list is refused.
const MOST: u32 = 1_000_000;

/// One line: path, kind (`f`, `d` or `l`), permissions, size, seconds since 1970, where a link leads, and what tells a
/// state of the file from all others on the client's machine (empty: it is always wanted).
type Line = (String, char, u32, u64, i64, String, String);

/// A copy that waits for the files that it does not have.
#[derive(Debug)]
pub(crate) struct Listed {
    kept: KeptTree,
    tree: Tree,
    missing: HashMap<u32, Entry>,
}

impl Listed {
    /// Compares a list with the copy.
    ///
    /// # Errors
    /// The list is broken, or what the kernel said of a file.
    pub(crate) fn compare(kept: KeptTree, list: impl Read) -> Result<Self, Status> {
        let (path, next) = (kept.path().join(LIST), kept.path().join(NEXT));
        let failed =
            |error: std::io::Error| Status::new(Code::Internal, format!("the list of files: {error}"));
        let known = known(&path).map_err(failed)?;
        // From here on the copy is not what the list says.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut tree = Tree::open(kept.path())?;
        let mut missing = HashMap::new();
        let mut out = BufWriter::new(File::create(&next).map_err(failed)?);
        let mut list = BufReader::new(list);
        let mut line = Vec::new();
        for number in 0.. {
            line.clear();
            let read = (&mut list).take(LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(failed)? == 0 {
                break;
            }
            let text = line
                .strip_suffix(b"\n")
                .ok_or_else(|| wrong("a line has no end"))?;
            if number >= MOST {
                return Err(wrong("it is too long"));
            }
            let (entry, is_lasting) = read_line(text)?;
            if is_lasting {
                out.write_all(&line).map_err(failed)?;
            }
            if entry.kind == Kind::File {
                if known.contains(&digest(text)) {
                    tree.keep(&entry)?;
                    continue;
                }
                tree.clear(&entry)?;
            }
            if !tree.place(&entry)? {
                missing.insert(number, entry);
            }
        }
        out.flush().map_err(failed)?;
        let wanted = missing
            .values()
            .fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
        let disk = rustix::fs::statvfs(kept.path()).map_err(|errno| failed(errno.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if wanted > free {
            let text = format!(
                "the context has {wanted} bytes that are not here yet, and {free} bytes are free: what the build does not need can stand in .dockerignore"
            );
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        Ok(Self { kept, tree, missing })
    }

    /// The numbers of the files that are wanted, in order.
    pub(crate) fn wanted(&self) -> Vec<u32> {
        let mut wanted: Vec<u32> = self.missing.keys().copied().collect();
        wanted.sort_unstable();
        wanted
    }

    /// Takes what was wanted out of an archive, in which a file's name is its number.
    ///
    /// # Errors
    /// A file is missing, or was not wanted.
    pub(crate) fn receive(mut self, archive: impl Read) -> Result<KeptTree, Status> {
        let failed = |error: &dyn std::fmt::Display| {
            Status::new(
                Code::InvalidArgument,
                format!("the files of the context: {error}"),
            )
        };
        let mut reader = archive::Reader::new(BufReader::with_capacity(256 << 10, archive));
        let mut buffer = vec![0; 128 << 10];
        while let Some(told) = reader.next_entry().map_err(|error| failed(&error))? {
            let number = std::str::from_utf8(&told.path)
                .ok()
                .and_then(|name| name.parse().ok());
            let entry = number.and_then(|number| self.missing.remove(&number));
            let (Some(number), Some(entry)) = (number, entry) else {
                return Err(failed(&format!("{} is not wanted", told.display_path())));
            };
            let mut incoming = self.tree.begin(number)?;
            loop {
                let count = reader.read(&mut buffer).map_err(|error| failed(&error))?;
                if count == 0 {
                    break;
                }
                self.tree.write(&mut incoming, &entry, &buffer[..count])?;
            }
            self.tree.put(incoming, &entry)?;
        }
        reader.drain().map_err(|error| failed(&error))?;
        if let Some(entry) = self.missing.values().next() {
            return Err(failed(&format!("{} did not come", entry.path)));
        }
        self.tree.finish()?;
        let (next, path) = (self.kept.path().join(NEXT), self.kept.path().join(LIST));
        std::fs::rename(next, path).map_err(|error| failed(&error))?;
        Ok(self.kept)
    }
}

fn wrong(why: &str) -> Status {
    Status::new(
        Code::InvalidArgument,
        format!("the list of files is broken: {why}"),
    )
}

/// The digests of the lines of the files that are in the copy.
fn known(path: &std::path::Path) -> std::io::Result<HashSet<u128>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
        file => file?,
    };
    let lines = BufReader::new(file).split(b'\n');
    lines.map(|line| line.map(|line| digest(&line))).collect()
}

/// Enough to tell the lines of one list from those of another. Whoever finds two alike cheats nobody but themselves.
fn digest(line: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, line).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// A line, and whether it says enough to know the file again.
fn read_line(text: &[u8]) -> Result<(Entry, bool), Status> {
    let line: Line = serde_json::from_slice(text).map_err(|error| wrong(&error.to_string()))?;
    let (path, kind, mode, size, seconds, link, state) = line;
    let kind = match kind {
        'f' => Kind::File,
        'd' => Kind::Directory,
        'l' => Kind::Symlink,
        other => return Err(wrong(&format!("{other:?} is no kind of file"))),
    };
    let time = seconds
        .checked_mul(1_000_000_000)
        .ok_or_else(|| wrong("a time is too large"))?;
    let entry = stat::checked(Entry {
        path,
        kind,
        mode: mode & 0o7777,
        size,
        time,
        link,
        xattrs: Vec::new(),
    })?;
    Ok((entry, !state.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::super::Kept;
    use super::*;

    fn archive(files: &[(u32, &str)]) -> Vec<u8> {
        let mut writer = archive::Writer::new(Vec::new());
        for (number, text) in files {
            let entry = archive::Entry::file(number.to_string(), 0o644, 0);
            writer.append_bytes(&entry, text.as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    const FIRST: &str = r#"["a","f",420,3,1000,"","1:2:3"]
["d","d",493,0,1000,"",""]
["d/b","f",420,3,1000,"","1:3:3"]
["d/l","l",511,0,1000,"../a",""]
["Dockerfile","f",420,4,1000,"",""]
"#;

    #[test]
    fn only_what_was_changed_is_wanted_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path().join("kept"), false).unwrap();
        let compare =
            |list: &str| Listed::compare(kept.take("key", "listed").unwrap(), list.as_bytes()).unwrap();
        let listed = compare(FIRST);
        assert_eq!(listed.wanted(), [0, 2, 4]);
        let tree = listed
            .receive(&*archive(&[(0, "abc"), (2, "def"), (4, "FROM")]))
            .unwrap();
        let files = tree.files();
        assert_eq!(std::fs::read(files.join("d/b")).unwrap(), b"def");
        assert_eq!(
            std::fs::read_link(files.join("d/l")).unwrap().to_str(),
            Some("../a")
        );
        drop(tree);

        // The same size and time, but another state.
        let listed = compare(
            &FIRST
                .replace("1:3:3", "1:3:4")
                .replace(r#"["a","f"#, r#"["c","f"#),
        );
        assert_eq!(
            listed.wanted(),
            [0, 2, 4],
            "c is new, b was changed, the Dockerfile always comes"
        );
        let tree = listed
            .receive(&*archive(&[(0, "abc"), (2, "DEF"), (4, "FROM")]))
            .unwrap();
        assert_eq!(std::fs::read(files.join("d/b")).unwrap(), b"DEF");
        assert!(!files.join("a").exists(), "it is gone");
        drop(tree);

        let again = FIRST
            .replace("1:3:3", "1:3:4")
            .replace(r#"["a","f"#, r#"["c","f"#);
        assert_eq!(compare(&again).wanted(), [4]);
        assert_eq!(
            compare(&again).wanted(),
            [0, 2, 4],
            "a build that was given up leaves no list"
        );
    }

    #[test]
    fn what_is_missing_unwanted_or_outside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path().join("kept"), false).unwrap();
        let compare = |list: &str| Listed::compare(kept.take("key", "listed").unwrap(), list.as_bytes());
        for files in [&[(0, "abc"), (2, "def")][..], &[(9, "x")], &[(1, "x")]] {
            assert!(
                compare(FIRST).unwrap().receive(&*archive(files)).is_err(),
                "{files:?}"
            );
        }
        for line in [
            r#"["../a","f",420,3,1000,"","1"]"#,
            r#"["a","b",420,3,1000,"","1"]"#,
            r#"["a","l",511,3,1000,"","1"]"#,
            "x",
        ] {
            assert!(compare(&format!("{line}\n")).is_err(), "{line}");
        }
        assert!(
            compare(r#"["a","f",420,3,1000,"","1"]"#).is_err(),
            "no end of the line"
        );
    }
}
