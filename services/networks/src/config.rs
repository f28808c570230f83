//! What the daemon's configuration says about networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Everything that the service is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The instance tag: a few hexadecimal digits derived from the data root. Stands in the name of everything made
    /// in the kernel, so that a sweep touches what is ours only. At most 6 bytes.
    pub tag: String,
    /// The default bridge; `None` when the configuration says `"bridge": "none"`.
    pub bridge: Option<DefaultBridge>,
    /// `default-address-pools`; empty means Docker's built-in pools.
    pub pools: Vec<AddressPool>,
    /// `ip-forward`: switch forwarding on when a bridge is made.
    pub ip_forward: bool,
    /// `iptables`: whether dhow writes firewall rules at all.
    pub firewall: bool,
    /// `ip`: the host address on which ports are published that name none.
    pub default_bind: Option<IpAddr>,
    /// `dns`, `dns-opts`, `dns-search`.
    pub dns: Dns,
    /// The host's `resolv.conf`.
    pub resolv_conf: PathBuf,
    /// How many network namespaces to keep ready, so that a start need not wait for the making of one (1 ms).
    pub spare_sandboxes: usize,
    /// The file by which the daemons of this machine take turns in choosing subnets.
    pub turn_file: PathBuf,
}

impl Config {
    /// The built-in settings for the instance `tag`.
    pub fn new(tag: &str) -> Config {
        Config {
            tag: tag.to_owned(),
            bridge: Some(DefaultBridge::default()),
            pools: Vec::new(),
            ip_forward: true,
            firewall: true,
            default_bind: None,
            dns: Dns::default(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            spare_sandboxes: 2,
            turn_file: PathBuf::from("/run/dhow-subnets.lock"),
        }
    }
}

/// The settings of the network `bridge`.
#[derive(Clone, Debug)]
pub struct DefaultBridge {
    /// `bridge`: the name of the link. A link of another name than the default must exist beforehand in Docker;
    /// dhow makes it.
    pub name: String,
    /// `bip`: address and prefix of the bridge; chosen free when absent.
    pub bip: Option<Ipv4Net>,
    /// `fixed-cidr`: the part of the subnet from which containers get addresses.
    pub fixed_cidr: Option<Ipv4Net>,
    /// `fixed-cidr-v6`: the IPv6 subnet; switches IPv6 on.
    pub fixed_cidr_v6: Option<Ipv6Net>,
    /// `default-gateway`.
    pub default_gateway: Option<Ipv4Addr>,
    /// `default-gateway-v6`.
    pub default_gateway_v6: Option<Ipv6Addr>,
    /// `mtu`, in bytes; 0 means 1500.
    pub mtu: u32,
    /// `icc`: whether containers of this bridge may talk to each other.
    pub icc: bool,
    /// `ip-masq`.
    pub masquerade: bool,
}

impl Default for DefaultBridge {
    fn default() -> DefaultBridge {
        DefaultBridge {
            name: "dhow0".to_owned(),
            bip: None,
            fixed_cidr: None,
            fixed_cidr_v6: None,
            default_gateway: None,
            default_gateway_v6: None,
            mtu: 0,
            icc: true,
            masquerade: true,
        }
    }
}

/// One entry of `default-address-pools`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// The whole range.
    pub base: IpNet,
    /// The prefix length of the subnets cut from it.
    pub size: u8,
}

/// Name servers and what goes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// `nameserver` lines.
    pub servers: Vec<IpAddr>,
    /// The words of the `options` line.
    pub options: Vec<String>,
    /// The words of the `search` line.
    pub search: Vec<String>,
}
