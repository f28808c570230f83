//! Tracked connections: forgetting those that a published port has made stale
//! (linux/netfilter/nfnetlink_conntrack.h).

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::error::{Error, allow_missing};
use crate::message::{Buffer, attributes, family, find, ip, ip_bytes};
use crate::socket::Socket;

const SUBSYSTEM: u16 = 1 << 8;
const IPCTNL_MSG_CT_GET: u16 = SUBSYSTEM | 1;
const IPCTNL_MSG_CT_DELETE: u16 = SUBSYSTEM | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;

/// Which end of a connection to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Connections that were first sent to this protocol and port on this machine (any address).
    OriginalPort {
        /// 2 or 10.
        family: u8,
        /// The transport protocol's number.
        protocol: u8,
        /// The port.
        port: u16,
    },
    /// Connections whose answers come from this address: those to a container.
    ReplySource(IpAddr),
    /// Connections that this address began.
    OriginalSource(IpAddr),
}

#[derive(Debug, Default, Clone)]
struct Tuple {
    source: Option<IpAddr>,
    protocol: u8,
    destination_port: u16,
    raw: Vec<u8>,
}

/// A socket to connection tracking of one network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Open a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Conntrack, Error> {
        Ok(Conntrack {
            socket: Socket::open(Some(rustix::net::netlink::NETFILTER), 0)?,
        })
    }

    /// On a socket that was opened elsewhere, such as in another network namespace; its answers are not trusted.
    pub fn from_fd(fd: OwnedFd) -> Conntrack {
        Conntrack {
            socket: Socket::from_fd(fd),
        }
    }

    /// Forget all connections that match any of the filters: every packet that still comes is judged by the rules
    /// anew. The kernel walks its table by itself; before Linux 5.8 it is listed and each match deleted.
    pub fn forget(&mut self, filters: &[Filter]) -> Result<(), Error> {
        for filter in filters {
            let flushed = self.socket.request(
                IPCTNL_MSG_CT_DELETE,
                0,
                || "forget tracked connections".to_owned(),
                |b| {
                    b.fixed(&crate::nft::header(filter.family(), 0));
                    filter.encode(b);
                },
            );
            match flushed {
                // An old kernel takes the filter for a connection, and an incomplete one.
                Err(e) if e.is(Errno::INVAL) => self.forget_one_by_one(*filter)?,
                other => allow_missing(other)?,
            }
        }
        Ok(())
    }

    /// How many connections match.
    pub fn count(&mut self, filter: Filter) -> Result<usize, Error> {
        Ok(self.matching(filter.family(), &[filter])?.len())
    }

    fn forget_one_by_one(&mut self, filter: Filter) -> Result<(), Error> {
        for original in self.matching(filter.family(), &[filter])? {
            let deleted = self.socket.request(
                IPCTNL_MSG_CT_DELETE,
                0,
                || "forget a tracked connection".to_owned(),
                |b| {
                    b.fixed(&crate::nft::header(filter.family(), 0));
                    b.attr(CTA_TUPLE_ORIG | 0x8000, &original);
                },
            );
            allow_missing(deleted)?;
        }
        Ok(())
    }

    /// The original tuples, as raw attributes, of the connections that match.
    fn matching(&mut self, number: u8, filters: &[Filter]) -> Result<Vec<Vec<u8>>, Error> {
        let found = self.socket.dump(
            IPCTNL_MSG_CT_GET,
            || "list tracked connections".to_owned(),
            |b| {
                b.fixed(&crate::nft::header(number, 0));
            },
            |payload| {
                let rest = payload.get(4..)?;
                let original = tuple(find(rest, CTA_TUPLE_ORIG)?);
                let reply = tuple(find(rest, CTA_TUPLE_REPLY)?);
                filters
                    .iter()
                    .any(|f| f.matches(&original, &reply))
                    .then_some(original.raw)
            },
        );
        match found {
            // A kernel without conntrack has nothing to forget.
            Err(e) if e.is(Errno::INVAL) || e.is(Errno::OPNOTSUPP) => Ok(Vec::new()),
            other => other,
        }
    }
}

impl Filter {
    fn family(self) -> u8 {
        match self {
            Filter::OriginalPort { family, .. } => family,
            Filter::ReplySource(address) | Filter::OriginalSource(address) => family(address),
        }
    }

    /// The tuple with what matters, and which of its parts that are (`CTA_FILTER_F_*` in nf_conntrack_netlink.c).
    fn encode(self, b: &mut Buffer) {
        const IP_SOURCE: u32 = 1;
        const PROTO_NUM_AND_DST_PORT: u32 = 1 << 3 | 1 << 5;
        let source = |b: &mut Buffer, address: IpAddr| {
            b.nest(CTA_TUPLE_IP, |b| {
                b.attr(if address.is_ipv4() { 1 } else { 3 }, &ip_bytes(address));
            });
        };
        let (original, reply) = match self {
            Filter::OriginalPort { protocol, port, .. } => {
                b.nest(CTA_TUPLE_ORIG, |b| {
                    b.nest(CTA_TUPLE_PROTO, |b| {
                        b.attr(1, &[protocol]).attr(3, &port.to_be_bytes());
                    });
                });
                (PROTO_NUM_AND_DST_PORT, 0)
            }
            Filter::OriginalSource(address) => {
                b.nest(CTA_TUPLE_ORIG, |b| source(b, address));
                (IP_SOURCE, 0)
            }
            Filter::ReplySource(address) => {
                b.nest(CTA_TUPLE_REPLY, |b| source(b, address));
                (0, IP_SOURCE)
            }
        };
        b.nest(CTA_FILTER, |b| {
            b.u32(1, original).u32(2, reply);
        });
    }

    fn matches(self, original: &Tuple, reply: &Tuple) -> bool {
        match self {
            Filter::OriginalPort { protocol, port, .. } => {
                original.protocol == protocol && original.destination_port == port
            }
            Filter::ReplySource(address) => reply.source == Some(address),
            Filter::OriginalSource(address) => original.source == Some(address),
        }
    }
}

fn tuple(bytes: &[u8]) -> Tuple {
    let mut tuple = Tuple {
        raw: bytes.to_vec(),
        ..Tuple::default()
    };
    for (_, value) in find(bytes, CTA_TUPLE_IP)
        .into_iter()
        .flat_map(attributes)
        .filter(|(k, _)| *k == 1 || *k == 3)
    {
        tuple.source = ip(value);
    }
    for (kind, value) in find(bytes, CTA_TUPLE_PROTO).into_iter().flat_map(attributes) {
        match (kind, value) {
            (1, [protocol, ..]) => tuple.protocol = *protocol,
            (3, [high, low, ..]) => tuple.destination_port = u16::from_be_bytes([*high, *low]),
            _ => {}
        }
    }
    tuple
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_read_and_matched() {
        let mut b = Buffer::default();
        let address: IpAddr = "10.1.2.3".parse().unwrap();
        b.nest(CTA_TUPLE_IP, |b| {
            b.attr(1, &ip_bytes(address)).attr(2, &[9, 9, 9, 9]);
        });
        b.nest(CTA_TUPLE_PROTO, |b| {
            b.attr(1, &[17])
                .attr(2, &1000u16.to_be_bytes())
                .attr(3, &53u16.to_be_bytes());
        });
        let t = tuple(b.as_slice());
        let none = Tuple::default();
        assert!(
            Filter::OriginalPort {
                family: 2,
                protocol: 17,
                port: 53
            }
            .matches(&t, &none)
        );
        assert!(
            !Filter::OriginalPort {
                family: 2,
                protocol: 6,
                port: 53
            }
            .matches(&t, &none)
        );
        assert!(Filter::OriginalSource(address).matches(&t, &none));
        assert!(Filter::ReplySource(address).matches(&none, &t));
    }
}
