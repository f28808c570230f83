//! The conversation of a parent with the init it has cloned, over a packet socket.
//!
//! The child sends records of twelve bytes (what, which step, which error), some with a descriptor. The parent answers
//! one byte where the child waits. The end of the stream without a failure means that the program was executed, because
//! the child's socket is closed on exec, or that the child is dead.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::{Errno, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// What the child has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A step could not be done and was left out.
    Warning = 1,
    /// The user namespace waits for its maps.
    IdMaps = 2,
    /// Hooks shall be run.
    Hooks = 3,
    /// The master of the terminal comes along.
    Terminal = 4,
    /// The seccomp notification descriptor comes along.
    Listener = 5,
    /// All is set up.
    Ready = 6,
    /// A step failed; the child ends.
    Failed = 7,
    /// Network devices shall be moved in.
    Devices = 8,
}

/// One record.
#[derive(Debug)]
pub(crate) struct Record {
    /// What.
    pub(crate) notice: Notice,
    /// Which step.
    pub(crate) step: usize,
    /// Which error.
    pub(crate) errno: Errno,
    /// What came along.
    pub(crate) fd: Option<OwnedFd>,
}

/// Makes the two ends: the parent's and the child's.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

fn encode(notice: Notice, step: usize, errno: i32) -> [u8; 12] {
    let mut record = [0; 12];
    record[0] = notice as u8;
    record[4..8].copy_from_slice(&(step as u32).to_ne_bytes());
    record[8..].copy_from_slice(&errno.to_ne_bytes());
    record
}

/// Child: says something; nobody listening is no error. *Async-signal-safe.*
pub(crate) fn tell(channel: BorrowedFd<'_>, notice: Notice, step: usize, errno: Errno) {
    // With a flag, because SIGPIPE has its default action again just before the execution.
    let record = encode(notice, step, errno.raw_os_error());
    let _ = rustix::net::send(channel, &record, rustix::net::SendFlags::NOSIGNAL);
}

/// Child: sends a descriptor. *Async-signal-safe.*
pub(crate) fn pass(channel: BorrowedFd<'_>, notice: Notice, step: usize, fd: BorrowedFd<'_>) -> Result<()> {
    linux::fd::send(channel, &encode(notice, step, 0), &[fd]).map(drop)
}

/// Child: says something and waits for the answer. *Async-signal-safe.*
pub(crate) fn ask(channel: BorrowedFd<'_>, notice: Notice, step: usize) -> Result<()> {
    rustix::io::write(channel, &encode(notice, step, 0))?;
    await_byte(channel)
}

/// Waits for one byte; the end of the stream is `ECANCELED`. *Async-signal-safe.*
pub(crate) fn await_byte(from: BorrowedFd<'_>) -> Result<()> {
    let mut byte = [0_u8; 1];
    loop {
        match rustix::io::read(from, &mut byte) {
            Ok(0) => return Err(Errno::CANCELED),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Parent: the next record, or `None` at the end of the stream.
pub(crate) fn receive(channel: impl AsFd) -> Result<Option<Record>> {
    let mut buffer = [0_u8; 12];
    let received = match linux::fd::receive(&channel, &mut buffer) {
        // The child died with something unread.
        Err(Errno::CONNRESET) => return Ok(None),
        other => other?,
    };
    if received.length == 0 {
        return Ok(None);
    }
    let word = |at: usize| i32::from_ne_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
    let notice = match buffer[0] {
        1 => Notice::Warning,
        2 => Notice::IdMaps,
        3 => Notice::Hooks,
        4 => Notice::Terminal,
        5 => Notice::Listener,
        6 => Notice::Ready,
        7 => Notice::Failed,
        8 => Notice::Devices,
        _ => return Err(Errno::PROTO),
    };
    let errno = Errno::from_raw_os_error(word(8).max(1));
    Ok(Some(Record {
        notice,
        step: word(4) as usize,
        errno,
        fd: received.fds.into_iter().next(),
    }))
}

/// Parent: lets the child go on.
pub(crate) fn answer(channel: impl AsFd) -> Result<()> {
    linux::fd::send(channel, b"\n", &[]).map(drop)
}
