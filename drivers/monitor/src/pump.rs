//! The streams of one process: output to the log and to the attached clients, input from them.
//!
//! Nothing here ever waits for a client: what it does not read at once is queued ([`queue::Queue`]). The container waits
//! only for this process and the disk, and not even for the disk where the log is [`buffered`]. Input is the reverse: a
//! client waits until the container reads.

mod attached;
mod buffered;
mod client;
mod log;
mod queue;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use log_drivers::{Stream, Timestamp};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use self::client::Client;
pub(crate) use self::log::Log;
use self::log::LogError;
use crate::protocol::Report;
use crate::reactor::{Reactor, Watch};

/// One read from the container. The pipe holds more, so that it can write on meanwhile.
const CHUNK: usize = 64 * 1024;
/// Capacity of the container's pipes.
pub(crate) const PIPE: usize = 256 * 1024;
/// Input that the container has not read yet; above it, clients wait.
const INPUT_LIMIT: usize = 64 * 1024;

/// The tokens that a pump uses in its reactor; clients have `CLIENTS` plus a number.
pub(crate) const STDOUT: u64 = 1;
pub(crate) const STDERR: u64 = 2;
pub(crate) const STDIN: u64 = 3;
pub(crate) const LOG: u64 = 4;
pub(crate) const CLIENTS: u64 = 1 << 32;

/// What the pump needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    /// A terminal: raw streams, detach keys.
    pub(crate) tty: bool,
    /// The first input that ends closes the container's.
    pub(crate) stdin_once: bool,
    /// Directory of spool files.
    pub(crate) spool: PathBuf,
}

/// Our ends of the streams; a terminal has no `stderr`, and its master twice.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

#[derive(Debug)]
struct Output {
    file: Option<OwnedFd>,
    watch: Watch,
}

#[derive(Debug)]
pub(crate) struct Pump {
    settings: Settings,
    outputs: [Output; 2],
    stdin: Option<OwnedFd>,
    stdin_watch: Watch,
    /// Input that the container has not taken; `None` in `stdin` throws it away.
    pending: Vec<u8>,
    taken: usize,
    close_stdin: bool,
    clients: Vec<(u64, Client)>,
    next_token: u64,
    log: Option<Log>,
    log_failed: bool,
    buffer: Vec<u8>,
    reports: VecDeque<Report>,
}

impl Pump {
    pub(crate) fn new(settings: Settings) -> Self {
        let output = |token| Output {
            file: None,
            watch: Watch::new(token),
        };
        Pump {
            settings,
            outputs: [output(STDOUT), output(STDERR)],
            stdin: None,
            stdin_watch: Watch::new(STDIN),
            pending: Vec::new(),
            taken: 0,
            close_stdin: false,
            clients: Vec::new(),
            next_token: CLIENTS,
            log: None,
            log_failed: false,
            buffer: Vec::new(),
            reports: VecDeque::new(),
        }
    }

    /// Logs the output from now on.
    pub(crate) fn set_log(&mut self, log: Log) {
        self.log = Some(log);
    }

    /// Takes over our ends of the process's streams.
    pub(crate) fn connect(&mut self, reactor: &Reactor, ends: Ends) -> Result<(), Errno> {
        for (output, file) in self.outputs.iter_mut().zip([ends.stdout, ends.stderr]) {
            if let Some(file) = &file {
                rustix::io::ioctl_fionbio(file, true)?;
                output.watch.set(reactor, file, EventFlags::IN)?;
            }
            output.file = file;
        }
        if let Some(file) = &ends.stdin {
            rustix::io::ioctl_fionbio(file, true)?;
        }
        self.stdin = ends.stdin;
        self.drain_input(reactor);
        Ok(())
    }

    /// Handles an event of a token that belongs to the pump.
    pub(crate) fn event(&mut self, reactor: &Reactor, token: u64, flags: EventFlags) {
        match token {
            STDOUT => drop(self.read_output(reactor, Stream::Stdout)),
            STDERR => drop(self.read_output(reactor, Stream::Stderr)),
            STDIN => {
                if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                    self.drop_stdin(reactor);
                } else {
                    self.drain_input(reactor);
                }
            }
            LOG => {
                if let Some(log) = &mut self.log {
                    let result = log.event();
                    self.note_log(result);
                }
            }
            _ => self.client_event(reactor, token, flags),
        }
    }

    /// Reads once from an output; the number of bytes, `None` when there is nothing (more).
    fn read_output(&mut self, reactor: &Reactor, stream: Stream) -> Option<usize> {
        let file = self.outputs[stream as usize].file.as_ref()?;
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK];
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = rustix::io::read(file, &mut buffer[..]);
        let got = match result {
            Ok(count) if count > 0 => {
                self.distribute(reactor, stream, &buffer[..count]);
                Some(count)
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            // A terminal whose last user is gone answers EIO.
            Ok(_) | Err(_) => {
                self.end_output(reactor, stream);
                None
            }
        };
        self.buffer = buffer;
        got
    }

    fn distribute(&mut self, reactor: &Reactor, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            let result = log.write(stream, Timestamp::now(), bytes);
            self.note_log(result);
        }
        let mut at = 0;
        while at < self.clients.len() {
            let client = &mut self.clients[at].1;
            match client.output(&self.settings.spool, stream, bytes) {
                Ok(()) => {
                    // Only watches for room if something is queued now.
                    let _ = client.watch(reactor, self.pending.len() - self.taken < INPUT_LIMIT);
                    at += 1;
                }
                Err(why) => self.remove(reactor, at, Some(why)),
            }
        }
    }

    fn end_output(&mut self, reactor: &Reactor, stream: Stream) {
        let output = &mut self.outputs[stream as usize];
        if let Some(file) = output.file.take() {
            output.watch.clear(reactor, &file);
        }
        if let Some(log) = &mut self.log {
            let result = log.finish(stream, Timestamp::now());
            self.note_log(result);
        }
    }

    /// The process is over: takes what its streams still hold (never waiting for their end, other processes may keep
    /// them open), flushes the log, and ends every client once it has everything.
    pub(crate) fn finish(&mut self, reactor: &Reactor) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            // What fits into the pipe was there at the process's end; more is somebody else's.
            let mut left = 2 * PIPE;
            while let Some(count) = self.read_output(reactor, stream) {
                left = left.saturating_sub(count);
                self.flush_log(reactor);
                if left == 0 {
                    break;
                }
            }
            if self.outputs[stream as usize].file.is_some() {
                self.end_output(reactor, stream);
            }
        }
        if let Some(log) = self.log.take() {
            let result = log.close();
            self.note_log(result);
        }
        self.drop_stdin(reactor);
        self.end_clients(reactor);
    }

    /// Puts gathered lines on disk, or on their way to it.
    pub(crate) fn flush_log(&mut self, reactor: &Reactor) {
        if let Some(log) = &mut self.log {
            let result = log.flush(reactor);
            self.note_log(result);
        }
    }

    fn note_log(&mut self, result: Result<(), LogError>) {
        match result {
            Ok(()) => self.log_failed = false,
            Err(error) => {
                // Once per outage, not once per line.
                if !std::mem::replace(&mut self.log_failed, true) {
                    let message = error.to_string();
                    self.reports.push_back(Report::LogFailed { message });
                }
            }
        }
    }

    /// Whether a log file was rotated away and wants to be compressed.
    pub(crate) fn take_rotated(&mut self) -> bool {
        self.log.as_mut().is_some_and(Log::take_rotated)
    }

    /// Gives back memory that only bursts need.
    pub(crate) fn shrink(&mut self) {
        self.buffer = Vec::new();
        self.pending.shrink_to_fit();
        if let Some(log) = &mut self.log {
            log.shrink();
        }
        linux::process::release_free_memory();
    }

    /// Whether [`Pump::shrink`] would give anything back.
    pub(crate) fn is_bloated(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Sets the terminal's size; `None` if there is no terminal.
    pub(crate) fn terminal(&self) -> Option<impl AsFd + '_> {
        if !self.settings.tty {
            return None;
        }
        self.outputs[0].file.as_ref()
    }

    /// The next report for the daemon.
    pub(crate) fn take_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }
}

/// `send(2)` without SIGPIPE and without waiting; also for files that are no sockets.
fn send(socket: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
    match rustix::io::retry_on_intr(|| rustix::net::send(&socket, bytes, flags)) {
        Err(Errno::NOTSOCK) => rustix::io::retry_on_intr(|| rustix::io::write(&socket, bytes)),
        other => other,
    }
}

/// As [`send`], for a header and what follows it.
fn send_two(socket: &OwnedFd, header: &[u8], bytes: &[u8]) -> Result<usize, Errno> {
    if header.is_empty() {
        return send(socket, bytes);
    }
    let slices = [std::io::IoSlice::new(header), std::io::IoSlice::new(bytes)];
    // Rust programs ignore SIGPIPE, so that writev gives EPIPE.
    rustix::io::retry_on_intr(|| rustix::io::writev(socket, &slices))
}
