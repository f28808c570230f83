//! Notices of the out-of-memory killer.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::cgroup::Seat;
use crate::dir::Dir;
use crate::stats::field;
use crate::{Cgroup, Error, Result};

/// Becomes readable (poll, epoll) when the group ran out of memory.
///
/// The notice can come a moment before the kernel's count of killed tasks changes: whoever wants to know at a
/// container's end whether it met the killer asks [`Cgroup::stats`] for `oom_kills`.
#[derive(Debug)]
pub struct OomEvents {
    fd: OwnedFd,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// An eventfd that the kernel counts up, once more when the group is removed; `control` tells these apart.
    V1 { control: OwnedFd },
    /// inotify on `memory.events`; the count of kills when last looked at.
    V2 {
        events: OwnedFd,
        path: PathBuf,
        seen: u64,
    },
}

impl OomEvents {
    /// Takes the notices that have come: true if the group ran out of memory since the last call. Does not block.
    pub fn take(&mut self) -> Result<bool> {
        let signalled = drain(&self.fd)?;
        if !signalled {
            return Ok(false);
        }
        match &mut self.source {
            // Reading a file of a group that is gone fails with ENODEV.
            Source::V1 { control } => Ok(pread_text(control).is_ok()),
            Source::V2 { events, path, seen } => {
                let text = match pread_text(events) {
                    Ok(text) => text,
                    Err(e) if e.raw_os_error() == Some(19) => return Ok(false),
                    Err(source) => {
                        return Err(Error::Read {
                            path: path.clone(),
                            source,
                        });
                    }
                };
                let now = field(&text, "oom_kill").unwrap_or(0);
                let more = now > *seen;
                *seen = now;
                Ok(more)
            }
        }
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) fn watch(group: &Cgroup) -> Result<OomEvents> {
    match group.seat("memory") {
        Some(Seat::V1(dir)) => watch_v1(dir),
        Some(Seat::V2(dir)) => watch_v2(dir),
        None => Err(Error::NoController {
            what: "out-of-memory notices",
            controller: "memory",
        }),
    }
}

fn watch_v1(dir: &Dir) -> Result<OomEvents> {
    let failed = |e: Errno| Error::Read {
        path: dir.path().join("memory.oom_control"),
        source: e.into(),
    };
    let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
    let control = dir.open("memory.oom_control", OFlags::RDONLY)?;
    dir.write(
        "cgroup.event_control",
        &format!("{} {}", fd.as_raw_fd(), control.as_raw_fd()),
    )?;
    Ok(OomEvents {
        fd,
        source: Source::V1 { control },
    })
}

fn watch_v2(dir: &Dir) -> Result<OomEvents> {
    let path = dir.path().join("memory.events");
    let failed = |e: Errno| Error::Read {
        path: path.clone(),
        source: e.into(),
    };
    let events = dir.open("memory.events", OFlags::RDONLY)?;
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
    // Named by descriptor, so that it is this group's file whatever was mounted over the path meanwhile.
    let name = format!("/proc/self/fd/{}", events.as_raw_fd());
    inotify::add_watch(&fd, name, inotify::WatchFlags::MODIFY).map_err(failed)?;
    let text = pread_text(&events).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let seen = field(&text, "oom_kill").unwrap_or(0);
    Ok(OomEvents {
        fd,
        source: Source::V2 { events, path, seen },
    })
}

/// Empties an eventfd or an inotify queue; true if there was something in it.
fn drain(fd: &OwnedFd) -> Result<bool> {
    let failed = |source: io::Error| Error::Read {
        path: "out-of-memory notices".into(),
        source,
    };
    let mut file = File::from(fd.try_clone().map_err(failed)?);
    let mut any = false;
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(any),
            Ok(_) => any = true,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

fn pread_text(fd: &OwnedFd) -> io::Result<String> {
    let mut buffer = [0; 1024];
    let length = rustix::io::pread(fd, &mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
