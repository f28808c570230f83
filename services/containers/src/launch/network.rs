//! The network of one run: whose namespace, which endpoints, which ports.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use api_types::container::PortBinding as AskedBinding;
use api_types::network::EndpointSettings;
use monitor::plan::Protocol as PlanProtocol;
use monitor::protocol::PortTarget;
use networks::{BoundPort, Endpoint, EndpointRequest, PortRequest, Protocol};

use super::LaunchError;
use crate::Error;
use crate::house::House;
use crate::record::{NetworkMode, Record};
use crate::spec::Joined;

/// A network that is decided, and not yet made.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The namespace; `None` when the host's or another container's is used.
    pub(super) netns: Option<OwnedFd>,
    pub(super) endpoints: Vec<Endpoint>,
    bound: Vec<BoundPort>,
}

/// A bound socket for the monitor, with the address that the proxy connects to.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) protocol: PlanProtocol,
    pub(super) target: std::net::SocketAddr,
}

impl Prepared {
    /// The sockets of the published ports, for the monitor.
    pub(super) fn sockets(&self) -> Result<Vec<Socket>, LaunchError> {
        let mut publishing = self
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.ports.is_empty());
        let Some(endpoint) = publishing.next() else {
            return Ok(Vec::new());
        };
        let mut sockets = Vec::new();
        for bound in &self.bound {
            if let Some(PortTarget { protocol, target }) = proxy_target(endpoint, bound) {
                sockets.push(Socket {
                    fd: bound.socket.try_clone().map_err(LaunchError::of)?,
                    protocol,
                    target,
                });
            }
        }
        Ok(sockets)
    }
}

/// Where the proxy leads a port; `None` when there is no proxy for it.
fn proxy_target(endpoint: &Endpoint, bound: &BoundPort) -> Option<PortTarget> {
    let v4 = endpoint.ipv4.map(|net| IpAddr::V4(net.addr()));
    let address = v4.or(endpoint.ipv6.map(|net| IpAddr::V6(net.addr())))?;
    let protocol = match bound.binding.protocol {
        Protocol::Tcp => PlanProtocol::Tcp,
        Protocol::Udp => PlanProtocol::Udp,
        // The kernel's rules alone serve it; there is no proxy for loopback.
        Protocol::Sctp => return None,
    };
    Some(PortTarget {
        protocol,
        target: (address, bound.binding.container_port).into(),
    })
}

/// The sockets of the ports that a running container publishes from now on, for its monitor.
pub(crate) fn proxy_sockets(endpoint: &Endpoint, bound: Vec<BoundPort>) -> Vec<(PortTarget, OwnedFd)> {
    let served = bound
        .into_iter()
        .filter_map(|bound| Some((proxy_target(endpoint, &bound)?, bound.socket)));
    served.collect()
}

/// Decides addresses and binds ports; makes the namespace.
pub(super) async fn prepare(house: &Arc<House>, record: &Record) -> Result<Prepared, LaunchError> {
    let none = Prepared {
        netns: None,
        endpoints: Vec::new(),
        bound: Vec::new(),
    };
    let first = match record.network() {
        NetworkMode::Container(_) => return Ok(none),
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
        NetworkMode::Network(name) => name,
    };
    let networks = &house.parts.networks;
    let netns = match record.network() {
        NetworkMode::Host => None,
        _ => Some(networks.sandbox(&record.id).await.map_err(LaunchError::of)?),
    };
    let mut prepared = Prepared { netns, ..none };
    let others = record
        .networks
        .keys()
        .map(String::as_str)
        .filter(|name| *name != first);
    // One that has left all its networks gets the first one again, as docker has it.
    let is_left = record.left_first && others.clone().next().is_some();
    let first = (!is_left).then_some(first);
    let names: Vec<&str> = first.into_iter().chain(others).collect();
    let publishing = publishing(house, record, &names);
    for name in &names {
        let request = endpoint_request(record, name, publishing == Some(name));
        let allocated = match request {
            Ok(request) => networks
                .allocate(&record.id, name, request)
                .await
                .map_err(LaunchError::of),
            Err(error) => Err(LaunchError::of(error)),
        };
        match allocated {
            Ok(allocated) => {
                prepared.endpoints.push(allocated.endpoint);
                prepared.bound.extend(allocated.sockets);
            }
            Err(error) => {
                crate::teardown::release_network(house, &record.id, &prepared.endpoints).await;
                return Err(error);
            }
        }
    }
    Ok(prepared)
}

/// The network on which ports are published: that of the default gateway, so that answers go out where questions came in.
fn publishing<'n>(house: &House, record: &Record, names: &[&'n str]) -> Option<&'n str> {
    let claim = |name: &&'n str| {
        let network = house.parts.networks.resolve(name).ok()?;
        let priority = record
            .networks
            .get(*name)
            .and_then(|settings| settings.gw_priority);
        let leads_out = network.spec.driver == "bridge" && !network.spec.internal;
        leads_out.then(|| (Reverse(priority.unwrap_or_default()), network.spec.name))
    };
    let leading = names.iter().filter_map(|name| Some((claim(name)?, *name)));
    leading
        .min_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, name)| name)
        .or(names.first().copied())
}

/// Refuses endpoints that could not be made when the container starts, with everything that is wrong with them.
///
/// # Errors
/// Docker's sentence, and below it a line for each problem.
pub(crate) fn check_endpoints(house: &House, record: &Record) -> Result<(), Error> {
    for (name, settings) in &record.networks {
        check_endpoint(house, &record.name, name, settings)?;
    }
    Ok(())
}

/// The same for one endpoint.
pub(crate) fn check_endpoint(
    house: &House,
    container: &str,
    network: &str,
    settings: &EndpointSettings,
) -> Result<(), Error> {
    let (request, mut problems) = read_settings(container, settings);
    problems.extend(
        house
            .parts
            .networks
            .problems(network, &request)
            .map_err(Error::part)?,
    );
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "invalid config for network {network}: invalid endpoint settings:\n{}",
        problems.join("\n")
    )))
}

/// The settings as a request without ports, and what of them cannot be read.
fn read_settings(container: &str, settings: &EndpointSettings) -> (EndpointRequest, Vec<String>) {
    let mut problems = Vec::new();
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let mut keep = |text: String| problems.push(text);
    let ip = read(&ipam.ipv4_address, "IPv4", &mut keep);
    let ip6 = read(&ipam.ipv6_address, "IPv6", &mut keep);
    let mac = match settings.mac_address.as_str() {
        "" => None,
        text => parse_mac(text).map_err(|error| keep(error.to_string())).ok(),
    };
    let request = EndpointRequest {
        container_name: container.to_owned(),
        ip,
        ip6,
        mac,
        aliases: settings.aliases.clone().unwrap_or_default(),
        driver_opts: settings.driver_opts.clone().unwrap_or_default(),
        gateway_priority: settings.gw_priority.unwrap_or_default(),
        ports: Vec::new(),
        exposed: Vec::new(),
    };
    (request, problems)
}

/// An address, if one is wished; what is none is told.
fn read<A: std::str::FromStr>(text: &str, family: &str, refuse: &mut dyn FnMut(String)) -> Option<A> {
    let read = text.parse().ok();
    if read.is_none() && !text.is_empty() {
        refuse(format!("invalid {family} address: {text}"));
    }
    read
}

/// Makes what [`prepare`] decided.
pub(super) async fn attach(house: &Arc<House>, prepared: &Prepared) -> Result<(), LaunchError> {
    let Some(netns) = &prepared.netns else {
        return Ok(());
    };
    for endpoint in &prepared.endpoints {
        house
            .parts
            .networks
            .attach(endpoint, netns.as_fd())
            .await
            .map_err(LaunchError::of)?;
    }
    durable::crash_point("containers.start.network-attached");
    Ok(())
}

/// What a container asks of a network; the first one carries the published ports.
///
/// # Errors
/// A port or address that is malformed.
pub(crate) fn endpoint_request(
    record: &Record,
    network: &str,
    first: bool,
) -> Result<EndpointRequest, Error> {
    let nothing = EndpointSettings::default();
    let settings = record.networks.get(network).unwrap_or(&nothing);
    let (mut request, problems) = read_settings(&record.name, settings);
    if let Some(problem) = problems.into_iter().next() {
        return Err(Error::Invalid(problem));
    }
    if first {
        (request.ports, request.exposed) = (port_requests(record)?, exposed(record)?);
    }
    // A record of before 1.44's time has it of the whole container.
    if first && request.mac.is_none() && !record.config.mac_address.is_empty() {
        request.mac = Some(parse_mac(&record.config.mac_address)?);
    }
    Ok(request)
}

fn parse_mac(text: &str) -> Result<[u8; 6], Error> {
    let invalid = || Error::Invalid(format!("{text} is not a valid mac address"));
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
    }
    if parts.next().is_some() {
        Err(invalid())
    } else {
        Ok(mac)
    }
}

/// `80/tcp` as number and protocol.
fn parse_port(text: &str) -> Result<(u16, Protocol), Error> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let invalid = || Error::Invalid(format!("invalid port specification: \"{text}\""));
    let number = number
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(invalid)?;
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Ok((number, Protocol::Tcp)),
        "udp" => Ok((number, Protocol::Udp)),
        "sctp" => Ok((number, Protocol::Sctp)),
        _ => Err(invalid()),
    }
}

fn exposed(record: &Record) -> Result<Vec<(u16, Protocol)>, Error> {
    record
        .config
        .exposed_ports
        .iter()
        .flatten()
        .map(|(port, _)| parse_port(port))
        .collect()
}

/// The ports to publish, in the order of their numbers; with `-P` every exposed one.
///
/// # Errors
/// A port or address that is malformed.
pub(crate) fn port_requests(record: &Record) -> Result<Vec<PortRequest>, Error> {
    let mut bindings: BTreeMap<&str, Vec<AskedBinding>> = BTreeMap::new();
    for (port, asked) in record.host_config.port_bindings.iter().flatten() {
        bindings.insert(port, asked.clone().unwrap_or_default());
    }
    if record.host_config.publish_all_ports {
        for port in record
            .config
            .exposed_ports
            .iter()
            .flatten()
            .map(|(port, _)| port.as_str())
        {
            let asked = bindings.entry(port).or_default();
            if asked.is_empty() {
                asked.push(AskedBinding::default());
            }
        }
    }
    let mut requests = Vec::new();
    for (port, asked) in bindings {
        let (container_port, protocol) = parse_port(port)?;
        for binding in asked {
            requests.push(PortRequest {
                container_port,
                protocol,
                host_ip: match binding.host_ip.as_str() {
                    "" => None,
                    text => Some(
                        text.parse()
                            .map_err(|_| Error::Invalid(format!("invalid IP address: {text}")))?,
                    ),
                },
                host_ports: parse_host_ports(&binding.host_port)?,
            });
        }
    }
    // What the user has chosen first, lest it be given away as a port that anybody may have.
    requests.sort_by_key(|request| {
        request
            .host_ports
            .as_ref()
            .map_or(u32::MAX, |ports| u32::from(ports.end() - ports.start()))
    });
    Ok(requests)
}

fn parse_host_ports(text: &str) -> Result<Option<std::ops::RangeInclusive<u16>>, Error> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let invalid = || Error::Invalid(format!("invalid port specification: \"{text}\""));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (
        first.parse().map_err(|_| invalid())?,
        last.parse().map_err(|_| invalid())?,
    );
    if first == 0 || first > last {
        Err(invalid())
    } else {
        Ok(Some(first..=last))
    }
}

/// The namespaces of other containers that this one joins.
pub(super) fn join_others(house: &House, record: &Record) -> Result<Joined, Error> {
    let host = &record.host_config;
    let path = |mode: &str, kind: &str| match mode.strip_prefix("container:") {
        Some(name) => {
            let other = house.find(name)?.view();
            if other.record.id == record.id {
                let text = format!(
                    "cannot join own {} namespace",
                    if kind == "net" { "network" } else { kind }
                );
                return Err(Error::Invalid(text));
            }
            other.running_link().map_err(|_| {
                Error::Conflict(format!(
                    "cannot join {kind} namespace of a non running container: {}",
                    other.record.id
                ))
            })?;
            Ok(Some(format!("/proc/{}/ns/{kind}", other.record.run.pid)))
        }
        None => Ok(None),
    };
    let mut shared_memory = None;
    if let Some(name) = host.ipc_mode.strip_prefix("container:") {
        let donor = house.find(name)?.view();
        let mode = donor.record.host_config.ipc_mode.as_str();
        if mode == "private" || mode == "none" {
            return Err(Error::Conflict(format!(
                "container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                donor.record.id
            )));
        }
        shared_memory = Some(format!("/proc/{}/ns/mnt", donor.record.run.pid));
    }
    Ok(Joined {
        pid: path(&host.pid_mode, "pid")?,
        ipc: path(&host.ipc_mode, "ipc")?,
        network: path(&host.network_mode, "net")?,
        shared_memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read() {
        assert_eq!(parse_port("80/tcp").expect("valid"), (80, Protocol::Tcp));
        assert_eq!(parse_port("53/udp").expect("valid"), (53, Protocol::Udp));
        assert_eq!(parse_host_ports("8000-8010").expect("valid"), Some(8000..=8010));
        assert_eq!(parse_host_ports("").expect("valid"), None);
        for bad in ["x", "0/tcp", "80/xyz", "70000"] {
            assert!(parse_port(bad).is_err(), "{bad}");
        }
        for bad in ["9-1", "a", "0-5", "1-70000"] {
            assert!(parse_host_ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_that_the_user_has_chosen_come_before_those_that_may_be_any() {
        let mut record = crate::spec::tests::record();
        let binding = |port: &str| {
            Some(vec![AskedBinding {
                host_port: port.into(),
                ..AskedBinding::default()
            }])
        };
        record.host_config.port_bindings = Some(
            [
                ("80/tcp".to_owned(), binding("")),
                ("81/tcp".to_owned(), binding("9000-9010")),
                ("82/tcp".to_owned(), binding("9001")),
            ]
            .into(),
        );
        let ports: Vec<u16> = port_requests(&record)
            .expect("ports")
            .iter()
            .map(|request| request.container_port)
            .collect();
        assert_eq!(ports, [82, 81, 80]);
    }

    #[test]
    fn hardware_addresses_are_six_pairs() {
        assert_eq!(
            parse_mac("02:42:ac:11:00:02").expect("valid"),
            [2, 0x42, 0xac, 0x11, 0, 2]
        );
        for bad in [
            "",
            "02:42",
            "02:42:ac:11:00:02:03",
            "zz:42:ac:11:00:02",
            "2:42:ac:11:0:2",
        ] {
            assert!(parse_mac(bad).is_err(), "{bad}");
        }
    }
}
