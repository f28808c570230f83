//! Networks and endpoints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit;

/// A network as `inspect` and `list` show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Network {
    /// Name.
    pub name: String,
    /// 64 hex digits.
    pub id: String,
    /// Time of creation, RFC 3339.
    pub created: String,
    /// `local` or `swarm`.
    pub scope: String,
    /// Name of the driver.
    pub driver: String,
    /// Containers get IPv4 addresses; only in replies since API 1.48.
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// Containers get IPv6 addresses.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Address management.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// No way out.
    pub internal: bool,
    /// Containers may join a swarm network.
    pub attachable: bool,
    /// It is the swarm's ingress network.
    pub ingress: bool,
    /// The network that the configuration is taken from.
    pub config_from: ConfigReference,
    /// It is only a configuration.
    pub config_only: bool,
    /// Endpoints by container id; null in lists since API 1.28.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<BTreeMap<String, EndpointResource>>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Allocated addresses per subnet; only in `inspect` since API 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// A network by name, empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ConfigReference {
    /// Name of the network.
    pub network: String,
}

/// Address management of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ipam {
    /// Name of the driver.
    pub driver: String,
    /// Its options.
    pub options: Option<BTreeMap<String, String>>,
    /// The subnets.
    pub config: Option<Vec<IpamConfig>>,
}

/// One subnet of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IpamConfig {
    /// CIDR of the subnet.
    #[serde(skip_serializing_if = "omit::zero")]
    pub subnet: String,
    /// CIDR of the part from which addresses are given out.
    #[serde(rename = "IPRange", skip_serializing_if = "omit::zero")]
    pub ip_range: String,
    /// Address of the gateway.
    #[serde(skip_serializing_if = "omit::zero")]
    pub gateway: String,
    /// Addresses that are taken, by name.
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "omit::map")]
    pub auxiliary_addresses: Option<BTreeMap<String, String>>,
}

/// Allocation figures of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Per address manager.
    #[serde(rename = "IPAM")]
    pub ipam: IpamStatus,
}

/// Allocation figures by subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IpamStatus {
    /// Key: CIDR.
    pub subnets: BTreeMap<String, SubnetStatus>,
}

/// Allocation figures of one subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubnetStatus {
    /// Addresses in use or reserved.
    #[serde(rename = "IPsInUse")]
    pub ips_in_use: u64,
    /// Addresses that can still be given out.
    #[serde(rename = "DynamicIPsAvailable")]
    pub dynamic_ips_available: u64,
}

/// One container's endpoint in `inspect` of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointResource {
    /// The container's name.
    #[serde(rename = "Name")]
    pub name: String,
    /// Id of the endpoint.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// MAC address.
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
    /// CIDR, empty for none.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// CIDR, empty for none.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// Body of `POST /networks/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// Name.
    pub name: String,
    /// Deprecated since 1.44: duplicates are always refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_duplicate: Option<bool>,
    /// Driver; empty for `bridge`.
    pub driver: String,
    /// `local` or `swarm`; empty for the driver's own.
    #[serde(skip_serializing_if = "omit::zero")]
    pub scope: String,
    /// No way out.
    pub internal: bool,
    /// Containers may join a swarm network.
    pub attachable: bool,
    /// It is the swarm's ingress network.
    pub ingress: bool,
    /// It is only a configuration.
    pub config_only: bool,
    /// Take the configuration from that network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_from: Option<ConfigReference>,
    /// Address management.
    #[serde(rename = "IPAM", skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// Give out IPv4 addresses (API 1.48); null for yes.
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// Give out IPv6 addresses; null for the daemon's default.
    #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// Options of the driver.
    pub options: Option<BTreeMap<String, String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Reply of `POST /networks/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// Id of the new network.
    pub id: String,
    /// A warning, or empty.
    pub warning: String,
}

/// Body of `POST /networks/{id}/connect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ConnectRequest {
    /// Id or name of the container.
    pub container: String,
    /// Wishes for the endpoint.
    pub endpoint_config: Option<EndpointSettings>,
}

/// Body of `POST /networks/{id}/disconnect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DisconnectRequest {
    /// Id or name of the container.
    pub container: String,
    /// Also if the container is gone.
    pub force: bool,
}

/// Reply of `POST /networks/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// Names of the removed networks; null if none.
    pub networks_deleted: Option<Vec<String>>,
}

/// A container's endpoint in one network: wishes (in requests) and facts (in replies).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EndpointSettings {
    /// Wished addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    /// Links to other containers of the network.
    pub links: Option<Vec<String>>,
    /// Further names of the container in the network.
    pub aliases: Option<Vec<String>>,
    /// MAC address: wished (API 1.44) or in use.
    pub mac_address: String,
    /// Options for the driver.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// The highest of a container's endpoints gives the default route (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gw_priority: Option<i64>,
    /// Id of the network.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// Id of the endpoint; empty when not running.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Length of the IPv4 prefix in bits.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Length of the IPv6 prefix in bits.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    /// All names by which the network's DNS knows the container (API 1.44).
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Addresses wished for an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpamConfig {
    /// IPv4 address.
    #[serde(rename = "IPv4Address", skip_serializing_if = "omit::zero")]
    pub ipv4_address: String,
    /// IPv6 address.
    #[serde(rename = "IPv6Address", skip_serializing_if = "omit::zero")]
    pub ipv6_address: String,
    /// Further link-local addresses.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "omit::list")]
    pub link_local_ips: Option<Vec<String>>,
}
