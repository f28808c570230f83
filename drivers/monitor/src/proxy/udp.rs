//! UDP through the proxy: one connected socket per client, so that answers find their way back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{Table, UDP_IDLE};
use crate::reactor::{Reactor, Watch};

/// The largest datagram.
const LARGEST: usize = 64 * 1024;
/// Clients that are remembered per port; the one that was silent longest makes room.
const MOST: usize = 4096;

pub(super) struct Flows {
    socket: OwnedFd,
    target: SocketAddr,
    clients: HashMap<SocketAddr, Flow>,
    buffer: Vec<u8>,
}

struct Flow {
    socket: OwnedFd,
    token: u64,
    last: Instant,
}

impl Flows {
    pub(super) fn new(socket: OwnedFd, target: SocketAddr) -> Self {
        Flows {
            socket,
            target,
            clients: HashMap::new(),
            buffer: vec![0; LARGEST],
        }
    }

    /// Passes datagrams of clients on.
    pub(super) fn pass_on(&mut self, reactor: &Reactor, table: &mut Table, port: usize) {
        for _ in 0..64 {
            let received = rustix::net::recvfrom(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT);
            let (length, client) = match received {
                Ok((length, _, Some(client))) => (length, client),
                // An answer that could not be delivered is reported here; that client is its own problem.
                Ok(_) | Err(Errno::CONNREFUSED | Errno::INTR) => continue,
                Err(_) => return,
            };
            let Ok(client) = SocketAddr::try_from(client) else {
                continue;
            };
            if !self.clients.contains_key(&client) {
                if self.clients.len() >= MOST {
                    self.forget_oldest(table);
                }
                match self.open(reactor, table, port, client) {
                    Ok(flow) => drop(self.clients.insert(client, flow)),
                    Err(_) => continue,
                }
            }
            if let Some(flow) = self.clients.get_mut(&client) {
                flow.last = Instant::now();
                // Datagrams may be lost.
                let _ = rustix::net::send(&flow.socket, &self.buffer[..length], SendFlags::DONTWAIT);
            }
        }
    }

    /// Passes the container's answers back.
    pub(super) fn pass_back(&mut self, client: SocketAddr) {
        let Some(flow) = self.clients.get_mut(&client) else {
            return;
        };
        for _ in 0..64 {
            match rustix::net::recv(&flow.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    flow.last = Instant::now();
                    let _ = rustix::net::sendto(
                        &self.socket,
                        &self.buffer[..length],
                        SendFlags::DONTWAIT,
                        &client,
                    );
                }
                // Nobody listens in the container (yet).
                Err(Errno::CONNREFUSED | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    pub(super) fn expire(&mut self, table: &mut Table, now: Instant) {
        self.clients.retain(|_, flow| {
            let keep = now.duration_since(flow.last) < UDP_IDLE;
            if !keep {
                table.remove_flow(flow.token);
            }
            keep
        });
    }

    fn forget_oldest(&mut self, table: &mut Table) {
        let oldest = self
            .clients
            .iter()
            .min_by_key(|(_, flow)| flow.last)
            .map(|(client, _)| *client);
        if let Some(flow) = oldest.and_then(|client| self.clients.remove(&client)) {
            table.remove_flow(flow.token);
        }
    }

    fn open(
        &self,
        reactor: &Reactor,
        table: &mut Table,
        port: usize,
        client: SocketAddr,
    ) -> Result<Flow, Errno> {
        let family = if self.target.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
        rustix::net::connect(&socket, &self.target)?;
        let token = table.add_flow(port, client);
        if let Err(errno) = Watch::new(token).set(reactor, &socket, EventFlags::IN) {
            table.remove_flow(token);
            return Err(errno);
        }
        Ok(Flow {
            socket,
            token,
            last: Instant::now(),
        })
    }
}
