//! Links, addresses, routes, neighbours, nftables and conntrack over one typed synchronous netlink socket.
//!
//! The messages are written and read here directly, without a crate of message types: few are needed, and each is a
//! handful of attributes, so that a change costs one system call to send and one to hear the answer. Everything acts
//! on the network namespace in which the socket was opened, wherever the thread is later.
//!
//! Start at [`Route`] for links, addresses and routes, at [`nft::Batch`] for firewall rules, at [`conntrack`] for
//! tracked connections. This crate knows nothing of containers.

mod address;
pub mod conntrack;
mod error;
mod link;
mod message;
mod neighbour;
pub mod nft;
mod route;
mod socket;
pub mod sysctl;

pub use address::Address;
pub use error::Error;
pub use link::{Link, LinkChange, Route, Veth};
pub use neighbour::Neighbour;
pub use route::{RouteEntry, RouteScope};

/// A hardware address.
pub type Mac = [u8; 6];
