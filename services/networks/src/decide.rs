//! What an endpoint shall be: checked and computed, nothing made but the bound sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use network_drivers::{EndpointPlan, ipam};

use crate::state::{Live, State};
use crate::{BoundPort, Endpoint, EndpointRequest, Error, NetworkSpec, PortBinding, PortRequest, opening};

type Options = BTreeMap<String, String>;

/// The name of the link in the container.
const IFNAME: &str = "com.docker.network.endpoint.ifname";
/// Kernel parameters of the link in the container.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// An endpoint without addresses.
pub(crate) fn blank(row: &crate::row::NetworkRow, container_id: &str, request: &EndpointRequest) -> Endpoint {
    Endpoint {
        id: opening::new_id(),
        network_id: row.id.clone(),
        network_name: row.spec.name.clone(),
        driver: row.spec.driver.clone(),
        container_id: container_id.to_owned(),
        container_name: request.container_name.clone(),
        interface: String::new(),
        ipv4: None,
        ipv6: None,
        gateway: None,
        gateway6: None,
        mac: [0; 6],
        mtu: 0,
        aliases: request.aliases.clone(),
        driver_opts: request.driver_opts.clone(),
        gateway_priority: request.gateway_priority,
        ports: Vec::new(),
        exposed: request.exposed.clone(),
    }
}

pub(crate) fn validate(live: &Live, request: &EndpointRequest) -> Result<(), Error> {
    match problems(&live.row.spec, request).into_iter().next() {
        Some(text) => Err(Error::Invalid(text)),
        None => Ok(()),
    }
}

/// Everything that is wrong with a request, whoever is in the network.
pub(crate) fn problems(spec: &NetworkSpec, request: &EndpointRequest) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |text: String| found.push(text);
    let default = spec.name == "bridge";
    if default && (request.ip.is_some() || request.ip6.is_some()) {
        refuse("user specified IP address is supported on user defined networks only".to_owned());
    }
    if default && !request.aliases.is_empty() {
        refuse("network-scoped aliases are only supported for user-defined networks".to_owned());
    }
    let wished = [request.ip.map(IpAddr::V4), request.ip6.map(IpAddr::V6)];
    for address in wished.into_iter().flatten().filter(|_| !default) {
        let subnets = spec.ipam.pools.iter().filter_map(|pool| pool.subnet);
        if !subnets.clone().any(|subnet| subnet.contains(&address)) {
            refuse(format!("no configured subnet contains IP address {address}"));
        }
    }
    let options = &request.driver_opts;
    if let Some(name) = options.get(IFNAME).filter(|n| !interface_name_is_valid(n)) {
        refuse(format!("invalid interface name {name:?} in {IFNAME}"));
    }
    if let Err(error) = sysctls(options, "eth0") {
        refuse(error.to_string());
    }
    found
}

/// The link's name in the container: the one asked for, else the prefix with the lowest free number.
pub(crate) fn interface(prefix: &str, options: &Options, used: &[String]) -> Result<String, Error> {
    if let Some(name) = options.get(IFNAME) {
        return match used.contains(name) {
            true => Err(Error::Invalid(format!(
                "interface name {name} is in use in this container"
            ))),
            false => Ok(name.clone()),
        };
    }
    let free = (0..)
        .map(|n| format!("{prefix}{n}"))
        .find(|name| !used.contains(name));
    Ok(free.unwrap_or_default())
}

/// The rules of the kernel, and `lo` is taken.
fn interface_name_is_valid(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    (1..16).contains(&name.len()) && name.bytes().all(plain) && !matches!(name, "." | ".." | "lo")
}

/// The parameters of the interface that were asked for, as (path below /proc/sys, value). They are written
/// `net.ipv4.conf.IFNAME.log_martians=1`, several with commas between them.
pub(crate) fn sysctls(options: &Options, interface: &str) -> Result<Vec<(String, String)>, Error> {
    let Some(text) = options.get(SYSCTLS) else {
        return Ok(Vec::new());
    };
    let parse = |setting: &str| {
        let (name, value) = setting.trim().split_once('=')?;
        let mut parts: Vec<&str> = name.split('.').collect();
        let of_interface = matches!(
            parts.as_slice(),
            ["net", "ipv4" | "ipv6" | "mpls", _, "IFNAME", _]
        );
        let harmless = parts.iter().all(|p| !p.is_empty() && !p.contains('/'));
        if !of_interface || !harmless {
            return None;
        }
        parts[3] = interface;
        Some((parts.join("/"), value.to_owned()))
    };
    let bad = || Error::Invalid(format!("invalid value for {SYSCTLS}: {text:?}"));
    text.split(',').map(|s| parse(s).ok_or_else(bad)).collect()
}

pub(crate) fn take_addresses(
    live: &mut Live,
    request: &EndpointRequest,
    endpoint: &mut Endpoint,
) -> Result<(), Error> {
    let (name, id) = (live.row.spec.name.clone(), live.row.id.clone());
    let wishes = [
        (false, request.ip.map(IpAddr::V4)),
        (true, request.ip6.map(IpAddr::V6)),
    ];
    let mut taken: Vec<IpAddr> = Vec::new();
    for (v6, wish) in wishes {
        let gateway = live.gateway(v6);
        let got = match (live.pool(v6), wish) {
            (None, None) => continue,
            (None, Some(address)) => Err(ipam::Error::OutOfRange { address }),
            (Some(pool), Some(address)) => pool.take(address).map(|()| (address, pool.subnet())),
            (Some(pool), None) => match pool.take_next() {
                Some(address) => Ok((address, pool.subnet())),
                None => Err(ipam::Error::Exhausted {
                    v6,
                    network: name.clone(),
                    id: id.clone(),
                }),
            },
        };
        match (got, gateway) {
            (Ok((address, subnet)), gateway) => {
                taken.push(address);
                set_address(endpoint, address, subnet, gateway);
            }
            (Err(error), _) => {
                for address in taken {
                    if let Some(pool) = live.pool(address.is_ipv6()) {
                        pool.release(address);
                    }
                }
                return Err(error.into());
            }
        }
    }
    Ok(())
}

fn set_address(endpoint: &mut Endpoint, address: IpAddr, subnet: IpNet, gateway: Option<IpAddr>) {
    match address {
        IpAddr::V4(a) => {
            endpoint.ipv4 = Ipv4Net::new(a, subnet.prefix_len()).ok();
            endpoint.gateway = gateway.and_then(|g| if let IpAddr::V4(g) = g { Some(g) } else { None });
        }
        IpAddr::V6(a) => {
            endpoint.ipv6 = Ipv6Net::new(a, subnet.prefix_len()).ok();
            endpoint.gateway6 = gateway.and_then(|g| if let IpAddr::V6(g) = g { Some(g) } else { None });
        }
    }
}

/// Derived from the IPv4 address, so that a neighbour that remembers the last user of the address is right.
pub(crate) fn mac_of(endpoint: &Endpoint) -> [u8; 6] {
    let tail: [u8; 4] = match endpoint.ipv4 {
        Some(net) => net.addr().octets(),
        None => rand::random(),
    };
    [0x02, 0x42, tail[0], tail[1], tail[2], tail[3]]
}

pub(crate) type Ports = (Vec<PortBinding>, Vec<BoundPort>);

pub(crate) fn claim_ports(
    state: &mut State,
    endpoint: &Endpoint,
    request: &EndpointRequest,
    default: Option<IpAddr>,
) -> Result<Ports, Error> {
    let (mut bindings, mut sockets) = (Vec::new(), Vec::new());
    for wish in &request.ports {
        let addresses = host_addresses(wish, default);
        let claimed = state
            .ports
            .claim(&addresses, wish.host_ports.clone(), wish.protocol, &endpoint.id);
        let (host_port, bound) = claimed.map_err(|source| Error::Publish {
            endpoint: endpoint.container_name.clone(),
            id: endpoint.id.clone(),
            source,
        })?;
        let mut bound = bound.into_iter();
        for host_ip in addresses {
            let (container_port, protocol) = (wish.container_port, wish.protocol);
            let binding = PortBinding {
                host_ip,
                host_port,
                container_port,
                protocol,
            };
            bindings.push(binding);
            sockets.extend(bound.next().map(|socket| BoundPort { binding, socket }));
        }
    }
    Ok((bindings, sockets))
}

/// The host addresses of a port: the one named, the default, or all of both families.
fn host_addresses(wish: &PortRequest, default: Option<IpAddr>) -> Vec<IpAddr> {
    if let Some(address) = wish.host_ip.or(default) {
        return vec![address];
    }
    let mut all = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    if netlink::sysctl::get("net/ipv6/conf/all/disable_ipv6").is_ok_and(|v| v == "0") {
        all.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    all
}

pub(crate) fn driver_plan(endpoint: &Endpoint, bridge: String, default_route: bool) -> EndpointPlan {
    let v4 = endpoint.gateway.map(IpAddr::V4);
    let gateways = v4.into_iter().chain(endpoint.gateway6.map(IpAddr::V6));
    EndpointPlan {
        id: endpoint.id.clone(),
        bridge,
        interface: endpoint.interface.clone(),
        mac: endpoint.mac,
        mtu: endpoint.mtu,
        ipv4: endpoint.ipv4,
        ipv6: endpoint.ipv6,
        gateways: if default_route {
            gateways.collect()
        } else {
            Vec::new()
        },
        ports: endpoint.ports.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(key: &str, value: &str) -> Options {
        [(key.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn interfaces_are_numbered_from_the_lowest_free_one_or_named() {
        let used = ["eth0".to_owned(), "eth2".to_owned()];
        assert_eq!(interface("eth", &Options::new(), &used).unwrap(), "eth1");
        assert_eq!(interface("eth", &options(IFNAME, "lan"), &used).unwrap(), "lan");
        assert!(interface("eth", &options(IFNAME, "eth2"), &used).is_err());
        for bad in ["", "lo", "a/b", "sixteen-bytes-xx", "a b", ".."] {
            assert!(!interface_name_is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn kernel_parameters_are_those_of_the_interface_only() {
        let good = options(
            SYSCTLS,
            "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0",
        );
        let found = sysctls(&good, "eth3").unwrap();
        assert_eq!(
            found[0],
            ("net/ipv4/conf/eth3/log_martians".to_owned(), "1".to_owned())
        );
        assert_eq!(found.len(), 2);
        for bad in [
            "",
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.all.forwarding=1",
            "net.ipv4.conf.IFNAME./x=1",
        ] {
            assert!(sysctls(&options(SYSCTLS, bad), "eth0").is_err(), "{bad:?}");
        }
    }
}
