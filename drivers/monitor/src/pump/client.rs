//! One attached client: output towards it, input from it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use log_drivers::Stream;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::queue::Queue;
use crate::detach_keys::Matcher;
use crate::protocol::{Attach, EndOfAttach, Framing};
use crate::reactor::{Reactor, Watch};

/// A client that got everything has this long to close its socket before it is closed here: closing with unread input
/// makes the kernel send a reset, which can overtake output that the client has not read.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) attach: Attach,
    socket: OwnedFd,
    watch: Watch,
    queue: Queue,
    keys: Matcher,
    /// Output waits for the replay of the log.
    held: bool,
    pub(crate) input_open: bool,
    /// To be disconnected when the queue is empty.
    ending: Option<EndOfAttach>,
    /// Disconnected; closed by then at the latest.
    lingering: Option<Instant>,
}

/// What reading from a client gave.
pub(crate) enum Input {
    /// Bytes for the container were appended; nothing else.
    Bytes,
    /// Its input has ended.
    End,
    /// It typed the detach keys.
    Detach,
    /// It is gone.
    Gone,
}

impl Client {
    pub(crate) fn new(attach: Attach, socket: OwnedFd, token: u64, terminal: bool) -> Self {
        Client {
            keys: Matcher::new(if terminal {
                attach.detach_keys.clone()
            } else {
                Vec::new()
            }),
            held: attach.replay,
            input_open: attach.stdin,
            attach,
            socket,
            watch: Watch::new(token),
            queue: Queue::default(),
            ending: None,
            lingering: None,
        }
    }

    /// Sends output of the container, or queues what the socket does not take now.
    pub(crate) fn output(&mut self, spool: &Path, stream: Stream, bytes: &[u8]) -> Result<(), EndOfAttach> {
        let wanted = match stream {
            Stream::Stdout => self.attach.stdout,
            Stream::Stderr => self.attach.stderr,
        };
        if !wanted || self.ending.is_some() || self.lingering.is_some() {
            return Ok(());
        }
        let mut header = [0u8; 8];
        let header: &[u8] = match self.attach.framing {
            Framing::Raw => &[],
            Framing::Multiplexed => {
                header[0] = if stream == Stream::Stdout { 1 } else { 2 };
                header[4..].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
                &header
            }
        };
        let mut sent = 0;
        if !self.held && self.queue.is_empty() {
            match super::send_two(&self.socket, header, bytes) {
                Ok(count) => sent = count,
                Err(Errno::AGAIN) => {}
                Err(_) => return Err(EndOfAttach::Gone),
            }
        }
        let rest = [
            &header[sent.min(header.len())..],
            &bytes[sent.saturating_sub(header.len())..],
        ];
        if rest.iter().all(|slice| slice.is_empty()) {
            return Ok(());
        }
        self.queue.push(spool, &rest).map_err(|_| EndOfAttach::TooSlow)
    }

    /// The replay is done.
    pub(crate) fn release(&mut self) {
        self.held = false;
    }

    /// Disconnects it after what is queued has been sent (and its replay is done).
    pub(crate) fn end(&mut self, why: EndOfAttach) {
        self.input_open = false;
        self.ending.get_or_insert(why);
    }

    /// Sends what is queued. `Some` once, when the client is disconnected.
    pub(crate) fn advance(&mut self) -> Option<EndOfAttach> {
        if self.lingering.is_some() || self.held {
            return None;
        }
        match self.queue.send(&self.socket) {
            Ok(false) => None,
            Ok(true) => {
                let why = self.ending.take()?;
                // It may have closed already.
                let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
                self.lingering = Some(Instant::now() + LINGER);
                Some(why)
            }
            Err(_) => Some(EndOfAttach::Gone),
        }
    }

    /// Reads once; input goes through the detach keys to `out`.
    pub(crate) fn read(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> Input {
        match rustix::io::read(&self.socket, &mut *buffer) {
            Ok(0) => Input::End,
            Ok(_) if !self.input_open => Input::Bytes,
            Ok(count) if self.keys.feed(&buffer[..count], out) => Input::Detach,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Input::Bytes,
            Err(_) => Input::Gone,
        }
    }

    /// Sets what epoll shall tell of it. `take_input` is false while the container does not read its input.
    pub(crate) fn watch(&mut self, reactor: &Reactor, take_input: bool) -> Result<(), Errno> {
        let mut interest = EventFlags::empty();
        if self.lingering.is_some() || self.input_open && take_input {
            interest |= EventFlags::IN;
        }
        if !self.held && !self.queue.is_empty() {
            interest |= EventFlags::OUT;
        }
        self.watch.set(reactor, &self.socket, interest)
    }

    /// Stops watching it; its socket may live on in other processes.
    pub(crate) fn unwatch(&mut self, reactor: &Reactor) {
        self.watch.clear(reactor, &self.socket);
    }

    pub(crate) fn is_lingering(&self) -> bool {
        self.lingering.is_some()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lingering
    }
}
