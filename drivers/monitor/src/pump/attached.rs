//! The clients of a pump, and the input that they give.

use std::os::fd::OwnedFd;
use std::time::Instant;

use log_drivers::{Position, Stream};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::client::{Client, Input};
use super::{INPUT_LIMIT, Pump};
use crate::protocol::{Attach, EndOfAttach, Report};
use crate::reactor::Reactor;

impl Pump {
    /// Connects a client.
    pub(crate) fn attach(&mut self, reactor: &Reactor, attach: Attach, socket: OwnedFd) {
        let id = attach.client;
        if rustix::io::ioctl_fionbio(&socket, true).is_err() {
            self.reports.push_back(Report::AttachEnded {
                client: id,
                why: EndOfAttach::Gone,
            });
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let replay = attach.replay;
        let mut client = Client::new(attach, socket, token, self.settings.tty);
        let mut position = Position::default();
        self.flush_log(reactor);
        if let Some(log) = &self.log {
            position = log.position();
            if replay {
                // It is not in the log yet, but was already seen by others: it belongs to the live part.
                for (stream, bytes) in log.unwritten() {
                    let _ = client.output(&self.settings.spool, stream, bytes);
                }
            }
        }
        self.reports.push_back(Report::Attached { client: id, position });
        self.clients.push((token, client));
        self.settle(reactor, self.clients.len() - 1);
    }

    pub(crate) fn release(&mut self, reactor: &Reactor, id: u64) {
        self.with_client(reactor, id, |client| client.release());
    }

    pub(crate) fn detach(&mut self, reactor: &Reactor, id: u64) {
        self.with_client(reactor, id, |client| {
            client.end(EndOfAttach::Eof);
            client.release();
        });
    }

    /// Nobody is left who could finish a replay.
    pub(crate) fn release_all(&mut self, reactor: &Reactor) {
        for at in (0..self.clients.len()).rev() {
            self.clients[at].1.release();
            self.settle(reactor, at);
        }
    }

    /// A relayed client's input has ended.
    pub(crate) fn end_of_input(&mut self, reactor: &Reactor, id: u64) {
        let was_open = self
            .clients
            .iter_mut()
            .find(|(_, client)| client.attach.client == id)
            .is_some_and(|(_, client)| std::mem::take(&mut client.input_open));
        if was_open {
            self.input_ended(reactor);
        }
    }

    pub(super) fn with_client(&mut self, reactor: &Reactor, id: u64, change: impl FnOnce(&mut Client)) {
        let found = |(_, client): &(u64, Client)| client.attach.client == id && !client.is_lingering();
        if let Some(at) = self.clients.iter().position(found) {
            change(&mut self.clients[at].1);
            self.settle(reactor, at);
        }
    }

    pub(super) fn client_event(&mut self, reactor: &Reactor, token: u64, flags: EventFlags) {
        let Some(at) = self.clients.iter().position(|(known, _)| *known == token) else {
            return;
        };
        if flags.intersects(EventFlags::IN) {
            self.read_input(reactor, at);
        } else if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            self.remove(reactor, at, Some(EndOfAttach::Gone));
        } else {
            self.settle(reactor, at);
        }
    }

    pub(super) fn read_input(&mut self, reactor: &Reactor, at: usize) {
        let mut chunk = [0u8; 16 * 1024];
        let client = &mut self.clients[at].1;
        match client.read(&mut chunk, &mut self.pending) {
            Input::Bytes => self.settle(reactor, at),
            Input::End if client.is_lingering() => self.remove(reactor, at, None),
            Input::End => {
                client.input_open = false;
                let relayed = client.attach.relayed;
                self.settle(reactor, at);
                if !relayed {
                    self.input_ended(reactor);
                }
            }
            Input::Detach => {
                client.end(EndOfAttach::Detached);
                self.settle(reactor, at);
            }
            Input::Gone => self.remove(reactor, at, Some(EndOfAttach::Gone)),
        }
        self.drain_input(reactor);
    }

    pub(super) fn input_ended(&mut self, reactor: &Reactor) {
        if self.settings.stdin_once && !self.settings.tty {
            self.close_stdin = true;
            self.drain_input(reactor);
        }
    }

    /// Gives the container what it takes of the pending input.
    pub(super) fn drain_input(&mut self, reactor: &Reactor) {
        let was_full = self.pending.len() - self.taken >= INPUT_LIMIT;
        while let Some(stdin) = &self.stdin
            && self.taken < self.pending.len()
        {
            match rustix::io::write(stdin, &self.pending[self.taken..]) {
                Ok(count) => self.taken += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.drop_stdin(reactor),
            }
        }
        if self.taken == self.pending.len() {
            self.pending.clear();
            self.taken = 0;
            if self.close_stdin {
                self.drop_stdin(reactor);
            }
        }
        if let Some(stdin) = &self.stdin {
            let interest = if self.pending.is_empty() {
                EventFlags::empty()
            } else {
                EventFlags::OUT
            };
            let _ = self.stdin_watch.set(reactor, stdin, interest);
        }
        let is_full = self.pending.len() - self.taken >= INPUT_LIMIT;
        if was_full != is_full {
            for (_, client) in &mut self.clients {
                let _ = client.watch(reactor, !is_full);
            }
        }
    }

    pub(super) fn drop_stdin(&mut self, reactor: &Reactor) {
        if let Some(stdin) = self.stdin.take() {
            self.stdin_watch.clear(reactor, &stdin);
        }
        self.pending.clear();
        self.taken = 0;
    }

    /// Sends what is queued for a client, ends it if it is to be ended, and watches for what is left.
    pub(super) fn settle(&mut self, reactor: &Reactor, at: usize) {
        let is_full = self.pending.len() - self.taken >= INPUT_LIMIT;
        let client = &mut self.clients[at].1;
        match client.advance() {
            Some(EndOfAttach::Gone) => return self.remove(reactor, at, Some(EndOfAttach::Gone)),
            Some(why) => {
                let id = client.attach.client;
                self.reports.push_back(Report::AttachEnded { client: id, why });
            }
            None => {}
        }
        if client.watch(reactor, !is_full).is_err() {
            self.remove(reactor, at, Some(EndOfAttach::Gone));
        }
    }

    pub(super) fn remove(&mut self, reactor: &Reactor, at: usize, why: Option<EndOfAttach>) {
        let (_, mut client) = self.clients.swap_remove(at);
        client.unwatch(reactor);
        let was_its_input = client.input_open && !client.attach.relayed;
        if let Some(why) = why.filter(|_| !client.is_lingering()) {
            self.reports.push_back(Report::AttachEnded {
                client: client.attach.client,
                why,
            });
        }
        drop(client);
        if was_its_input {
            self.input_ended(reactor);
        }
    }

    /// Shows a message of the engine to every client, as if it were output.
    pub(crate) fn tell_clients(&mut self, reactor: &Reactor, text: &[u8]) {
        self.distribute(reactor, Stream::Stdout, text);
    }

    /// Ends every client after what is queued for it.
    pub(crate) fn end_clients(&mut self, reactor: &Reactor) {
        for at in (0..self.clients.len()).rev() {
            self.clients[at].1.end(EndOfAttach::Eof);
            self.settle(reactor, at);
        }
    }

    /// When a lingering client has to be closed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.clients
            .iter()
            .filter_map(|(_, client)| client.deadline())
            .min()
    }

    /// Closes lingering clients whose time is over.
    pub(crate) fn expire(&mut self, reactor: &Reactor, now: Instant) {
        for at in (0..self.clients.len()).rev() {
            if self.clients[at]
                .1
                .deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                self.remove(reactor, at, None);
            }
        }
    }

    /// Attached clients.
    pub(crate) fn clients(&self) -> Vec<u64> {
        let live = self.clients.iter().filter(|(_, client)| !client.is_lingering());
        live.map(|(_, client)| client.attach.client).collect()
    }

    /// Whether no client is left, not even a lingering one.
    pub(crate) fn is_deserted(&self) -> bool {
        self.clients.is_empty()
    }
}
