//! nftables over netlink (linux/netfilter/nf_tables.h): changes go in a [`Batch`], which the kernel applies whole or
//! not at all; [`Nft`] commits batches and lists what is there.

mod batch;
mod expr;
mod list;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

pub use batch::{Batch, ChainHook, ChainKind, DataType, Element, MapValue, SetSpec};
pub use expr::{Cmp, CtKey, Expr, MetaKey, PayloadBase, Reg, Verdict};
pub use list::{Chain, Rule};

use crate::error::Error;
use crate::message::{self, Buffer};
use crate::socket::Socket;

const SUBSYSTEM: u16 = 10 << 8;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFT_MSG_GETGEN: u16 = SUBSYSTEM | 16;
const NFTA_GEN_ID: u16 = 1;
/// The bit of NFNLGRP_NFTABLES in the mask of groups.
const GROUP_NFTABLES: u32 = 1 << 6;

/// The address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Both IP families.
    Inet,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Any other, by its number.
    Other(u8),
}

impl Family {
    /// The kernel's number (`NFPROTO_*`).
    pub fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Ipv4 => 2,
            Family::Ipv6 => 10,
            Family::Other(n) => n,
        }
    }

    pub(crate) fn from_number(number: u8) -> Family {
        match number {
            1 => Family::Inet,
            2 => Family::Ipv4,
            10 => Family::Ipv6,
            n => Family::Other(n),
        }
    }
}

/// A socket to nftables of one network namespace.
#[derive(Debug)]
pub struct Nft {
    pub(crate) socket: Socket,
}

impl Nft {
    /// Open a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Nft, Error> {
        Ok(Nft {
            socket: Socket::open(Some(rustix::net::netlink::NETFILTER), 0)?,
        })
    }

    /// On a socket that was opened elsewhere, such as in another network namespace; its answers are not trusted.
    pub fn from_fd(fd: OwnedFd) -> Nft {
        Nft {
            socket: Socket::from_fd(fd),
        }
    }

    /// Apply a batch, whole or not at all; `doing` is named in the error. An empty batch is fine.
    pub fn commit(&mut self, batch: &Batch, doing: &str) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let base = self.socket.next_sequence();
        let (buffer, last) = batch.assemble(base, || self.socket.next_sequence());
        self.socket.exchange(&buffer, base, last, || doing.to_owned())
    }

    /// The generation of the ruleset: it grows by one with every commit of anybody.
    pub fn generation(&mut self) -> Result<u32, Error> {
        self.socket.get(
            NFT_MSG_GETGEN,
            || "read the ruleset's generation".to_owned(),
            |b| {
                b.fixed(&header(0, 0));
            },
            |payload| message::be_number(message::find(payload.get(4..)?, NFTA_GEN_ID)?),
        )
    }
}

/// Hears of every change of the ruleset of one network namespace.
#[derive(Debug)]
pub struct Watcher {
    socket: Socket,
}

impl Watcher {
    /// Subscribe in the network namespace of the calling thread.
    pub fn open() -> Result<Watcher, Error> {
        Ok(Watcher {
            socket: Socket::open(Some(rustix::net::netlink::NETFILTER), GROUP_NFTABLES)?,
        })
    }

    /// Take all waiting notifications, without blocking; says whether there were any (or too many to keep).
    pub fn drain(&mut self) -> Result<bool, Error> {
        self.socket.drain()
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}

/// `struct nfgenmsg`.
pub(crate) fn header(family: u8, resource: u16) -> [u8; 4] {
    let id = resource.to_be_bytes();
    [family, 0, id[0], id[1]]
}

fn boundary(buffer: &mut Buffer, kind: u16, sequence: u32) {
    buffer.begin(kind, message::REQUEST, sequence);
    buffer.fixed(&header(0, SUBSYSTEM >> 8));
    buffer.end();
}
