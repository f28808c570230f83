//! A terminal of the test's own, in which a client runs as if a person sat before it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{LONGEST, Screen};

/// A client on a terminal.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    /// Starts a command as the leader of a session on a new terminal of this size.
    ///
    /// # Panics
    /// Without a pty, or without `setsid` of util-linux.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("openpt");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let name = name.to_str().expect("ptsname").to_owned();
        let mut terminal = File::from(master);
        set_size(&terminal, rows, columns);
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .custom_flags(OFlags::NOCTTY.bits().cast_signed())
                .open(&name)
                .expect("terminal")
        };
        // Only its own session can have a terminal, and to make one between fork and exec would need unsafe code.
        let mut inside = Command::new("setsid");
        // In letters, which busybox has too; it waits anyway.
        inside.arg("-c");
        inside.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        let child = inside
            .env("TERM", "xterm")
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .expect("setsid");
        let (sender, output) = channel();
        let mut reader = terminal.try_clone().expect("terminal");
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // EIO is the end: nobody has the terminal open any more.
            while let Ok(count) = reader.read(&mut chunk) {
                if count == 0 || sender.send(chunk[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        terminal.flush().expect("terminal");
        Self {
            master: terminal,
            child,
            output,
            seen: Vec::new(),
        }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typing");
    }

    /// Changes the size of the window as a hand on its corner does, until this text comes.
    ///
    /// A client may begin to watch the size after its first output (docker does), and the kernel tells nobody of a
    /// size that is no change; so a single change may be missed, as a person would see and pull once more.
    ///
    /// # Panics
    /// When it does not come.
    pub fn resize_until(&mut self, rows: u16, columns: u16, text: &str) {
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            set_size(&self.master, rows, columns + 1);
            set_size(&self.master, rows, columns);
            match self.comes(text, Duration::from_secs(1)) {
                Ok(_) => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.expect(text);
    }

    /// Reads until this text comes, and takes all up to its end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn expect(&mut self, text: &str) -> String {
        self.comes(text, LONGEST).unwrap_or_else(|why| {
            panic!(
                "{text:?} did not come ({why}), but {:?}",
                String::from_utf8_lossy(&self.seen)
            )
        })
    }

    /// Shows what comes on a screen until this is so.
    ///
    /// # Panics
    /// When it never is.
    pub fn show_until(&mut self, screen: &mut Screen, what: &str, so: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + LONGEST;
        loop {
            screen.feed(&std::mem::take(&mut self.seen));
            let text = screen.text();
            if so(&text) {
                return;
            }
            let patience = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(patience) {
                Ok(more) => self.seen.extend(more),
                Err(why) => panic!("never so: {what} ({why}): {text:#?}"),
            }
        }
    }

    /// Shows what comes on a screen until the client's end; its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended_on(mut self, screen: &mut Screen) -> i32 {
        let end = Instant::now() + LONGEST;
        loop {
            screen.feed(&std::mem::take(&mut self.seen));
            let patience = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(patience) {
                Ok(more) => self.seen.extend(more),
                Err(RecvTimeoutError::Disconnected) => return self.ended(),
                Err(RecvTimeoutError::Timeout) => panic!("the client does not end: {:#?}", screen.text()),
            }
        }
    }

    /// Gives the window and the screen another size, as a hand on its corner does.
    pub fn resize(&self, screen: &mut Screen, rows: u16, columns: u16) {
        screen.resize(rows.into(), columns.into());
        set_size(&self.master, rows, columns);
    }

    fn comes(&mut self, text: &str, patience: Duration) -> Result<String, RecvTimeoutError> {
        let end = Instant::now() + patience;
        loop {
            let found = self
                .seen
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let rest = self.seen.split_off(at + text.len());
                let before = std::mem::replace(&mut self.seen, rest);
                return Ok(String::from_utf8_lossy(&before).into_owned());
            }
            let patience = end.saturating_duration_since(Instant::now());
            self.seen.extend(self.output.recv_timeout(patience)?);
        }
    }

    /// Waits for the client's end; its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(mut self) -> i32 {
        let end = Instant::now() + LONGEST;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code().unwrap_or(-1);
            }
            assert!(
                Instant::now() < end,
                "the client does not end: {:?}",
                String::from_utf8_lossy(&self.seen)
            );
            // Its output must not hold it up.
            while let Ok(more) = self.output.try_recv() {
                self.seen.extend(more);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed left it running; one that did not finds it gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("TIOCSWINSZ");
}
