//! A network as its creator asks for it and as it is shown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What `network create` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The name.
    pub name: String,
    /// `bridge` when empty.
    pub driver: String,
    /// No way out.
    pub internal: bool,
    /// Whether swarm-less containers may attach (kept and shown only).
    pub attachable: bool,
    /// Kept and shown only.
    pub ingress: bool,
    /// Kept and shown only.
    pub config_only: bool,
    /// `None` means yes.
    pub enable_ipv4: Option<bool>,
    /// `None` means no.
    pub enable_ipv6: Option<bool>,
    /// Address management.
    pub ipam: Ipam,
    /// `com.docker.network.*` options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Address management of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// Options, kept and shown only.
    pub options: BTreeMap<String, String>,
    /// The subnets: at most one per family.
    pub pools: Vec<IpamPool>,
}

/// One subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamPool {
    /// The subnet; `None` in a request means: choose one.
    pub subnet: Option<IpNet>,
    /// The part from which addresses are given.
    pub range: Option<IpNet>,
    /// The gateway; by default the first address.
    pub gateway: Option<IpAddr>,
    /// Addresses that are never given.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network as `inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// RFC 3339 with nanoseconds, UTC.
    pub created: String,
    /// As it was asked for, with the driver, the subnets and gateways filled in.
    pub spec: NetworkSpec,
    /// The link on the host; empty for host and null.
    pub bridge: String,
    /// Who is in it, by container id.
    pub containers: BTreeMap<String, Connected>,
    /// How full its subnets are.
    pub subnets: Vec<SubnetUse>,
}

/// How full a subnet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetUse {
    /// The subnet.
    pub subnet: IpNet,
    /// Addresses that are taken or never given.
    pub in_use: u64,
    /// Addresses that a container could still get unasked.
    pub available: u64,
}

impl Network {
    /// Whether it is one of `bridge`, `host` and `none`, which always exist.
    pub fn predefined(&self) -> bool {
        crate::service::PREDEFINED.contains(&self.spec.name.as_str())
    }
}

/// A container in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The container's name.
    pub name: String,
    /// The endpoint's id.
    pub endpoint_id: String,
    /// `02:42:…`
    pub mac: String,
    /// Address with prefix length, or empty.
    pub ipv4: String,
    /// Address with prefix length, or empty.
    pub ipv6: String,
}

/// The filters of `network ls` and `network prune`; every named filter must match, any of its values.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Substrings of names.
    pub name: Vec<String>,
    /// Substrings of ids.
    pub id: Vec<String>,
    /// Driver names.
    pub driver: Vec<String>,
    /// `local`, `global` or `swarm`.
    pub scope: Vec<String>,
    /// `builtin` or `custom`.
    pub kind: Vec<String>,
    /// `key` or `key=value`: all must match.
    pub label: Vec<String>,
    /// `key` or `key=value`: none may match.
    pub label_not: Vec<String>,
    /// Networks without (true) or with (false) containers.
    pub dangling: Option<bool>,
    /// Only networks made before this time (seconds since the epoch).
    pub until: Option<i64>,
}

/// What `prune` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The names of the removed networks.
    pub removed: Vec<String>,
}
