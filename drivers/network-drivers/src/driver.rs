//! The trait of a network driver.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{Error, PortBinding, Sandbox};

/// One subnet of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The subnet.
    pub net: IpNet,
    /// The address of the bridge, which containers use as their gateway.
    pub gateway: IpAddr,
}

/// A network as a driver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPlan {
    /// The network's id.
    pub id: String,
    /// The link on the host.
    pub link: String,
    /// Its subnets: at most one per family.
    pub subnets: Vec<Subnet>,
    /// In bytes; 0 means the kernel's choice.
    pub mtu: u32,
    /// No way out and no default route.
    pub internal: bool,
    /// Members may talk to each other.
    pub icc: bool,
    /// Members leave the host under the host's address.
    pub masquerade: bool,
}

/// An endpoint as a driver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPlan {
    /// The endpoint's id.
    pub id: String,
    /// The link of its network.
    pub bridge: String,
    /// The link's name in the container.
    pub interface: String,
    /// The hardware address of the inner end.
    pub mac: [u8; 6],
    /// In bytes; 0 means the kernel's choice.
    pub mtu: u32,
    /// Address with the subnet's prefix length.
    pub ipv4: Option<Ipv4Net>,
    /// Address with the subnet's prefix length.
    pub ipv6: Option<Ipv6Net>,
    /// Default routes to set in the container.
    pub gateways: Vec<IpAddr>,
    /// The host ports that lead here.
    pub ports: Vec<PortBinding>,
}

/// What `leave` calls when the endpoint's address may be given to another.
pub type Gone = Box<dyn FnOnce() + Send>;

/// A kind of network. All calls are idempotent: what is there already, or gone already, is fine.
///
/// Life cycle: `create_network`, then for each endpoint `join` and `leave`, then `delete_network`. After a restart of
/// the daemon `create_network` and `join` are called again for what exists, and mend what is missing.
pub trait Driver: Send + Sync {
    /// `bridge`, `host`, `null`.
    fn name(&self) -> &'static str;
    /// Make the network's link and rules.
    fn create_network(&self, network: &NetworkPlan) -> Result<(), Error>;
    /// Remove the network's link and rules.
    fn delete_network(&self, network: &NetworkPlan) -> Result<(), Error>;
    /// Put an endpoint into a namespace, with addresses, routes and published ports.
    fn join(&self, endpoint: &EndpointPlan, sandbox: &Sandbox) -> Result<(), Error>;
    /// Take it out again, also when its namespace is gone. Returns when no traffic is led to it any more; `gone` is
    /// called when its links are no more.
    fn leave(&self, endpoint: &EndpointPlan, gone: Gone) -> Result<(), Error>;
}
