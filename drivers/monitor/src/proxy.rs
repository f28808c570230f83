//! The port proxy: one process that serves all published ports of one container.
//!
//! It holds the sockets that the daemon bound, and passes what comes in on to the container's address. Most traffic never
//! comes here (nftables redirects it); what does is that of the host itself, of `[::1]`, and of a container that talks to
//! its own published port. TCP is spliced both ways with half-close; UDP has a socket per client.

mod tcp;
mod udp;

use std::ffi::{CString, OsString};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use linux::process::{Child, Program, Spawn};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::process::Resource;

use self::tcp::Connection;
use self::udp::Flows;
use crate::plan::Protocol;
use crate::protocol::PortTarget;
use crate::reactor::{Reactor, Watch};

/// Number of the first inherited socket.
const FIRST_SOCKET: i32 = 3;
/// A UDP client that is silent for so long is forgotten, as Docker's proxy does.
const UDP_IDLE: Duration = Duration::from_secs(90);
/// Tokens of connections and flows; below are listeners.
const DYNAMIC: u64 = 1 << 32;

/// Starts the proxy face with these sockets; it ends when this process does.
pub(crate) fn spawn(ports: &[(PortTarget, OwnedFd)]) -> linux::Result<Child> {
    let exe = crate::own_program()?;
    let mut arguments = vec![c"dhow-runtime".to_owned(), c"proxy".to_owned()];
    for (port, _) in ports {
        let name = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        arguments.push(CString::new(format!("{name}={}", port.target)).map_err(|_| Errno::INVAL)?);
    }
    let mut spawn = Spawn::new(Program::Fd(exe.as_fd()), arguments).death_signal(crate::SIGKILL);
    for (number, (_, socket)) in (FIRST_SOCKET..).zip(ports) {
        spawn = spawn.fd(socket.as_fd(), number);
    }
    spawn.start()
}

/// One published port.
enum Port {
    Tcp { listener: OwnedFd, target: SocketAddr },
    Udp(Flows),
}

/// The face. `args` are `tcp=ADDRESS` or `udp=ADDRESS`, one per inherited socket. The exit code.
pub(crate) fn run(args: &[OsString]) -> i32 {
    match serve(args) {
        Ok(()) => 0,
        Err(errno) => errno.raw_os_error(),
    }
}

fn serve(args: &[OsString]) -> Result<(), Errno> {
    // Six files per connection.
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    let mut reactor = Reactor::new()?;
    let mut ports = Vec::new();
    for (number, arg) in (FIRST_SOCKET..).zip(args) {
        let (protocol, target) = arg
            .to_str()
            .and_then(|text| text.split_once('='))
            .ok_or(Errno::INVAL)?;
        let target: SocketAddr = target.parse().map_err(|_| Errno::INVAL)?;
        let socket = linux::fd::inherited(number)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Watch::new(ports.len() as u64).set(&reactor, &socket, EventFlags::IN)?;
        ports.push(match protocol {
            "tcp" => Port::Tcp {
                listener: socket,
                target,
            },
            "udp" => Port::Udp(Flows::new(socket, target)),
            _ => return Err(Errno::INVAL),
        });
    }
    let mut table = Table::default();
    loop {
        let timeout = table.has_flows().then_some(UDP_IDLE / 3);
        for (token, _) in reactor.wait(timeout)? {
            match ports.get_mut(token as usize).filter(|_| token < DYNAMIC) {
                Some(Port::Tcp { listener, target }) => table.accept(&reactor, listener, *target),
                Some(Port::Udp(flows)) => flows.pass_on(&reactor, &mut table, token as usize),
                None => table.event(&reactor, token, &mut ports),
            }
        }
        if table.has_flows() {
            let now = Instant::now();
            for port in &mut ports {
                if let Port::Udp(flows) = port {
                    flows.expire(&mut table, now);
                }
            }
        }
    }
}

/// What a dynamic token stands for.
enum Served {
    Connection(Box<Connection>),
    /// A flow of the port with this number.
    Flow {
        port: usize,
        client: SocketAddr,
    },
}

/// All connections and flows by token. A connection has two tokens, `2n` for the client and `2n + 1` for the container.
#[derive(Default)]
struct Table {
    served: std::collections::HashMap<u64, Served>,
    count: u64,
    flows: usize,
}

impl Table {
    fn next(&mut self) -> u64 {
        self.count += 1;
        DYNAMIC + self.count * 2
    }

    fn has_flows(&self) -> bool {
        self.flows > 0
    }

    fn add_flow(&mut self, port: usize, client: SocketAddr) -> u64 {
        let token = self.next();
        self.served.insert(token, Served::Flow { port, client });
        self.flows += 1;
        token
    }

    fn remove_flow(&mut self, token: u64) {
        if self.served.remove(&token).is_some() {
            self.flows -= 1;
        }
    }

    fn accept(&mut self, reactor: &Reactor, listener: &OwnedFd, target: SocketAddr) {
        // Bounded, so that no port starves the others; level-triggered epoll asks again.
        for _ in 0..32 {
            let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
            let client = match rustix::net::accept_with(listener, flags) {
                Ok(client) => client,
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(_) => return,
            };
            let token = self.next();
            // If it fails the client is disconnected by the drop.
            if let Ok(connection) = Connection::open(reactor, token, client, target) {
                self.served
                    .insert(token, Served::Connection(Box::new(connection)));
            }
        }
    }

    fn event(&mut self, reactor: &Reactor, token: u64, ports: &mut [Port]) {
        let base = token & !1;
        match self.served.get_mut(&base) {
            Some(Served::Connection(connection)) => {
                let is_over = connection.advance(reactor).is_err();
                if is_over {
                    self.served.remove(&base);
                }
            }
            Some(Served::Flow { port, client }) => {
                if let Some(Port::Udp(flows)) = ports.get_mut(*port) {
                    flows.pass_back(*client);
                }
            }
            None => {}
        }
    }
}
