//! The service itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use durable::{Scope, Table};
use events::Events;
use network_drivers::bridge::Bridge;
use network_drivers::firewall::Firewall;
use network_drivers::{Driver, Host, Null, Sandbox};
use tokio::sync::Notify;

use crate::row::NetworkRow;
use crate::state::State;
use crate::{Config, Error, Network, plan};

/// The networks that always exist.
pub(crate) const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// How long after the use of a spare namespace to make another.
const RESTOCK_DELAY: std::time::Duration = std::time::Duration::from_millis(20);

/// All networks of this daemon. Use it as `Arc<Networks>`.
#[derive(Debug)]
pub struct Networks {
    pub(crate) config: Config,
    pub(crate) scope: Scope,
    pub(crate) table: Table<NetworkRow>,
    pub(crate) events: Arc<Events>,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) firewall: Option<Arc<Firewall>>,
    pub(crate) state: Arc<Mutex<State>>,
    /// Somebody left: addresses may be free again.
    pub(crate) released: Arc<Notify>,
    /// Networks are made and removed one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) healer: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// A promise that a network stays until this is dropped; from [`Networks::hold`].
#[derive(Debug)]
pub struct Hold {
    state: Weak<Mutex<State>>,
    network: String,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(live) = state.networks.get_mut(&self.network) {
                live.holds.remove(&self.number);
            }
        }
    }
}

impl Networks {
    /// Stop healing. Containers keep their networks; if none has any, everything that is in the kernel goes, so that a
    /// daemon that has ended leaves nothing behind: the next start makes it anew from the rows.
    pub async fn shutdown(&self) {
        if let Some(healer) = self.healer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            healer.abort();
        }
        let links: Vec<_> = {
            let state = self.state();
            if state.members.values().any(|m| m.attached) {
                return;
            }
            let of_row = |row: &NetworkRow| Some((plan::network(row).ok()?, self.driver(&row.spec.driver)));
            state
                .networks
                .values()
                .filter_map(|live| of_row(&live.row))
                .collect()
        };
        let firewall = self.firewall.clone();
        let removal = blocking(move || {
            for (plan, driver) in links {
                driver.delete_network(&plan)?;
            }
            Ok(firewall.map_or(Ok(()), |f| f.remove())?)
        });
        if let Err(error) = removal.await {
            tracing::warn!(%error, "links or firewall rules are left behind");
        }
    }

    /// Find a network by its full id, its full name, or the unique prefix of an id, in this order.
    pub fn resolve(&self, reference: &str) -> Result<Network, Error> {
        let state = self.state();
        Ok(state.shown(state.find(reference)?))
    }

    /// Promise that a network stays; `label` says for whom («container web»).
    pub fn hold(&self, reference: &str, label: &str) -> Result<Hold, Error> {
        let mut state = self.state();
        state.next_hold += 1;
        let number = state.next_hold;
        let live = state.find_mut(reference)?;
        if live.leaving {
            return Err(Error::NotFound(reference.to_owned()));
        }
        live.holds.insert(number, label.to_owned());
        Ok(Hold {
            state: Arc::downgrade(&self.state),
            network: live.row.id.clone(),
            number,
        })
    }

    /// A fresh network namespace for a container, with `lo` up. The service keeps what it needs to configure it
    /// until [`Networks::close_sandbox`]; the namespace lives as long as any process or descriptor is in it.
    pub async fn sandbox(&self, container_id: &str) -> Result<OwnedFd, Error> {
        let spare = self.state().spare.pop();
        let sandbox = Arc::new(match spare {
            Some(sandbox) => sandbox,
            None => blocking(|| Sandbox::create().map_err(Error::from)).await?,
        });
        self.restock();
        let fd = sandbox.fd().try_clone_to_owned();
        let fd = fd.map_err(|source| network_drivers::Error::Namespace {
            doing: "duplicate descriptor",
            source,
        })?;
        self.state().sandboxes.insert(container_id.to_owned(), sandbox);
        Ok(fd)
    }

    /// Make spare namespaces, a moment later: not while the start that took one needs the processor.
    pub(crate) fn restock(&self) {
        let wanted = self.config.spare_sandboxes;
        {
            let mut state = self.state();
            if state.restocking || state.spare.len() >= wanted {
                return;
            }
            state.restocking = true;
        }
        let state = Arc::downgrade(&self.state);
        tokio::spawn(async move {
            tokio::time::sleep(RESTOCK_DELAY).await;
            let restocked = blocking(move || restock(&state, wanted)).await;
            if let Err(error) = restocked {
                tracing::warn!(%error, "no spare network namespace could be made");
            }
        });
    }

    /// Forget the namespace of a container (it ended).
    pub fn close_sandbox(&self, container_id: &str) {
        let closed = self.state().sandboxes.remove(container_id);
        // Closing the last descriptor can start the end of the namespace: not under the lock.
        drop(closed);
    }

    /// The name of a container changed.
    pub fn renamed(&self, container_id: &str, name: &str) {
        for member in self
            .state()
            .members
            .values_mut()
            .filter(|m| m.endpoint.container_id == container_id)
        {
            member.endpoint.container_name = name.to_owned();
        }
    }

    /// The address that `host-gateway` stands for: that of the default bridge.
    pub fn host_gateway(&self) -> Option<IpAddr> {
        let state = self.state();
        state
            .find("bridge")
            .ok()?
            .row
            .spec
            .ipam
            .pools
            .iter()
            .find_map(|p| p.gateway)
    }

    /// The container's namespace: the one made here, or the one given.
    pub(crate) fn sandbox_of(
        &self,
        container_id: &str,
        netns: BorrowedFd<'_>,
    ) -> Result<Arc<Sandbox>, Error> {
        if let Some(sandbox) = self.state().sandboxes.get(container_id) {
            return Ok(Arc::clone(sandbox));
        }
        let sandbox = Arc::new(Sandbox::of(netns.as_fd())?);
        self.state()
            .sandboxes
            .insert(container_id.to_owned(), Arc::clone(&sandbox));
        Ok(sandbox)
    }

    pub(crate) fn driver(&self, name: &str) -> Arc<dyn Driver> {
        match name {
            "host" => Arc::new(Host),
            "null" => Arc::new(Null),
            _ => Arc::clone(&self.bridge) as Arc<dyn Driver>,
        }
    }

    pub(crate) fn publish(&self, action: &str, row: &NetworkRow, container: Option<&str>) {
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), row.spec.name.clone()),
            ("type".to_owned(), row.spec.driver.clone()),
        ]);
        attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
        self.events
            .publish(events::Kind::Network, action, &row.id, attributes);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn restock(state: &Weak<Mutex<State>>, wanted: usize) -> Result<(), Error> {
    loop {
        // Made before the lock is taken: it takes a millisecond.
        let made = Sandbox::create();
        let Some(state) = state.upgrade() else {
            return Ok(());
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(sandbox) => state.spare.push(sandbox),
            Err(error) => {
                state.restocking = false;
                return Err(error.into());
            }
        }
        if state.spare.len() >= wanted {
            state.restocking = false;
            return Ok(());
        }
    }
}

/// Run something that talks to the kernel on the pool of blocking threads.
pub(crate) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Error::ShuttingDown),
    }
}
