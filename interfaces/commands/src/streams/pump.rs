//! Threads between an attached process and our three streams.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use client::{Hijacked, InputHalf, frames};
use tokio::sync::mpsc;

use super::keys::Watcher;

/// How the pumping ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The process' streams ended.
    Output(io::Result<()>),
    /// The keys that detach were pressed.
    Detached,
}

/// What is pumped.
pub(crate) struct Pump {
    /// The output is a terminal's raw bytes, and the input is watched for the detach keys.
    pub(crate) tty: bool,
    /// Pass input on.
    pub(crate) stdin: bool,
    /// The keys; empty for the default.
    pub(crate) keys: String,
}

/// A pump at work.
pub(crate) struct Running {
    pub(super) ended: mpsc::Receiver<End>,
    _input: Option<InputHalf>,
}

impl Running {
    /// Waits until it has ended.
    pub(crate) async fn end(&mut self) -> End {
        self.ended.recv().await.unwrap_or(End::Output(Ok(())))
    }
}

impl Pump {
    /// Begins. The receiver hears once how it ended.
    pub(crate) fn start(self, hijacked: Hijacked) -> Running {
        let (done, ended) = mpsc::channel(2);
        let framed = hijacked.multiplexed.unwrap_or(!self.tty);
        let (output, input) = hijacked.split();
        let detached = done.clone();
        std::thread::spawn(move || {
            let result = copy_output(output, framed);
            let _ = done.blocking_send(End::Output(result));
        });
        if self.stdin {
            let watcher = self.tty.then(|| Watcher::new(&self.keys));
            std::thread::spawn(move || {
                if copy_input(input, watcher) {
                    let _ = detached.blocking_send(End::Detached);
                }
            });
        } else {
            // The daemon need not wait for input that never comes.
            input.half_close();
            return Running {
                ended,
                _input: Some(input),
            };
        }
        Running { ended, _input: None }
    }
}

fn copy_output(mut from: impl Read, framed: bool) -> io::Result<()> {
    let (mut out, mut err) = (Unbuffered(rustix::stdio::stdout()), io::stderr());
    if framed {
        return frames::copy(&mut from, &mut out, &mut err);
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                out.write_all(&buffer[..n])?;
                out.flush()?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Our standard output without the standard library's buffer, which looks for line ends in all that passes through.
struct Unbuffered(BorrowedFd<'static>);

impl Write for Unbuffered {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, data)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes standard input on until it ends. True if the keys that detach came.
fn copy_input(mut to: InputHalf, mut watcher: Option<Watcher>) -> bool {
    let mut from = io::stdin().lock();
    let mut buffer = vec![0; 32 * 1024];
    let mut out = Vec::new();
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => {
                to.finish();
                return false;
            }
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return false,
        };
        let sent = match &mut watcher {
            None => to.write_all(&buffer[..n]),
            Some(watcher) => {
                out.clear();
                if watcher.feed(&buffer[..n], &mut out) {
                    let _ = to.write_all(&out);
                    return true;
                }
                to.write_all(&out)
            }
        };
        if sent.is_err() {
            return false;
        }
    }
}
