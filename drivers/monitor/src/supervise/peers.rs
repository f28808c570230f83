//! The daemons that are connected: usually one, none while it is away, two while one takes over from another.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::epoll::EventFlags;

use crate::channel::{Channel, ChannelError};
use crate::protocol::{Report, Request};
use crate::reactor::{Reactor, Watch};

/// The first token of a peer.
pub(crate) const PEERS: u64 = 2 << 32;
/// More daemons than this at once are a mistake.
const MOST: usize = 8;

#[derive(Debug)]
struct Peer {
    token: u64,
    channel: Channel,
    watch: Watch,
}

#[derive(Debug, Default)]
pub(crate) struct Peers {
    list: Vec<Peer>,
    count: u64,
}

impl Peers {
    pub(crate) fn add(&mut self, reactor: &Reactor, channel: Channel) {
        if self.list.len() >= MOST {
            self.list.remove(0);
        }
        let token = PEERS + self.count;
        self.count += 1;
        let mut watch = Watch::new(token);
        let is_watched =
            channel.set_nonblocking(true).is_ok() && watch.set(reactor, &channel, EventFlags::IN).is_ok();
        if is_watched {
            self.list.push(Peer {
                token,
                channel,
                watch,
            });
        }
    }

    /// Adds a new connection and greets it.
    pub(crate) fn welcome(&mut self, reactor: &Reactor, channel: Channel, hello: &Report) {
        if channel.send(hello, &[]).is_ok() {
            self.add(reactor, channel);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sends to everyone. A peer whose socket takes no more is stuck: it is dropped, and learns all from `Hello` when it
    /// comes back.
    pub(crate) fn broadcast(&mut self, reactor: &Reactor, report: &Report, fds: &[BorrowedFd<'_>]) {
        for at in (0..self.list.len()).rev() {
            if self.list[at].channel.send(report, fds).is_err() {
                self.drop_peer(reactor, at);
            }
        }
    }

    pub(crate) fn send(&mut self, reactor: &Reactor, token: u64, report: &Report, fds: &[BorrowedFd<'_>]) {
        if let Some(at) = self.list.iter().position(|peer| peer.token == token)
            && self.list[at].channel.send(report, fds).is_err()
        {
            self.drop_peer(reactor, at);
        }
    }

    /// The next request of a peer; `None` when there is none now, or the peer is gone.
    pub(crate) fn receive(&mut self, reactor: &Reactor, token: u64) -> Option<(Request, Vec<OwnedFd>)> {
        let at = self.list.iter().position(|peer| peer.token == token)?;
        loop {
            match self.list[at].channel.receive::<Request>() {
                Ok(received) => return Some((received.message, received.fds)),
                Err(error @ ChannelError::Malformed { .. }) => {
                    // A newer daemon: say so and go on.
                    let unknown = Report::Unknown {
                        message: error.to_string(),
                    };
                    drop(self.list[at].channel.send(&unknown, &[]));
                }
                Err(error) => {
                    if !error.is_would_block() {
                        self.drop_peer(reactor, at);
                    }
                    return None;
                }
            }
        }
    }

    /// Everything that all peers have sent until now.
    pub(crate) fn receive_all(&mut self, reactor: &Reactor) -> Vec<(u64, Request, Vec<OwnedFd>)> {
        let mut all = Vec::new();
        let tokens: Vec<u64> = self.list.iter().map(|peer| peer.token).collect();
        for token in tokens {
            while let Some((request, fds)) = self.receive(reactor, token) {
                all.push((token, request, fds));
            }
        }
        all
    }

    fn drop_peer(&mut self, reactor: &Reactor, at: usize) {
        let mut peer = self.list.remove(at);
        peer.watch.clear(reactor, &peer.channel);
    }
}
