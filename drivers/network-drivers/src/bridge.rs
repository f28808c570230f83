//! The driver `bridge`: one Linux bridge per network, one veth pair per endpoint, rules in the firewall.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use netlink::{LinkChange, Route, RouteEntry, RouteScope, Veth, sysctl};
use rustix::io::Errno;

use crate::driver::Gone;
use crate::firewall::Firewall;
use crate::reaper::Reaper;
use crate::{Driver, EndpointPlan, Error, NetworkPlan, Sandbox, names};

/// How often to ask whether the cable is noticed, and how long to wait between: 100 ms at most.
const CARRIER_TRIES: u32 = 200;
const CARRIER_PAUSE: Duration = Duration::from_micros(500);

/// The driver.
pub struct Bridge {
    tag: String,
    route: Mutex<Route>,
    firewall: Option<Arc<Firewall>>,
    /// Whether to switch forwarding on.
    forward: bool,
    reaper: Reaper,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl Bridge {
    /// A driver that acts in the network namespace of the calling thread. Without a firewall no port is published
    /// but by the proxy, and nothing is masqueraded.
    pub fn open(tag: &str, firewall: Option<Arc<Firewall>>, forward: bool) -> Result<Bridge, Error> {
        let socket = || Route::open().map_err(Error::kernel("open a socket for", "the bridge driver"));
        let reaper = Reaper::start(socket()?).map_err(|source| Error::Namespace {
            doing: "start the thread that deletes links",
            source,
        })?;
        Ok(Bridge {
            tag: tag.to_owned(),
            route: Mutex::new(socket()?),
            firewall,
            forward,
            reaper,
        })
    }

    /// The subnets that the host uses itself: those of its addresses and routes, but not those of `except`.
    pub fn host_subnets(&self, except: &[String]) -> Result<Vec<IpNet>, Error> {
        let mut route = self.route();
        let error = || Error::kernel("list", "the host's subnets");
        let ours: Vec<u32> = route
            .links()
            .map_err(error())?
            .into_iter()
            .filter(|l| except.contains(&l.name))
            .map(|l| l.index)
            .collect();
        let addresses = route.addresses().map_err(error())?;
        let mut nets: Vec<IpNet> = addresses
            .into_iter()
            .filter(|a| !ours.contains(&a.link))
            .map(|a| a.net.trunc())
            .collect();
        let routes = route.routes().map_err(error())?;
        let specific = routes
            .into_iter()
            .filter(|r| !ours.contains(&r.link))
            .filter_map(|r| r.destination);
        nets.extend(specific.filter(|d| d.prefix_len() > 0));
        Ok(nets)
    }

    /// Make a bridge of this name, unless there is one: then says whether it is this instance's own.
    pub fn claim(&self, link: &str, mtu: u32) -> Result<bool, Error> {
        let mut route = self.route();
        let mac = bridge_mac(&self.tag, link);
        match route.add_bridge(link, Some(mac), mtu) {
            Err(e) if e.is(Errno::EXIST) => {
                let found = route.link(link).map_err(Error::kernel("look up", link))?;
                Ok(found.is_some_and(|l| l.kind == "bridge" && l.mac == mac))
            }
            other => other.map(|()| true).map_err(Error::kernel("make bridge", link)),
        }
    }

    /// The IPv4 address that a bridge has already, such as one from before a restart.
    pub fn address_of(&self, link: &str) -> Result<Option<IpNet>, Error> {
        let mut route = self.route();
        let error = || Error::kernel("look up", link);
        let Some(found) = route.link(link).map_err(error())? else {
            return Ok(None);
        };
        let addresses = route.addresses().map_err(error())?;
        Ok(addresses
            .into_iter()
            .find(|a| a.link == found.index && a.net.addr().is_ipv4())
            .map(|a| a.net))
    }

    /// Delete every veth and bridge that carries this instance's tag and is not named here. Says which.
    pub fn sweep(&self, endpoints: &[String], bridges: &[String]) -> Result<Vec<String>, Error> {
        let (veths, own) = (names::veth_prefix(&self.tag), names::bridge_prefix(&self.tag));
        let alive: Vec<String> = endpoints.iter().map(|e| names::veth(&self.tag, e)).collect();
        let links = self
            .route()
            .links()
            .map_err(Error::kernel("list links of", &self.tag))?;
        let stray = |l: &netlink::Link| match l.kind.as_str() {
            "veth" => l.name.starts_with(&veths) && !alive.contains(&l.name),
            "bridge" => l.name.starts_with(&own) && !bridges.contains(&l.name),
            _ => false,
        };
        let doomed: Vec<String> = links.into_iter().filter(stray).map(|l| l.name).collect();
        for link in &doomed {
            self.route()
                .delete_link(link)
                .map_err(Error::kernel("sweep", link))?;
        }
        Ok(doomed)
    }

    /// The kernel notices a plugged cable by a work of its own; until then frames are dropped on the floor, and a first
    /// ARP question that is lost costs a second. Asking for a link makes recent kernels (6.8) do that work at once.
    fn await_carrier(&self, endpoint: &EndpointPlan, near: &str, sandbox: &Sandbox) -> Result<(), Error> {
        let ready = |route: &mut Route, name: &str| {
            let link = route.link(name).map_err(Error::kernel("look up", name))?;
            Ok::<bool, Error>(link.is_none_or(|l| l.operational))
        };
        for _ in 0..CARRIER_TRIES {
            let inner = ready(&mut sandbox.route(), &endpoint.interface)?;
            let outer = ready(&mut self.route(), near)? && ready(&mut self.route(), &endpoint.bridge)?;
            if inner && outer {
                break;
            }
            std::thread::sleep(CARRIER_PAUSE);
        }
        Ok(())
    }

    /// Set the default routes of a container by this endpoint, which is in it already.
    pub fn route_by(&self, endpoint: &EndpointPlan, sandbox: &Sandbox) -> Result<(), Error> {
        let error = |doing| Error::kernel(doing, &endpoint.interface);
        let mut route = sandbox.route();
        let link = route.index(&endpoint.interface).map_err(error("look up"))?;
        set_default_routes(&mut route, endpoint, link)
    }

    fn publish(&self, endpoint: &EndpointPlan, near: &str) -> Result<(), Error> {
        let Some(firewall) = &self.firewall else {
            return Ok(());
        };
        if !endpoint.ports.is_empty() {
            // Where bridged packets pass the IP rules, a container's call to its own published port comes back
            // through the same port of the bridge.
            let mut route = self.route();
            let link = route.index(near).map_err(Error::kernel("look up", near))?;
            let hairpin = LinkChange {
                hairpin: Some(true),
                ..LinkChange::default()
            };
            route
                .set_link(link, &hairpin)
                .map_err(Error::kernel("let frames return by", near))?;
        }
        firewall.publish(endpoint)
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch_forwarding_on(&self, network: &NetworkPlan) -> Result<(), Error> {
        if !self.forward || network.internal {
            return Ok(());
        }
        sysctl::set("net/ipv4/ip_forward", "1").map_err(Error::kernel("switch on", "forwarding"))?;
        if network.subnets.iter().any(|s| s.net.addr().is_ipv6()) {
            for scope in ["default", "all"] {
                let name = format!("net/ipv6/conf/{scope}/forwarding");
                sysctl::set(&name, "1").map_err(Error::kernel("switch on", "IPv6 forwarding"))?;
            }
        }
        Ok(())
    }
}

impl Driver for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn create_network(&self, network: &NetworkPlan) -> Result<(), Error> {
        let error = |doing| Error::kernel(doing, &network.link);
        {
            let mut route = self.route();
            match route.add_bridge(
                &network.link,
                Some(bridge_mac(&self.tag, &network.link)),
                network.mtu,
            ) {
                Err(e) if e.is(Errno::EXIST) => {
                    let found = route.link(&network.link).map_err(error("look up"))?;
                    let Some(found) = found.filter(|l| l.kind == "bridge") else {
                        return Err(Error::NotABridge(network.link.clone()));
                    };
                    let up = LinkChange {
                        up: Some(true),
                        ..LinkChange::default()
                    };
                    route.set_link(found.index, &up).map_err(error("set up"))?;
                }
                other => other.map_err(error("make bridge"))?,
            }
            let index = route.index(&network.link).map_err(error("look up"))?;
            let wanted: Vec<IpNet> = network
                .subnets
                .iter()
                .filter_map(|s| IpNet::new(s.gateway, s.net.prefix_len()).ok())
                .collect();
            // Only from a bridge of our own making: one of the administrator's keeps what else it has.
            let made_here = |l: netlink::Link| l.mac == bridge_mac(&self.tag, &network.link);
            if route
                .link(&network.link)
                .map_err(error("look up"))?
                .is_some_and(made_here)
            {
                let present = route.addresses().map_err(error("list addresses of"))?;
                let stale = present
                    .iter()
                    .filter(|a| a.link == index && !wanted.contains(&a.net));
                for stale in stale.filter(|a| !link_local(a.net.addr())) {
                    route
                        .delete_address(index, stale.net)
                        .map_err(error("take an address from"))?;
                }
            }
            for net in wanted {
                route
                    .add_address(index, net)
                    .map_err(error("give an address to"))?;
            }
        }
        self.switch_forwarding_on(network)?;
        match &self.firewall {
            Some(firewall) => firewall.set_network(network),
            None => Ok(()),
        }
    }

    fn delete_network(&self, network: &NetworkPlan) -> Result<(), Error> {
        if let Some(firewall) = &self.firewall {
            firewall.remove_network(&network.link)?;
        }
        let mut route = self.route();
        let found = route
            .link(&network.link)
            .map_err(Error::kernel("look up", &network.link))?;
        // A bridge that the administrator made stays.
        if found.is_none_or(|l| l.mac != bridge_mac(&self.tag, &network.link)) {
            return Ok(());
        }
        route
            .delete_link(&network.link)
            .map_err(Error::kernel("delete bridge", &network.link))
    }

    fn join(&self, endpoint: &EndpointPlan, sandbox: &Sandbox) -> Result<(), Error> {
        let near = names::veth(&self.tag, &endpoint.id);
        let error = |doing| Error::kernel(doing, &near);
        let made = {
            let mut route = self.route();
            let bridge = route
                .index(&endpoint.bridge)
                .map_err(error("find the bridge of"))?;
            route.add_veth(&Veth {
                name: &near,
                master: Some(bridge),
                peer_name: &endpoint.interface,
                peer_netns: Some(sandbox.fd()),
                peer_mac: Some(endpoint.mac),
                mtu: endpoint.mtu,
            })
        };
        match made {
            // Made before a restart of the daemon: only mend what is inside.
            Err(e) if e.is(Errno::EXIST) => {}
            other => other.map_err(error("make veth pair"))?,
        }
        let inside = configure(endpoint, sandbox);
        let published = inside.and_then(|()| self.publish(endpoint, &near));
        let published = published.and_then(|()| self.await_carrier(endpoint, &near, sandbox));
        if published.is_err() {
            self.reaper.delete(near, Box::new(|| {}));
        }
        published
    }

    fn leave(&self, endpoint: &EndpointPlan, gone: Gone) -> Result<(), Error> {
        let unpublished = match &self.firewall {
            Some(firewall) => firewall.unpublish(endpoint),
            None => Ok(()),
        };
        let (firewall, plan) = (self.firewall.clone(), endpoint.clone());
        let gone = move || {
            if let Some(firewall) = firewall {
                // Nobody waits for this answer; the connections end by their timeouts then.
                let _ = firewall.forget_endpoint(&plan);
            }
            gone();
        };
        let near = names::veth(&self.tag, &endpoint.id);
        self.reaper.delete(near, Box::new(gone));
        unpublished
    }
}

/// The inner end: up, addresses, routes.
fn configure(endpoint: &EndpointPlan, sandbox: &Sandbox) -> Result<(), Error> {
    let error = |doing| Error::kernel(doing, &endpoint.interface);
    if endpoint.ipv6.is_some() {
        sandbox.enable_ipv6(&endpoint.interface)?;
    }
    let mut route = sandbox.route();
    let link = route.index(&endpoint.interface).map_err(error("look up"))?;
    route
        .set_link(
            link,
            &LinkChange {
                up: Some(true),
                ..LinkChange::default()
            },
        )
        .map_err(error("set up"))?;
    let addresses = [endpoint.ipv4.map(IpNet::V4), endpoint.ipv6.map(IpNet::V6)];
    for net in addresses.into_iter().flatten() {
        route
            .add_address(link, net)
            .map_err(error("give an address to"))?;
    }
    set_default_routes(&mut route, endpoint, link)
}

fn set_default_routes(route: &mut Route, endpoint: &EndpointPlan, link: u32) -> Result<(), Error> {
    for gateway in &endpoint.gateways {
        let default = RouteEntry {
            destination: None,
            gateway: Some(*gateway),
            link,
            scope: RouteScope::Universe,
        };
        let error = Error::kernel("add the default route by", &endpoint.interface);
        route.add_route(&default).map_err(error)?;
    }
    Ok(())
}

/// A fixed address for the bridge: without one it would change with its ports, and neighbours would lose it. It is
/// also the sign by which an instance knows its own (FNV-1a of tag and name), set in the moment of creation.
fn bridge_mac(tag: &str, link: &str) -> [u8; 6] {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = tag
        .as_bytes()
        .iter()
        .chain(b"/")
        .chain(link.as_bytes())
        .fold(0x811c_9dc5, step);
    let [a, b, c, d] = hash.to_be_bytes();
    [2, 0x42, a, b, c, d]
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}
