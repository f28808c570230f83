//! Attending a process in the foreground: signals are forwarded, a terminal is pumped.

use std::os::fd::{AsFd as _, OwnedFd};

use linux::Errno;
use linux::fd::SignalFd;
use linux::process::Exit;
use linux::tty::RawMode;
use rustix::event::{PollFd, PollFlags, poll};

use super::CliError;
use super::notify::Notify;

const CHILD: i32 = 17;
const WINDOW: i32 = 28;
/// Everything that makes sense to forward; the rest are errors of this program itself or job control of its terminal.
const FORWARDED: &[i32] = &[1, 2, 3, 10, 12, 14, 15, 18, CHILD, WINDOW];

/// Signals that wait to be forwarded, from before the process exists.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Takes them from now on.
    pub(super) fn block() -> Result<Self, CliError> {
        SignalFd::new(FORWARDED)
            .map(Self)
            .map_err(CliError::signal("signalfd"))
    }
}

/// Stays until the process ends; all that its terminal has to say is written first.
pub(super) fn attend(
    pidfd: &OwnedFd,
    master: Option<OwnedFd>,
    signals: Signals,
    mut notify: Option<Notify>,
) -> Result<Exit, CliError> {
    // It may be for hours, and nearly all of what this process is in memory is the program's own file.
    linux::process::release_program();
    let input = rustix::stdio::stdin();
    let _raw = master.as_ref().and_then(|_| RawMode::enter(input).ok());
    if let Some(master) = &master {
        copy_size(master);
    }
    let mut input_open = master.is_some();
    loop {
        let nothing = PollFlags::empty();
        let mut fds = vec![
            PollFd::new(pidfd, PollFlags::IN),
            PollFd::new(&signals.0, PollFlags::IN),
            PollFd::from_borrowed_fd(input, if input_open { PollFlags::IN } else { nothing }),
        ];
        fds.extend(master.as_ref().map(|master| PollFd::new(master, PollFlags::IN)));
        let said = notify.as_ref().and_then(Notify::fd);
        fds.extend(said.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)));
        let has_said = said.is_some();
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other.map_err(CliError::signal("poll"))?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if has_said
            && ready.last() == Some(&true)
            && let Some(true) = notify.as_mut().map(|notify| notify.pass(None)).transpose()?
        {
            notify = None;
        }
        if ready[1] {
            forward(&signals, pidfd, master.as_ref());
        }
        if let Some(master) = &master {
            if input_open && ready[2] {
                input_open = copy(input.as_fd(), master.as_fd());
            }
            if ready[3] && copy(master.as_fd(), rustix::stdio::stdout()) {
                continue;
            }
        }
        if ready[0] {
            return linux::process::wait(pidfd).map_err(CliError::signal("wait"));
        }
        if master.is_some() && ready[3] {
            // The terminal has hung up; only the end of the process is left to wait for.
            return linux::process::wait(pidfd).map_err(CliError::signal("wait"));
        }
    }
}

fn forward(signals: &Signals, pidfd: &OwnedFd, master: Option<&OwnedFd>) {
    while let Ok(Some(info)) = signals.0.read() {
        match (info.signal, master) {
            (CHILD, _) => {}
            (WINDOW, Some(master)) => copy_size(master),
            (signal, _) => {
                let _ = linux::process::send_signal(pidfd, signal);
            }
        }
    }
}

fn copy_size(master: &OwnedFd) {
    if let Ok((rows, columns)) = linux::tty::size(rustix::stdio::stdin()) {
        let _ = linux::tty::set_size(master, rows, columns);
    }
}

/// Copies what is there; false at the end.
fn copy(from: std::os::fd::BorrowedFd<'_>, to: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut buffer = [0_u8; 8192];
    let Ok(length) = rustix::io::read(from, &mut buffer) else {
        return false;
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    length > 0
}
