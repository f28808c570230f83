//! Endpoints: decided, made, unmade, and declared again after a restart.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use network_drivers::{Gone, Sandbox, ipam, port};

use crate::service::{Networks, blocking};
use crate::state::{Member, addresses_of};
use crate::{Allocated, Endpoint, EndpointRequest, Error, decide, plan};

/// How long to wait for an address whose last user is just being taken away.
const WAIT_FOR_RELEASE: Duration = Duration::from_secs(20);

/// How often to look whether a port that was given back can be bound.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Networks {
    /// Decide an endpoint: its address and MAC, and bind its host ports. Nothing is in the kernel yet but the bound
    /// sockets. The endpoint counts as existing until [`Networks::detach`], which also undoes an allocation alone.
    pub async fn allocate(
        &self,
        container_id: &str,
        network: &str,
        request: EndpointRequest,
    ) -> Result<Allocated, Error> {
        let network = if network == "default" { "bridge" } else { network };
        let deadline = tokio::time::Instant::now() + WAIT_FOR_RELEASE;
        loop {
            // Listen before looking, so that no release is missed.
            let released = self.released.notified();
            match self.try_allocate(container_id, network, &request) {
                Err(Error::Address(ipam::Error::Exhausted { .. } | ipam::Error::InUse))
                    if !self.state().dying.is_empty() =>
                {
                    if tokio::time::timeout_at(deadline, released).await.is_err() {
                        return self.try_allocate(container_id, network, &request);
                    }
                }
                Err(Error::Publish {
                    source:
                        port::Error::Bind {
                            protocol, address, ..
                        },
                    ..
                }) if self.state().ports.may_linger(protocol, address.port()) => {
                    // There is no event for the end of a foreign socket. This ends: a port lingers for a while only.
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                decided => return decided,
            }
        }
    }

    /// Everything that will be refused of such an endpoint, as far as it is known before there is one: for whoever asks
    /// for a network long before it is joined.
    pub fn problems(&self, network: &str, request: &EndpointRequest) -> Result<Vec<String>, Error> {
        let network = if network == "default" { "bridge" } else { network };
        let state = self.state();
        let spec = &state.find(network)?.row.spec;
        Ok(match spec.driver.as_str() {
            "bridge" => decide::problems(spec, request),
            _ => Vec::new(),
        })
    }

    fn try_allocate(
        &self,
        container_id: &str,
        network: &str,
        request: &EndpointRequest,
    ) -> Result<Allocated, Error> {
        let mut state = self.state();
        let state = &mut *state;
        let id = state.find(network)?.row.id.clone();
        if state
            .members_of(&id)
            .any(|m| m.endpoint.container_id == container_id)
        {
            let container = request.container_name.clone();
            return Err(Error::AlreadyConnected {
                container,
                network: network.to_owned(),
            });
        }
        let used: Vec<String> = state
            .members_with(container_id)
            .map(|m| m.endpoint.interface.clone())
            .collect();
        let live = state.networks.get_mut(&id).filter(|l| !l.leaving);
        let live = live.ok_or_else(|| Error::NotFound(network.to_owned()))?;
        let mut endpoint = decide::blank(&live.row, container_id, request);
        if live.row.spec.driver != "bridge" {
            state
                .members
                .insert(endpoint.id.clone(), Member::new(endpoint.clone()));
            return Ok(Allocated {
                endpoint,
                sockets: Vec::new(),
            });
        }
        decide::validate(live, request)?;
        let prefix = plan::interface_prefix(&live.row.spec);
        endpoint.interface = decide::interface(prefix, &request.driver_opts, &used)?;
        endpoint.mtu = plan::mtu(&live.row.spec)?;
        decide::take_addresses(live, request, &mut endpoint)?;
        endpoint.mac = request.mac.unwrap_or_else(|| decide::mac_of(&endpoint));
        let binding = plan::default_binding(&live.row.spec).or(self.config.default_bind);
        match decide::claim_ports(state, &endpoint, request, binding) {
            Ok(sockets) => {
                endpoint.ports = sockets.0;
                state
                    .members
                    .insert(endpoint.id.clone(), Member::new(endpoint.clone()));
                Ok(Allocated {
                    endpoint,
                    sockets: sockets.1,
                })
            }
            Err(error) => {
                state.ports.release(&endpoint.id);
                state.release(&endpoint);
                Err(error)
            }
        }
    }

    /// Make an allocated endpoint real: the veth pair with its inner end in the namespace, addresses, routes, and the
    /// elements of its ports in the firewall's maps. `netns` is the container's namespace, as from
    /// [`Networks::sandbox`]; host and null need none, any will do.
    pub async fn attach(&self, endpoint: &Endpoint, netns: BorrowedFd<'_>) -> Result<(), Error> {
        self.join(endpoint, netns).await?;
        durable::crash_point("networks.attach.joined");
        self.tell("connect", endpoint);
        Ok(())
    }

    async fn join(&self, endpoint: &Endpoint, netns: BorrowedFd<'_>) -> Result<(), Error> {
        let (driver, sandbox) = (self.driver(&endpoint.driver), self.sandbox_for(endpoint, netns)?);
        let (plan, before) = {
            let mut state = self.state();
            // Who has the default routes now, and whether this one has the better claim.
            let has_route = |m: &&Member| m.default_route && m.endpoint.id != endpoint.id;
            let holder = state.members_with(&endpoint.container_id).find(has_route);
            let first = holder.is_none_or(|m| endpoint.claim() < m.endpoint.claim());
            let before = holder.map(|m| m.endpoint.id.clone());
            let bridge = state.find(&endpoint.network_id)?.row.bridge.clone();
            let member = state.members.get_mut(&endpoint.id);
            let member = member.ok_or_else(|| Error::NotFound(endpoint.network_name.clone()))?;
            let plan = decide::driver_plan(endpoint, bridge, first);
            member.attached = true;
            member.default_route = !plan.gateways.is_empty();
            let before = before.filter(|_| member.default_route);
            (plan, before)
        };
        let Some(sandbox) = sandbox else { return Ok(()) };
        let sysctls = decide::sysctls(&endpoint.driver_opts, &endpoint.interface)?;
        let join = move || {
            driver.join(&plan, &sandbox)?;
            Ok(sandbox.set_sysctls(&sysctls)?)
        };
        let joined = blocking(join).await;
        let mut state = self.state();
        if joined.is_err() {
            if let Some(member) = state.members.get_mut(&endpoint.id) {
                (member.attached, member.default_route) = (false, false);
            }
        } else if let Some(member) = before.and_then(|id| state.members.get_mut(&id)) {
            // The kernel has one default route: setting it has replaced the other's.
            member.default_route = false;
        }
        joined
    }

    /// Undo `attach` and `allocate`, also when the namespace is gone already. Returns when the ports are free again
    /// in our books (their sockets are the monitor's to close); the veth pair and the address go a little later.
    pub async fn detach(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let (member, bridge) = {
            let mut state = self.state();
            let Some(member) = state.members.remove(&endpoint.id) else {
                return Ok(());
            };
            state.ports.release(&endpoint.id);
            let bridge = state
                .networks
                .get(&endpoint.network_id)
                .map(|n| n.row.bridge.clone());
            if member.attached {
                state.dying.extend(
                    addresses_of(endpoint)
                        .into_iter()
                        .map(|a| (endpoint.network_id.clone(), a)),
                );
            } else {
                state.release(endpoint);
            }
            (member, bridge.unwrap_or_default())
        };
        if !member.attached {
            self.released.notify_waiters();
            return Ok(());
        }
        let (driver, plan) = (
            self.driver(&endpoint.driver),
            decide::driver_plan(endpoint, bridge, false),
        );
        let gone = self.on_gone(endpoint);
        blocking(move || driver.leave(&plan, gone).map_err(Error::from)).await?;
        durable::crash_point("networks.detach.left");
        if member.default_route {
            self.reroute(&endpoint.container_id).await?;
        }
        self.tell("disconnect", endpoint);
        Ok(())
    }

    /// After a restart of the daemon: this endpoint exists and its container runs (`netns` given) or keeps it reserved.
    /// The ports' sockets are with the monitor; missing kernel parts are made anew.
    pub async fn restore(&self, endpoint: &Endpoint, netns: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        {
            let mut state = self.state();
            let state = &mut *state;
            let live = state.find_mut(&endpoint.network_id)?;
            for address in addresses_of(endpoint) {
                if let Some(pool) = live.pool(address.is_ipv6()) {
                    pool.take(address)?;
                }
            }
            for port in &endpoint.ports {
                state
                    .ports
                    .note(port.host_ip, port.host_port, port.protocol, &endpoint.id);
            }
            state
                .members
                .insert(endpoint.id.clone(), Member::new(endpoint.clone()));
        }
        match netns {
            Some(netns) => self.join(endpoint, netns).await,
            None => Ok(()),
        }
    }

    /// All owners have declared their endpoints: remove every link and rule of this instance that has no owner.
    pub async fn sweep(&self) -> Result<(), Error> {
        let (endpoints, bridges) = {
            let state = self.state();
            let endpoints: Vec<String> = state.members.keys().cloned().collect();
            let bridges: Vec<String> = state.networks.values().map(|n| n.row.bridge.clone()).collect();
            (endpoints, bridges)
        };
        let (bridge, firewall) = (Arc::clone(&self.bridge), self.firewall.clone());
        let swept = blocking(move || {
            if let Some(firewall) = firewall {
                firewall.settle()?;
            }
            Ok(bridge.sweep(&endpoints, &bridges)?)
        });
        for link in swept.await? {
            tracing::info!(link, "removed a link without an owner");
        }
        Ok(())
    }

    /// What a container's default route leaves behind is taken over by another of its endpoints.
    async fn reroute(&self, container_id: &str) -> Result<(), Error> {
        let heir = {
            let mut state = self.state();
            let Some(sandbox) = state.sandboxes.get(container_id).cloned() else {
                return Ok(());
            };
            let heirs = state.members.values_mut().filter(|m| {
                m.attached && m.endpoint.container_id == container_id && m.endpoint.has_gateway()
            });
            let heir = heirs.min_by(|a, b| a.endpoint.claim().cmp(&b.endpoint.claim()));
            let Some(heir) = heir else { return Ok(()) };
            heir.default_route = true;
            (decide::driver_plan(&heir.endpoint, String::new(), true), sandbox)
        };
        let bridge = Arc::clone(&self.bridge);
        blocking(move || bridge.route_by(&heir.0, &heir.1).map_err(Error::from)).await
    }

    fn sandbox_for(&self, endpoint: &Endpoint, netns: BorrowedFd<'_>) -> Result<Option<Arc<Sandbox>>, Error> {
        match endpoint.driver.as_str() {
            "host" | "null" => Ok(None),
            _ => self.sandbox_of(&endpoint.container_id, netns).map(Some),
        }
    }

    /// Gives the addresses back when the kernel answers for them no more.
    fn on_gone(&self, endpoint: &Endpoint) -> Gone {
        let (state, released, endpoint) = (
            Arc::clone(&self.state),
            Arc::clone(&self.released),
            endpoint.clone(),
        );
        Box::new(move || {
            state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .release(&endpoint);
            released.notify_waiters();
        })
    }

    fn tell(&self, action: &str, endpoint: &Endpoint) {
        let row = self
            .state()
            .find(&endpoint.network_id)
            .map(|live| Arc::clone(&live.row));
        if let Ok(row) = row {
            self.publish(action, &row, Some(&endpoint.container_id));
        }
    }
}

impl Member {
    fn new(endpoint: Endpoint) -> Member {
        Member {
            endpoint,
            attached: false,
            default_route: false,
        }
    }
}
