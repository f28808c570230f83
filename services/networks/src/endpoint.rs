//! An endpoint: one interface of one container in one network, with its published ports.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

pub use network_drivers::{PortBinding, Protocol};

/// What the owner of a container asks of a network.
#[derive(Clone, Debug, Default)]
pub struct EndpointRequest {
    /// The container's name, without the slash; shown by `inspect` and in errors.
    pub container_name: String,
    /// A fixed IPv4 address.
    pub ip: Option<std::net::Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ip6: Option<std::net::Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<[u8; 6]>,
    /// Further names of the container in this network.
    pub aliases: Vec<String>,
    /// Options for the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// The endpoint with the highest of a container has its default routes.
    pub gateway_priority: i64,
    /// The ports to publish.
    pub ports: Vec<PortRequest>,
    /// The ports that the container says it serves (`EXPOSE`), published or not.
    pub exposed: Vec<(u16, Protocol)>,
}

/// One port to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// The port in the container.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host address; `None` means all addresses of both families (or the configured default).
    pub host_ip: Option<IpAddr>,
    /// The host ports from which one is taken; `None` means any free one.
    pub host_ports: Option<RangeInclusive<u16>>,
}

/// An endpoint as decided by `allocate`; the owner keeps it in its own row and gives it back to `restore`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The network's id.
    pub network_id: String,
    /// The network's name.
    pub network_name: String,
    /// The driver's name: `bridge`, `host` or `null`.
    pub driver: String,
    /// The owner's id.
    pub container_id: String,
    /// The owner's name.
    pub container_name: String,
    /// The link's name in the container; empty for host and null.
    pub interface: String,
    /// The IPv4 address with the prefix length of its subnet.
    pub ipv4: Option<Ipv4Net>,
    /// The IPv6 address with the prefix length of its subnet.
    pub ipv6: Option<Ipv6Net>,
    /// The default gateway; `None` in an internal network.
    pub gateway: Option<std::net::Ipv4Addr>,
    /// The IPv6 default gateway.
    pub gateway6: Option<std::net::Ipv6Addr>,
    /// The hardware address; all zero for host and null.
    pub mac: [u8; 6],
    /// In bytes; 0 for host and null.
    pub mtu: u32,
    /// Further names.
    pub aliases: Vec<String>,
    /// Options for the driver.
    #[serde(default)]
    pub driver_opts: BTreeMap<String, String>,
    /// The endpoint with the highest of a container has its default routes.
    #[serde(default)]
    pub gateway_priority: i64,
    /// The published ports as they were bound.
    pub ports: Vec<PortBinding>,
    /// Ports that the container says it serves.
    pub exposed: Vec<(u16, Protocol)>,
}

impl Endpoint {
    /// Orders the endpoints of a container by their claim on its default routes: the first has them. The priority
    /// decides, then the network's name.
    pub(crate) fn claim(&self) -> (Reverse<i64>, &str) {
        (Reverse(self.gateway_priority), &self.network_name)
    }

    /// Whether it leads anywhere.
    pub(crate) fn has_gateway(&self) -> bool {
        self.gateway.is_some() || self.gateway6.is_some()
    }
}

/// A listening (TCP) or bound (UDP) socket of one published port, for the monitor to hold and the proxy to serve.
#[derive(Debug)]
pub struct BoundPort {
    /// What it publishes.
    pub binding: PortBinding,
    /// The socket, close-on-exec.
    pub socket: OwnedFd,
}

/// The answer of `allocate`.
#[derive(Debug)]
pub struct Allocated {
    /// To be kept by the owner.
    pub endpoint: Endpoint,
    /// To be handed to the monitor.
    pub sockets: Vec<BoundPort>,
}
