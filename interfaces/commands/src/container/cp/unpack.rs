//! An archive from a container onto the local disk.
//!
//! The container wrote the archive, so nothing in it is trusted. Every name is cut into parts; `..` is refused; and every
//! directory on the way to an entry is opened without following links, so that a link in the archive (or one that a
//! container's process puts where we copy to) never leads out of the target.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use client::Reply;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use crate::failure::Failure;

/// Where to unpack, and under which name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// An existing directory.
    pub(crate) root: PathBuf,
    /// The archive's top entry gets this name; `None` leaves its own, `Some("")` unpacks what is in it.
    pub(crate) rename: Option<String>,
}

/// Docker's rules for the target of a copy.
pub(super) fn plan(
    place: &Path,
    written: &str,
    source: &str,
    source_is_dir: bool,
    inside: bool,
) -> Result<Plan, String> {
    let wants_dir = written.ends_with('/') || written.ends_with("/.") || written == ".";
    match place.metadata() {
        Ok(meta) if meta.is_dir() => Ok(Plan {
            root: place.to_owned(),
            rename: if inside && source_is_dir {
                Some(String::new())
            } else if matches!(source, "" | "." | "..") {
                None
            } else {
                Some(source.to_owned())
            },
        }),
        Ok(_) if source_is_dir => Err("cannot copy directory".to_owned()),
        Ok(_) if wants_dir => Err("not a directory".to_owned()),
        Err(_) if wants_dir && !source_is_dir => Err("no such directory".to_owned()),
        _ => {
            let parent = place
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let name = place.file_name().map(|n| n.to_string_lossy().into_owned());
            Ok(Plan {
                root: parent.to_owned(),
                rename: Some(name.ok_or_else(|| format!("invalid output path: {written:?}"))?),
            })
        }
    }
}

/// Unpacks the archive that a reply is, on a thread of its own.
pub(crate) async fn reply(mut reply: Reply, plan: Plan, owner: bool) -> Result<u64, Failure> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(8);
    let worker = std::thread::spawn(move || unpack(Chunks::new(receiver), &plan, owner));
    while let Some(chunk) = reply.chunk().await? {
        if sender.send(chunk).is_err() {
            break;
        }
    }
    drop(sender);
    let done = worker.join().map_err(|_| Failure::new("unpacking failed"))?;
    done.map_err(|error| Failure::new(error.to_string()))
}

/// The chunks of a reply as something to read.
struct Chunks {
    receiver: std::sync::mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    fn new(receiver: std::sync::mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.recv() {
                Ok(chunk) => self.current = chunk,
                Err(_) => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

fn refused(name: &Path, why: &str) -> io::Error {
    io::Error::other(format!(
        "refusing to unpack {:?}: {why}",
        name.display().to_string()
    ))
}

/// The parts of an entry's name after renaming its first; `None` for the directory itself.
fn parts(name: &Path, rename: Option<&str>) -> io::Result<Vec<String>> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => parts.push(
                part.to_str()
                    .ok_or_else(|| refused(name, "its name is not UTF-8"))?
                    .to_owned(),
            ),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(refused(name, "it leads out of the archive")),
        }
    }
    if let Some(rename) = rename {
        // `/dir/.` was asked for: then the names begin with a dot, and there is no name of the top to take away.
        let bare = matches!(name.components().next(), Some(Component::CurDir));
        if !parts.is_empty() && !bare {
            parts.remove(0);
        }
        if !rename.is_empty() {
            parts.insert(0, rename.to_owned());
        }
    }
    Ok(parts)
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the directory above an entry, making what is missing. The first part may be a link: it is the user's own
/// directory, but anything below it may be the container's work.
fn above(root: &OwnedFd, parts: &[String]) -> io::Result<OwnedFd> {
    let mut dir = root.try_clone()?;
    for part in parts {
        dir = match rustix::fs::openat(&dir, part.as_str(), DIRECTORY, Mode::empty()) {
            Ok(next) => next,
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(&dir, part.as_str(), Mode::from_raw_mode(0o755))?;
                rustix::fs::openat(&dir, part.as_str(), DIRECTORY, Mode::empty())?
            }
            Err(e) => {
                return Err(io::Error::new(
                    io::Error::from(e).kind(),
                    format!("{part}: {}", io::Error::from(e)),
                ));
            }
        };
    }
    Ok(dir)
}

/// Unpacks; returns the number of bytes of the files. With `owner` files get the archive's owners (`-a`).
pub(super) fn unpack(from: impl Read, plan: &Plan, owner: bool) -> io::Result<u64> {
    let root = rustix::fs::open(&plan.root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut archive = tar::Archive::new(from);
    let rename = plan.rename.as_deref();
    let mut total = 0;
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let parts = parts(&name, rename)?;
        let header = entry.header();
        let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
        let time = header.mtime()? as i64;
        let ids = (header.uid()? as u32, header.gid()? as u32);
        let kind = header.entry_type();
        let Some((last, before)) = parts.split_last() else {
            continue;
        };
        let dir = above(&root, before)?;
        let last = last.as_str();
        // Whatever stands there is replaced, but a directory stays a directory.
        let stands = rustix::fs::statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW).ok();
        let is_dir = |s: &rustix::fs::Stat| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir();
        if let Some(stat) = &stands {
            if is_dir(stat) != kind.is_dir() {
                if is_dir(stat) {
                    return Err(refused(&name, "a directory of that name exists"));
                }
                rustix::fs::unlinkat(&dir, last, AtFlags::empty())?;
            } else if !kind.is_dir() {
                rustix::fs::unlinkat(&dir, last, AtFlags::empty())?;
            }
        }
        if kind.is_dir() {
            if !stands.as_ref().is_some_and(is_dir) {
                rustix::fs::mkdirat(&dir, last, Mode::from_raw_mode(0o700))?;
            }
            directories.push((parts.clone(), mode, time, ids));
            continue;
        }
        if kind.is_symlink() {
            let target = entry
                .link_name()?
                .ok_or_else(|| refused(&name, "a link without a target"))?;
            rustix::fs::symlinkat(target.as_ref(), &dir, last)?;
        } else if kind.is_hard_link() {
            let target = entry
                .link_name()?
                .ok_or_else(|| refused(&name, "a link without a target"))?;
            let target = self::parts(&target, rename)?;
            let (file, on_the_way) = target
                .split_last()
                .ok_or_else(|| refused(&name, "a link to nothing"))?;
            rustix::fs::linkat(
                above(&root, on_the_way)?,
                file.as_str(),
                &dir,
                last,
                AtFlags::empty(),
            )?;
            continue;
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&dir, last, flags, Mode::from_raw_mode(0o600))?);
            total += io::copy(&mut entry, &mut file)?;
            finish(&dir, last, owner, mode, time, ids)?;
            continue;
        } else if kind.is_fifo() {
            rustix::fs::mknodat(
                &dir,
                last,
                rustix::fs::FileType::Fifo,
                Mode::from_raw_mode(0o600),
                0,
            )?;
            finish(&dir, last, owner, mode, time, ids)?;
            continue;
        } else if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
            // A container could hand us the host's disk under a name of its own.
            return Err(refused(&name, "it is a device"));
        } else {
            continue;
        }
        if owner {
            set_owner(&dir, last, ids)?;
        }
    }
    // Directories last: writing into them changes their times, and their modes may forbid it.
    for (parts, mode, time, ids) in directories.into_iter().rev() {
        if let Some((last, before)) = parts.split_last() {
            finish(&above(&root, before)?, last, owner, mode, time, ids)?;
        }
    }
    Ok(total)
}

fn set_owner(dir: &OwnedFd, name: &str, (uid, gid): (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::chownat(
        dir,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn finish(dir: &OwnedFd, name: &str, owner: bool, mode: Mode, time: i64, ids: (u32, u32)) -> io::Result<()> {
    if owner {
        set_owner(dir, name, ids)?;
    }
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NONBLOCK;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    // A file without an owner of its own choice must not become setuid for us.
    let mode = if owner {
        mode
    } else {
        Mode::from_raw_mode(mode.as_raw_mode() & 0o1777)
    };
    rustix::fs::fchmod(&file, mode)?;
    let stamp = rustix::fs::Timespec {
        tv_sec: time,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: stamp,
        last_modification: stamp,
    };
    Ok(rustix::fs::utimensat(
        dir,
        name,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
