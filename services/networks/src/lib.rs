//! Networks, their endpoints and published ports: which networks exist, who is in them, which address and which
//! host port belongs to whom.
//!
//! The life of an endpoint: [`Networks::allocate`] decides (address, MAC, host ports; the ports are bound),
//! [`Networks::attach`] makes it real in the kernel, [`Networks::detach`] takes it away. Whoever starts a container
//! asks [`Networks::sandbox`] for its network namespace first. After a restart of the daemon the owner of the
//! endpoints declares them with [`Networks::restore`] and, once everybody has, calls [`Networks::sweep`].
//!
//! This crate must not know what a container is: an owner is an id and a name. It knows no HTTP.
//! Start at [`Networks`].

mod change;
mod config;
mod decide;
mod endpoint;
mod error;
mod files;
mod healing;
mod listing;
mod membership;
mod network;
mod opening;
mod plan;
mod row;
mod service;
mod state;
mod turn;

pub use config::{AddressPool, Config, DefaultBridge, Dns};
pub use endpoint::{Allocated, BoundPort, Endpoint, EndpointRequest, PortBinding, PortRequest, Protocol};
pub use error::Error;
pub use files::{DnsOverrides, HostsEntry};
pub use network::{Connected, Filters, Ipam, IpamPool, Network, NetworkSpec, Pruned, SubnetUse};
pub use service::{Hold, Networks};
