//! Links: bridges, veth pairs, and changes to any link (rtnetlink(7), linux/if_link.h).

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::error::{Error, allow_missing};
use crate::message::{self, Buffer, CREATE, EXCL};
use crate::socket::Socket;
use crate::{Mac, message::number};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
const IF_OPER_UP: u8 = 6;
/// `IFNAMSIZ`, with the final zero.
const NAME_MAX: usize = 16;

/// A socket to the kernel's routing subsystem: links, addresses, routes, neighbours of one namespace.
#[derive(Debug)]
pub struct Route {
    pub(crate) socket: Socket,
}

/// A link as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is up administratively.
    pub up: bool,
    /// Whether it can carry frames: the kernel has acted on the cable being plugged in (`IF_OPER_UP`).
    pub operational: bool,
    /// Its hardware address; all zero where it has none of six bytes.
    pub mac: Mac,
    /// In bytes.
    pub mtu: u32,
    /// The index of the bridge that it is a port of.
    pub master: Option<u32>,
    /// `bridge`, `veth`, …; empty for hardware.
    pub kind: String,
}

/// A veth pair to be made, the near end up, the far end down.
#[derive(Clone, Copy, Debug)]
pub struct Veth<'a> {
    /// The near end's name.
    pub name: &'a str,
    /// The bridge of the near end.
    pub master: Option<u32>,
    /// The far end's name.
    pub peer_name: &'a str,
    /// The namespace of the far end; `None` means this one.
    pub peer_netns: Option<BorrowedFd<'a>>,
    /// The far end's hardware address.
    pub peer_mac: Option<Mac>,
    /// Of both ends, in bytes; 0 means the kernel's choice.
    pub mtu: u32,
}

/// What to change about a link; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// The bridge to become a port of; 0 for none.
    pub master: Option<u32>,
    /// In bytes.
    pub mtu: Option<u32>,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// A new name.
    pub name: Option<&'a str>,
    /// The namespace to move to.
    pub netns: Option<BorrowedFd<'a>>,
    /// For a bridge port: whether a frame may leave through the port it came from.
    pub hairpin: Option<bool>,
    /// The group number, see [`Route::delete_group`].
    pub group: Option<u32>,
}

impl Route {
    /// Open a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Route, Error> {
        Ok(Route {
            socket: Socket::open(None, 0)?,
        })
    }

    /// On a socket that was opened elsewhere, such as in another network namespace; its answers are not trusted.
    pub fn from_fd(fd: OwnedFd) -> Route {
        Route {
            socket: Socket::from_fd(fd),
        }
    }

    /// Make a bridge that is up; a link of this name is an error with `EEXIST`.
    pub fn add_bridge(&mut self, name: &str, mac: Option<Mac>, mtu: u32) -> Result<(), Error> {
        check_name(name)?;
        self.socket.request(
            RTM_NEWLINK,
            CREATE | EXCL,
            || format!("create bridge {name}"),
            |b| {
                b.fixed(&link_header(0, IFF_UP, IFF_UP)).string(IFLA_IFNAME, name);
                if let Some(mac) = mac {
                    b.attr(IFLA_ADDRESS, &mac);
                }
                if mtu != 0 {
                    b.u32(IFLA_MTU, mtu);
                }
                b.nest(IFLA_LINKINFO, |b| {
                    b.string(IFLA_INFO_KIND, "bridge");
                });
            },
        )
    }

    /// Make a veth pair in one request: the far end is born in its namespace, under its final name.
    pub fn add_veth(&mut self, veth: &Veth<'_>) -> Result<(), Error> {
        check_name(veth.name)?;
        check_name(veth.peer_name)?;
        self.socket.request(
            RTM_NEWLINK,
            CREATE | EXCL,
            || format!("create veth pair {}", veth.name),
            |b| {
                b.fixed(&link_header(0, IFF_UP, IFF_UP))
                    .string(IFLA_IFNAME, veth.name);
                one_queue(b);
                if veth.mtu != 0 {
                    b.u32(IFLA_MTU, veth.mtu);
                }
                if let Some(master) = veth.master {
                    b.u32(IFLA_MASTER, master);
                }
                b.nest(IFLA_LINKINFO, |b| {
                    b.string(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |b| {
                        b.nest(VETH_INFO_PEER, |b| fill_peer(b, veth));
                    });
                });
            },
        )
    }

    /// Change a link.
    pub fn set_link(&mut self, index: u32, change: &LinkChange<'_>) -> Result<(), Error> {
        if let Some(name) = change.name {
            check_name(name)?;
        }
        self.socket.request(
            RTM_NEWLINK,
            0,
            || format!("change link {index}"),
            |b| {
                let (flags, mask) = match change.up {
                    Some(true) => (IFF_UP, IFF_UP),
                    Some(false) => (0, IFF_UP),
                    None => (0, 0),
                };
                b.fixed(&link_header(index, flags, mask));
                if let Some(name) = change.name {
                    b.string(IFLA_IFNAME, name);
                }
                if let Some(master) = change.master {
                    b.u32(IFLA_MASTER, master);
                }
                if let Some(mtu) = change.mtu {
                    b.u32(IFLA_MTU, mtu);
                }
                if let Some(mac) = change.mac {
                    b.attr(IFLA_ADDRESS, &mac);
                }
                if let Some(netns) = change.netns {
                    b.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
                }
                if let Some(group) = change.group {
                    b.u32(IFLA_GROUP, group);
                }
                if let Some(hairpin) = change.hairpin {
                    b.nest(IFLA_LINKINFO, |b| {
                        b.string(IFLA_INFO_SLAVE_KIND, "bridge")
                            .nest(IFLA_INFO_SLAVE_DATA, |b| {
                                b.attr(IFLA_BRPORT_MODE, &[u8::from(hairpin)]);
                            });
                    });
                }
            },
        )
    }

    /// Delete a link, and with it the other end if it is a veth; one that is gone already is fine.
    pub fn delete_link(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        allow_missing(self.socket.request(
            RTM_DELLINK,
            0,
            || format!("delete link {name}"),
            |b| {
                b.fixed(&link_header(0, 0, 0)).string(IFLA_IFNAME, name);
            },
        ))
    }

    /// Delete all links of a group at once: the kernel waits for its readers only once. An empty group is fine.
    pub fn delete_group(&mut self, group: u32) -> Result<(), Error> {
        allow_missing(self.socket.request(
            RTM_DELLINK,
            0,
            || format!("delete link group {group}"),
            |b| {
                b.fixed(&link_header(0, 0, 0)).u32(IFLA_GROUP, group);
            },
        ))
    }

    /// The link of this name, if there is one.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        check_name(name)?;
        let found = self.socket.get(
            RTM_GETLINK,
            || format!("look up link {name}"),
            |b| {
                b.fixed(&link_header(0, 0, 0)).string(IFLA_IFNAME, name);
            },
            parse,
        );
        match found {
            Ok(link) => Ok(Some(link)),
            Err(e) if e.is(Errno::NODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The index of the link of this name.
    pub fn index(&mut self, name: &str) -> Result<u32, Error> {
        self.link(name)?
            .map(|l| l.index)
            .ok_or_else(|| Error::NoLink(name.to_owned()))
    }

    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.socket.dump(
            RTM_GETLINK,
            || "list links".to_owned(),
            |b| {
                b.fixed(&link_header(0, 0, 0));
            },
            parse,
        )
    }
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, mask: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&mask.to_ne_bytes());
    header
}

/// A veth uses one queue unless told otherwise, but is made with one per processor, and giving the others back makes
/// the kernel wait for all readers (netif_set_real_num_tx_queues): 2 ms instead of 0.5.
fn one_queue(b: &mut Buffer) {
    b.u32(IFLA_NUM_TX_QUEUES, 1).u32(IFLA_NUM_RX_QUEUES, 1);
}

fn fill_peer(b: &mut Buffer, veth: &Veth<'_>) {
    // Not up yet: the kernel opens the peer before it knows its other end (veth_newlink), and fails with ENOTCONN.
    b.fixed(&link_header(0, 0, 0)).string(IFLA_IFNAME, veth.peer_name);
    one_queue(b);
    if veth.mtu != 0 {
        b.u32(IFLA_MTU, veth.mtu);
    }
    if let Some(mac) = veth.peer_mac {
        b.attr(IFLA_ADDRESS, &mac);
    }
    if let Some(netns) = veth.peer_netns {
        b.u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
    }
}

fn parse(payload: &[u8]) -> Option<Link> {
    let index = number(payload.get(4..)?)?;
    let up = number(payload.get(8..)?)? & IFF_UP != 0;
    let mut link = Link {
        index,
        up,
        operational: false,
        name: String::new(),
        mac: [0; 6],
        mtu: 0,
        master: None,
        kind: String::new(),
    };
    for (kind, value) in message::attributes(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = message::text(value),
            IFLA_MTU => link.mtu = number(value)?,
            IFLA_MASTER => link.master = number(value),
            IFLA_OPERSTATE => link.operational = value.first() == Some(&IF_OPER_UP),
            IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            IFLA_LINKINFO => {
                link.kind = message::find(value, IFLA_INFO_KIND)
                    .map(message::text)
                    .unwrap_or_default()
            }
            _ => {}
        }
    }
    Some(link)
}

/// The kernel's own rules (`dev_valid_name`), checked here so that the error names the name.
fn check_name(name: &str) -> Result<(), Error> {
    let bad = |b: u8| b == b'/' || b == b':' || b == 0 || b.is_ascii_whitespace();
    if name.is_empty() || name.len() >= NAME_MAX || name == "." || name == ".." || name.bytes().any(bad) {
        return Err(Error::LinkName(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_that_the_kernel_would_refuse_are_refused() {
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-bytes-xx"] {
            assert!(super::check_name(bad).is_err(), "{bad:?}");
        }
        assert!(super::check_name("fifteen-bytes-x").is_ok());
    }
}
