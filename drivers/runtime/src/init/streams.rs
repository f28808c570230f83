//! Steps that concern the standard streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::{Errno, Result};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Uid};

use super::{Context, State, root};
use crate::channel::{self, Notice};

/// Magic number of devpts.
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Puts the given descriptors in the places 0 to 2.
pub(super) fn take(streams: Option<&[BorrowedFd<'_>; 3]>) -> Result<()> {
    let streams = streams.ok_or(Errno::BADF)?;
    // A given descriptor may have a number below 3 itself: first out of the way.
    let [input, output, error] = streams;
    let input = rustix::io::fcntl_dupfd_cloexec(input, 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(output, 3)?;
    let error = rustix::io::fcntl_dupfd_cloexec(error, 3)?;
    for (place, fd) in [input, output, error].into_iter().enumerate() {
        linux::fd::duplicate_to(&fd, place as i32)?;
    }
    Ok(())
}

/// Makes a terminal in the container's devpts and takes it.
pub(super) fn terminal(
    size: Option<(u16, u16)>,
    console: bool,
    place: usize,
    context: &Context<'_>,
    state: &State,
) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = match &state.devpts {
        Some(devpts) => rustix::fs::openat(devpts, c"ptmx", flags, Mode::empty())?,
        None => {
            let here;
            let top = match &state.root {
                Some(root) => root.as_fd(),
                None => {
                    here = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                    here.as_fd()
                }
            };
            let master = linux::fd::open_in_root(top, c"/dev/pts/ptmx", flags, Mode::empty())?;
            // Whatever else an image has put there is no terminal.
            if !linux::mount::is_filesystem(master.as_fd(), DEVPTS_MAGIC)? {
                return Err(Errno::NODEV);
            }
            master
        }
    };
    let slave = linux::tty::unlock(master.as_fd())?;
    if let Some((rows, columns)) = size {
        linux::tty::set_size(&master, rows, columns)?;
    }
    channel::pass(context.channel, Notice::Terminal, place, master.as_fd())?;
    for number in 0..3 {
        linux::fd::duplicate_to(&slave, number)?;
    }
    linux::tty::make_controlling(&slave)?;
    if console {
        let mount = linux::mount::clone_tree(slave.as_fd(), c"", false)?;
        let target = console_place(root(state)?)?;
        linux::mount::attach(mount.as_fd(), target.as_fd())?;
    }
    Ok(())
}

/// The file that shows the terminal. A symbolic link in its place would let an image choose what is covered, and so
/// keep it from being protected (CVE-2025-52565).
fn console_place(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match rustix::fs::openat2(root, c"/dev/console", flags, Mode::empty(), resolve) {
        Err(Errno::NOENT) => {
            linux::fd::ensure_file_in_root(root, c"/dev/console", Mode::from_raw_mode(0o620))
        }
        other => other,
    }
}

/// Opens those standard streams anew that are `/dev/null`. The node is the real one: it was made, or looked at, before.
pub(super) fn take_null(root: BorrowedFd<'_>) -> Result<()> {
    let mut inside = None;
    for (number, stream) in standard_streams().into_iter().enumerate() {
        if !rustix::fs::fstat(stream).is_ok_and(|stat| is_null(&stat)) {
            continue;
        }
        let null = match inside.take() {
            Some(null) => null,
            None => {
                linux::fd::open_in_root(root, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?
            }
        };
        linux::fd::duplicate_to(&null, number as i32)?;
        inside = Some(null);
    }
    Ok(())
}

fn standard_streams() -> [BorrowedFd<'static>; 3] {
    [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ]
}

fn is_null(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == rustix::fs::makedev(1, 3)
}

/// Gives the streams to the user, so that `/dev/stdout` can be opened again; not those that are shared devices.
pub(super) fn give_to(uid: u32) -> Result<()> {
    for stream in standard_streams() {
        let Ok(stat) = rustix::fs::fstat(stream) else {
            continue;
        };
        if stat.st_uid == uid || is_null(&stat) {
            continue;
        }
        match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
            // Sockets, read-only file systems and foreign files keep their owner.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS | Errno::OVERFLOW) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
