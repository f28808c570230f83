//! Neighbours: which hardware address an IP address has on a link.

use std::net::IpAddr;

use crate::error::{Error, allow_missing};
use crate::message::{self, CREATE, REPLACE};
use crate::{Mac, Route};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The link's index.
    pub link: u32,
    /// The IP address.
    pub address: IpAddr,
    /// The hardware address.
    pub mac: Mac,
}

impl Route {
    /// Set a permanent entry.
    pub fn set_neighbour(&mut self, entry: &Neighbour) -> Result<(), Error> {
        self.socket.request(
            RTM_NEWNEIGH,
            CREATE | REPLACE,
            || format!("set neighbour {entry:?}"),
            |b| {
                b.fixed(&header(entry, NUD_PERMANENT));
                b.attr(NDA_DST, &message::ip_bytes(entry.address))
                    .attr(NDA_LLADDR, &entry.mac);
            },
        )
    }

    /// Forget an entry, learned or set; one that is gone already is fine.
    pub fn delete_neighbour(&mut self, link: u32, address: IpAddr) -> Result<(), Error> {
        let entry = Neighbour {
            link,
            address,
            mac: [0; 6],
        };
        allow_missing(self.socket.request(
            RTM_DELNEIGH,
            0,
            || format!("delete neighbour {address}"),
            |b| {
                b.fixed(&header(&entry, 0))
                    .attr(NDA_DST, &message::ip_bytes(address));
            },
        ))
    }

    /// All entries with a hardware address.
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, Error> {
        self.socket.dump(
            RTM_GETNEIGH,
            || "list neighbours".to_owned(),
            |b| {
                b.fixed(&[0; 12]);
            },
            |payload| {
                let rest = payload.get(12..)?;
                Some(Neighbour {
                    link: message::number(payload.get(4..)?)?,
                    address: message::ip(message::find(rest, NDA_DST)?)?,
                    mac: message::find(rest, NDA_LLADDR)?.try_into().ok()?,
                })
            },
        )
    }
}

/// `struct ndmsg`.
fn header(entry: &Neighbour, state: u16) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = message::family(entry.address);
    header[4..8].copy_from_slice(&entry.link.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header
}
