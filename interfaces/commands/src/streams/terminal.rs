//! The terminal of this program.

use std::io::{IsTerminal as _, stderr, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// True if standard input, output or error (0, 1, 2) is a terminal.
pub(crate) fn is_terminal(fd: u8) -> bool {
    match fd {
        0 => stdin().is_terminal(),
        1 => stdout().is_terminal(),
        _ => stderr().is_terminal(),
    }
}

/// Height and width of the terminal on standard output, in characters; zeros if it is none.
pub(crate) fn size() -> (u16, u16) {
    size_of(stdout())
}

/// The same of another one.
pub(crate) fn size_of(terminal: impl std::os::fd::AsFd) -> (u16, u16) {
    tcgetwinsize(terminal).map_or((0, 0), |s| (s.ws_row, s.ws_col))
}

/// Runs `read` while the terminal shows nothing of what is typed.
pub(crate) fn without_echo<T>(read: impl FnOnce() -> T) -> T {
    struct Restore(Option<Termios>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                let _ = tcsetattr(stdin(), OptionalActions::Now, before);
            }
        }
    }
    let before = tcgetattr(stdin()).ok();
    if let Some(mut quiet) = before.clone() {
        quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
        let _ = tcsetattr(stdin(), OptionalActions::Now, &quiet);
    }
    let _restore = Restore(before);
    read()
}

/// Raw mode, until it is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    /// Sets standard input to raw mode if it is a terminal.
    pub(super) fn enter() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
