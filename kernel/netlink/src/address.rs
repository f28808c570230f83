//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Route;
use crate::error::{Error, allow_existing, allow_missing};
use crate::message::{self, CREATE, EXCL};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// No duplicate address detection: the addresses are given out by us, and a container should not wait a second.
const IFA_F_NODAD: u8 = 2;

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address with the prefix length of its subnet.
    pub net: IpNet,
}

impl Route {
    /// Give a link an address; one that it has already is fine.
    pub fn add_address(&mut self, link: u32, net: IpNet) -> Result<(), Error> {
        allow_existing(self.socket.request(
            RTM_NEWADDR,
            CREATE | EXCL,
            || format!("add address {net} to link {link}"),
            |b| fill(b, link, net),
        ))
    }

    /// Take an address from a link; one that it has not is fine.
    pub fn delete_address(&mut self, link: u32, net: IpNet) -> Result<(), Error> {
        allow_missing(self.socket.request(
            RTM_DELADDR,
            0,
            || format!("delete address {net} of link {link}"),
            |b| fill(b, link, net),
        ))
    }

    /// All addresses of all links.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.socket.dump(
            RTM_GETADDR,
            || "list addresses".to_owned(),
            |b| {
                b.fixed(&[0; 8]);
            },
            |payload| {
                let rest = payload.get(8..)?;
                let local = message::find(rest, IFA_LOCAL).or_else(|| message::find(rest, IFA_ADDRESS))?;
                let net = IpNet::new(message::ip(local)?, *payload.get(1)?).ok()?;
                Some(Address {
                    link: message::number(payload.get(4..)?)?,
                    net,
                })
            },
        )
    }
}

fn fill(b: &mut message::Buffer, link: u32, net: IpNet) {
    let mut header = [0; 8];
    header[0] = message::family(net.addr());
    header[1] = net.prefix_len();
    header[2] = if net.addr().is_ipv6() { IFA_F_NODAD } else { 0 };
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    let address = message::ip_bytes(net.addr());
    b.fixed(&header)
        .attr(IFA_LOCAL, &address)
        .attr(IFA_ADDRESS, &address);
    if let (IpNet::V4(v4), true) = (net, net.prefix_len() < 31) {
        b.attr(IFA_BROADCAST, &message::ip_bytes(IpAddr::V4(v4.broadcast())));
    }
}
