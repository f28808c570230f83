//! One TCP connection through the proxy: two sockets and a pipe each way, bytes never copied to this process.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, SpliceFlags};

use crate::reactor::{Reactor, Watch};

/// As much as an unenlarged pipe holds.
const PIECE: usize = 64 * 1024;

pub(super) struct Connection {
    /// The client, then the container.
    sockets: [OwnedFd; 2],
    watches: [Watch; 2],
    /// `ways[i]` carries from `sockets[i]` to the other.
    ways: [Way; 2],
    connected: bool,
}

struct Way {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes in the pipe.
    held: usize,
    /// The source has ended.
    ended: bool,
    /// The end was passed on.
    closed: bool,
}

impl Way {
    fn new() -> Result<Self, Errno> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Way {
            read,
            write,
            held: 0,
            ended: false,
            closed: false,
        })
    }

    fn carry(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        // A few rounds, so that one fast connection does not hold up the others.
        for _ in 0..8 {
            if self.held == 0 {
                if self.ended {
                    break;
                }
                match rustix::pipe::splice(from, None, &self.write, None, PIECE, flags) {
                    Ok(0) => self.ended = true,
                    Ok(count) => self.held = count,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            while self.held > 0 {
                match rustix::pipe::splice(&self.read, None, to, None, self.held, flags) {
                    Ok(count) => self.held -= count,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        if self.ended && self.held == 0 && !self.closed {
            self.closed = true;
            match rustix::net::shutdown(to, Shutdown::Write) {
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Begins to connect to the target.
    pub(super) fn open(
        reactor: &Reactor,
        token: u64,
        client: OwnedFd,
        target: SocketAddr,
    ) -> Result<Self, Errno> {
        let family = if target.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let server = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&server, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        for socket in [&client, &server] {
            // Splicing in pieces must not wait for acknowledgements.
            let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
        }
        let mut connection = Connection {
            sockets: [client, server],
            watches: [Watch::new(token), Watch::new(token + 1)],
            ways: [Way::new()?, Way::new()?],
            connected: false,
        };
        connection.watches[1].set(reactor, &connection.sockets[1], EventFlags::OUT)?;
        Ok(connection)
    }

    /// Moves what can be moved. An error means that the connection is over.
    pub(super) fn advance(&mut self, reactor: &Reactor) -> Result<(), Errno> {
        if !self.connected {
            rustix::net::sockopt::socket_error(&self.sockets[1])??;
            match rustix::net::getpeername(&self.sockets[1]) {
                Ok(_) => self.connected = true,
                // Woken too early.
                Err(Errno::NOTCONN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        let [there, back] = &mut self.ways;
        let [client, server] = &self.sockets;
        there.carry(client, server)?;
        back.carry(server, client)?;
        if there.closed && back.closed {
            return Err(Errno::CONNRESET);
        }
        let read = |way: &Way| {
            if way.held == 0 && !way.ended {
                EventFlags::IN
            } else {
                EventFlags::empty()
            }
        };
        let write = |way: &Way| {
            if way.held > 0 {
                EventFlags::OUT
            } else {
                EventFlags::empty()
            }
        };
        let interests = [read(there) | write(back), read(back) | write(there)];
        for ((watch, socket), interest) in self.watches.iter_mut().zip(&self.sockets).zip(interests) {
            watch.set(reactor, socket, interest)?;
        }
        Ok(())
    }
}
