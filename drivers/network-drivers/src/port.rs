//! Published ports: their names, and the binding of their host side.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP: forwarded by the firewall only, never proxied.
    Sctp,
}

impl Protocol {
    /// The number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host port that leads to a container's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortBinding {
    /// The host address; `0.0.0.0` and `::` stand for all of their family.
    pub host_ip: IpAddr,
    /// The host port.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Why a host port could not be had. The texts are Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another container has it.
    #[error("Bind for {} failed: port is already allocated", SocketAddr::new(*ip, *port))]
    Allocated {
        /// The host address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// Somebody else has it, or the address is not the host's.
    #[error("listen {protocol}{} {address}: bind: {why}", if address.is_ipv4() { 4 } else { 6 })]
    Bind {
        /// The protocol.
        protocol: Protocol,
        /// What was tried.
        address: SocketAddr,
        /// The kernel's reason, in lower case.
        why: String,
    },
    /// Every port of the range is taken.
    #[error("Bind for {ip}:{first}-{last} failed: all ports are allocated")]
    RangeExhausted {
        /// The host address.
        ip: IpAddr,
        /// The range's first port.
        first: u16,
        /// Its last.
        last: u16,
    },
}

/// How long a process that held a port may take to end after the port was given back.
const LINGER: Duration = Duration::from_secs(10);

/// Which host ports this daemon's containers have, with the endpoint that has each.
#[derive(Debug, Default)]
pub struct PortTable {
    taken: BTreeMap<(Protocol, u16), Vec<(IpAddr, String)>>,
    /// Where the search for a free port goes on.
    cursor: u16,
    /// Ports given back a moment ago: their sockets may still be open in a process that is about to end.
    left: BTreeMap<(Protocol, u16), Instant>,
}

/// A port that was had: the sockets are in the order of the addresses that were asked for; none for SCTP, which only
/// the firewall forwards.
pub type Claimed = (u16, Vec<OwnedFd>);

impl PortTable {
    /// Have one port of `ports` (or of the ephemeral range) on all of `addresses` at once, bound. Nothing is kept when
    /// that fails.
    pub fn claim(
        &mut self,
        addresses: &[IpAddr],
        ports: Option<RangeInclusive<u16>>,
        protocol: Protocol,
        endpoint: &str,
    ) -> Result<Claimed, Error> {
        let (range, start) = match ports {
            Some(range) => (range.clone(), *range.start()),
            None => {
                let range = ephemeral();
                let start = if range.contains(&self.cursor) {
                    self.cursor
                } else {
                    *range.start()
                };
                (range, start)
            }
        };
        let single = range.start() == range.end();
        let candidates = (start..=*range.end()).chain(*range.start()..start);
        for port in candidates {
            match self.try_claim(addresses, port, protocol) {
                Ok(sockets) => {
                    self.cursor = port.checked_add(1).unwrap_or(0);
                    for address in addresses {
                        self.note(*address, port, protocol, endpoint);
                    }
                    return Ok((port, sockets));
                }
                Err(e) if single || !matches!(&e, Error::Allocated { .. } | Error::Bind { .. }) => {
                    return Err(e);
                }
                Err(Error::Bind {
                    why,
                    protocol,
                    address,
                }) if !why.contains("in use") => {
                    return Err(Error::Bind {
                        why,
                        protocol,
                        address,
                    });
                }
                Err(_) => {}
            }
        }
        let ip = addresses
            .first()
            .copied()
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        Err(Error::RangeExhausted {
            ip,
            first: *range.start(),
            last: *range.end(),
        })
    }

    /// Note that an endpoint has a port already: its socket outlived the daemon.
    pub fn note(&mut self, address: IpAddr, port: u16, protocol: Protocol, endpoint: &str) {
        let owners = self.taken.entry((protocol, port)).or_default();
        if !owners.iter().any(|(a, e)| *a == address && e == endpoint) {
            owners.push((address, endpoint.to_owned()));
        }
    }

    /// Give back all ports of an endpoint.
    pub fn release(&mut self, endpoint: &str) {
        let now = Instant::now();
        self.left.retain(|_, since| now.duration_since(*since) < LINGER);
        let left = &mut self.left;
        self.taken.retain(|port, owners| {
            let before = owners.len();
            owners.retain(|(_, e)| e != endpoint);
            if owners.len() < before {
                left.insert(*port, now);
            }
            !owners.is_empty()
        });
    }

    /// Whether a port was given back so lately that its socket may still be open elsewhere: try again soon.
    pub fn may_linger(&self, protocol: Protocol, port: u16) -> bool {
        self.left
            .get(&(protocol, port))
            .is_some_and(|since| since.elapsed() < LINGER)
    }

    fn try_claim(&self, addresses: &[IpAddr], port: u16, protocol: Protocol) -> Result<Vec<OwnedFd>, Error> {
        for address in addresses {
            let owners = self
                .taken
                .get(&(protocol, port))
                .map(Vec::as_slice)
                .unwrap_or_default();
            if owners.iter().any(|(a, _)| clash(*a, *address)) {
                return Err(Error::Allocated { ip: *address, port });
            }
        }
        if protocol == Protocol::Sctp {
            return Ok(Vec::new());
        }
        addresses
            .iter()
            .map(|ip| bind(SocketAddr::new(*ip, port), protocol))
            .collect()
    }
}

fn clash(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn ephemeral() -> RangeInclusive<u16> {
    let text = netlink::sysctl::get("net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|w| w.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first <= last => first..=last,
        _ => 49153..=65535,
    }
}

/// Bind, and for TCP listen: a port that is only bound with SO_REUSEADDR could be taken by somebody else.
fn bind(address: SocketAddr, protocol: Protocol) -> Result<OwnedFd, Error> {
    let try_bind = || -> Result<OwnedFd, Errno> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let kind = if protocol == Protocol::Udp {
            SocketType::DGRAM
        } else {
            SocketType::STREAM
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if protocol != Protocol::Udp {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        if protocol != Protocol::Udp {
            rustix::net::listen(&socket, 4096)?;
        }
        Ok(socket)
    };
    try_bind().map_err(|e| Error::Bind {
        protocol,
        address,
        why: reason(e),
    })
}

/// The kernel's reason as Go prints it: lower case, without the number.
fn reason(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    #[test]
    fn a_port_of_another_container_is_refused_in_dockers_words() {
        let mut table = PortTable::default();
        let (port, _sockets) = table.claim(&[local()], None, Protocol::Tcp, "a").unwrap();
        let error = table
            .claim(&[local()], Some(port..=port), Protocol::Tcp, "b")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Bind for 127.0.0.1:{port} failed: port is already allocated")
        );
        let any: IpAddr = "0.0.0.0".parse().unwrap();
        assert!(matches!(
            table.claim(&[any], Some(port..=port), Protocol::Tcp, "b"),
            Err(Error::Allocated { .. })
        ));
        table.release("a");
        drop(_sockets);
        table
            .claim(&[local()], Some(port..=port), Protocol::Tcp, "b")
            .unwrap();
    }

    #[test]
    fn a_port_of_a_stranger_is_refused_in_dockers_words() {
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = stranger.local_addr().unwrap().port();
        let error = PortTable::default()
            .claim(&[local()], Some(port..=port), Protocol::Tcp, "a")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listen tcp4 127.0.0.1:{port}: bind: address already in use")
        );
    }

    #[test]
    fn a_range_gives_its_next_free_port_and_both_families_get_the_same() {
        let mut table = PortTable::default();
        let (first, _a) = table
            .claim(&[local(), "::1".parse().unwrap()], None, Protocol::Udp, "a")
            .unwrap();
        let range = first..=first.saturating_add(20);
        let (second, b) = table
            .claim(
                &[local(), "::1".parse().unwrap()],
                Some(range),
                Protocol::Udp,
                "b",
            )
            .unwrap();
        assert_ne!(first, second);
        assert_eq!(b.len(), 2);
    }
}
