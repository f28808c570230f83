//! What is true now, in memory: it is rebuilt at boot from the rows and from what the owners declare.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use network_drivers::Sandbox;
use network_drivers::ipam::Addresses;
use network_drivers::port::PortTable;

use crate::row::NetworkRow;
use crate::{Connected, Endpoint, Error, Network, SubnetUse};

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By id.
    pub(crate) networks: BTreeMap<String, Live>,
    /// By endpoint id.
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) ports: PortTable,
    /// By container id.
    pub(crate) sandboxes: BTreeMap<String, Arc<Sandbox>>,
    /// Namespaces made beforehand.
    pub(crate) spare: Vec<Sandbox>,
    /// A task is at work to make more of them.
    pub(crate) restocking: bool,
    /// Addresses (by network id) whose links are about to go; they are not given out yet, because the kernel still
    /// answers for them.
    pub(crate) dying: BTreeSet<(String, IpAddr)>,
    pub(crate) next_hold: u64,
}

/// A network.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) row: Arc<NetworkRow>,
    /// One per subnet.
    pub(crate) addresses: Vec<Addresses>,
    /// Labels by hold.
    pub(crate) holds: BTreeMap<u64, String>,
    /// It is being removed: nobody may come in any more.
    pub(crate) leaving: bool,
    /// Gateways of containers where they are not the bridge (`default-gateway`).
    pub(crate) gateways: Vec<IpAddr>,
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) endpoint: Endpoint,
    /// Its link is in the container.
    pub(crate) attached: bool,
    /// The container's default route leads through it.
    pub(crate) default_route: bool,
}

impl Live {
    /// A network with nobody in it; gateways and auxiliary addresses are taken.
    pub(crate) fn new(row: Arc<NetworkRow>, gateways: Vec<IpAddr>) -> Live {
        let mut addresses = Vec::new();
        for pool in &row.spec.ipam.pools {
            let Some(subnet) = pool.subnet else { continue };
            let mut free = Addresses::new(subnet, pool.range);
            // One that is named twice is taken once.
            for reserved in pool
                .gateway
                .iter()
                .chain(pool.auxiliary.values())
                .chain(&gateways)
            {
                let _ = free.take(*reserved);
            }
            addresses.push(free);
        }
        Live {
            row,
            addresses,
            holds: BTreeMap::new(),
            leaving: false,
            gateways,
        }
    }

    /// The addresses of one family.
    pub(crate) fn pool(&mut self, v6: bool) -> Option<&mut Addresses> {
        self.addresses
            .iter_mut()
            .find(|a| a.subnet().addr().is_ipv6() == v6)
    }

    /// The default gateway of one family.
    pub(crate) fn gateway(&self, v6: bool) -> Option<IpAddr> {
        let bridge = self.row.spec.ipam.pools.iter().filter_map(|p| p.gateway);
        let mut all = self.gateways.iter().copied().chain(bridge);
        if self.row.spec.internal {
            None
        } else {
            all.find(|g| g.is_ipv6() == v6)
        }
    }
}

impl State {
    /// By full id, full name, or the unique prefix of an id.
    pub(crate) fn find(&self, reference: &str) -> Result<&Live, Error> {
        if let Some(live) = self.networks.get(reference) {
            return Ok(live);
        }
        if let Some(live) = self.networks.values().find(|n| n.row.spec.name == reference) {
            return Ok(live);
        }
        let by_prefix = self
            .networks
            .range(reference.to_owned()..)
            .take_while(|(id, _)| id.starts_with(reference));
        let found: Vec<&Live> = by_prefix.map(|(_, live)| live).collect();
        match found.as_slice() {
            [live] if !reference.is_empty() => Ok(live),
            [] | [_] => Err(Error::NotFound(reference.to_owned())),
            many => Err(Error::Ambiguous(reference.to_owned(), many.len())),
        }
    }

    /// As `find`, to be changed.
    pub(crate) fn find_mut(&mut self, reference: &str) -> Result<&mut Live, Error> {
        let id = self.find(reference)?.row.id.clone();
        self.networks.get_mut(&id).ok_or(Error::NotFound(id))
    }

    /// A network as it is shown.
    pub(crate) fn shown(&self, live: &Live) -> Network {
        let inside = self.members_of(&live.row.id);
        let containers = inside
            .map(|m| (m.endpoint.container_id.clone(), connected(&m.endpoint)))
            .collect();
        Network {
            id: live.row.id.clone(),
            created: live.row.created.clone(),
            spec: live.row.spec.clone(),
            bridge: live.row.bridge.clone(),
            containers,
            subnets: live.addresses.iter().map(subnet_use).collect(),
        }
    }

    /// Who is in a network.
    pub(crate) fn members_of<'a>(&'a self, network_id: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members
            .values()
            .filter(move |m| m.endpoint.network_id == network_id)
    }

    /// The endpoints of a container.
    pub(crate) fn members_with<'a>(&'a self, container_id: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members
            .values()
            .filter(move |m| m.endpoint.container_id == container_id)
    }

    /// Give an endpoint's addresses back.
    pub(crate) fn release(&mut self, endpoint: &Endpoint) {
        let addresses = addresses_of(endpoint);
        for address in addresses {
            self.dying.remove(&(endpoint.network_id.clone(), address));
            if let Some(pool) = self
                .networks
                .get_mut(&endpoint.network_id)
                .and_then(|live| live.pool(address.is_ipv6()))
            {
                pool.release(address);
            }
        }
    }
}

/// The addresses of an endpoint.
pub(crate) fn addresses_of(endpoint: &Endpoint) -> Vec<IpAddr> {
    let v4 = endpoint.ipv4.map(|n| IpAddr::V4(n.addr()));
    v4.into_iter()
        .chain(endpoint.ipv6.map(|n| IpAddr::V6(n.addr())))
        .collect()
}

fn subnet_use(addresses: &Addresses) -> SubnetUse {
    let (in_use, available) = addresses.figures();
    SubnetUse {
        subnet: addresses.subnet(),
        in_use,
        available,
    }
}

fn connected(endpoint: &Endpoint) -> Connected {
    let mac = endpoint.mac.map(|b| format!("{b:02x}")).join(":");
    Connected {
        name: endpoint.container_name.clone(),
        endpoint_id: endpoint.id.clone(),
        mac: if endpoint.interface.is_empty() {
            String::new()
        } else {
            mac
        },
        ipv4: endpoint.ipv4.map(|n| n.to_string()).unwrap_or_default(),
        ipv6: endpoint.ipv6.map(|n| n.to_string()).unwrap_or_default(),
    }
}
