//! Terminals: making pairs, raw mode, sizes, the controlling terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pty::OpenptFlags;
use rustix::termios::{self, OptionalActions, Termios, Winsize};

use crate::Result;

/// The two ends of a pseudoterminal.
#[derive(Debug)]
pub struct Pty {
    /// The end that the engine reads and writes.
    pub master: OwnedFd,
    /// The end that the program uses.
    pub slave: OwnedFd,
}

/// Makes a pseudoterminal in the `/dev/pts` of the caller's mount namespace.
///
/// # Errors
/// `ENOSPC` when there are too many, `ENOENT` without devpts.
pub fn open_pty() -> Result<Pty> {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    let slave = unlock(master.as_fd())?;
    Ok(Pty { master, slave })
}

/// Makes a pseudoterminal from an open `ptmx` of a certain devpts mount. *Async-signal-safe.*
///
/// # Errors
/// As [`open_pty`].
pub fn unlock(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::pty::unlockpt(master)?;
    rustix::pty::ioctl_tiocgptpeer(
        master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )
}

/// Sets rows and columns. *Async-signal-safe.*
///
/// # Errors
/// `ENOTTY`.
pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    termios::tcsetwinsize(
        terminal,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
}

/// Rows and columns.
///
/// # Errors
/// `ENOTTY`.
pub fn size(terminal: impl AsFd) -> Result<(u16, u16)> {
    termios::tcgetwinsize(terminal).map(|size| (size.ws_row, size.ws_col))
}

/// Makes this the controlling terminal of the calling session leader. *Async-signal-safe.*
///
/// # Errors
/// `EPERM` when the caller is no session leader or has one already.
pub fn make_controlling(terminal: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal)
}

/// A terminal in raw mode, until this value is dropped.
#[derive(Debug)]
pub struct RawMode<Fd: AsFd> {
    terminal: Fd,
    before: Termios,
}

impl<Fd: AsFd> RawMode<Fd> {
    /// Switches to raw mode.
    ///
    /// # Errors
    /// `ENOTTY`.
    pub fn enter(terminal: Fd) -> Result<Self> {
        let before = termios::tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl<Fd: AsFd> Drop for RawMode<Fd> {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_set_on_the_master_is_seen_on_the_slave() {
        let pty = open_pty().expect("pty");
        set_size(&pty.master, 33, 99).expect("set");
        assert_eq!(size(&pty.slave), Ok((33, 99)));
    }
}
