//! `network connect` and `network disconnect`, for containers that run and for those that do not.
//!
//! The endpoint is made or unmade first and recorded after; one that is recorded by nobody, because the daemon died
//! between the two, is swept away when the daemon starts.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use api_types::network::{ConnectRequest, DisconnectRequest, EndpointSettings};
use durable::volatile;
use log_drivers::Timestamp;
use monitor::plan::StateFile;
use monitor::protocol::{PortTarget, Request};
use networks::{Allocated, Endpoint, Network};

use crate::cell::{Cell, View};
use crate::house::House;
use crate::machine::Phase;
use crate::record::{NetworkMode, Record};
use crate::{Error, exec, launch};

/// The driver of networks with addresses.
const BRIDGE: &str = "bridge";

/// Joins a network: at once if the container runs, else when it starts next.
///
/// # Errors
/// A network that cannot be joined beside the others; an address that is taken.
pub(crate) async fn connect(house: &Arc<House>, network: &str, request: ConnectRequest) -> Result<(), Error> {
    let network = house.parts.networks.resolve(network).map_err(Error::part)?;
    let cell = house.find(&request.container)?;
    let settings = request.endpoint_config.unwrap_or_default();
    let _turn = cell.network_turn().await;
    let view = cell.view();
    check_alive(&view)?;
    check_join(&view.record, &network)?;
    launch::check_endpoint(house, &view.record.name, &network.spec.name, &settings)?;
    if view.phase.has_process() {
        return connect_running(house, &cell, &view, &network, settings).await;
    }
    // A start that is under way would not see it.
    let _lease = cell.lease().await;
    cell.edit(move |record| {
        check_stopped(record)?;
        joined(record, &network, settings);
        Ok(())
    })
    .await
}

/// Leaves a network.
///
/// # Errors
/// The container is not in it; the host's network cannot be left.
pub(crate) async fn disconnect(
    house: &Arc<House>,
    network: &str,
    request: DisconnectRequest,
) -> Result<(), Error> {
    let found = house.parts.networks.resolve(network);
    let cell = house.find(&request.container)?;
    let _turn = cell.network_turn().await;
    let view = cell.view();
    check_alive(&view)?;
    let (id, name) = match found {
        Ok(found) => (found.id, found.spec.name),
        // Of a network that is gone, the wish to join it can be forgotten.
        Err(_) if request.force => (network.to_owned(), network.to_owned()),
        Err(error) => return Err(Error::part(error)),
    };
    if view.record.network() == NetworkMode::Host && name == "host" {
        return Err(Error::Invalid(HOST.into()));
    }
    if view.phase.has_process() {
        return disconnect_running(house, &cell, &view, &id, &name).await;
    }
    let _lease = cell.lease().await;
    cell.edit(move |record| {
        check_stopped(record)?;
        if left(record, &id, &name) {
            Ok(())
        } else {
            Err(not_connected(&record.id, &name))
        }
    })
    .await
}

const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
const HOST: &str = "container cannot be disconnected from host network or connected to host network";
const NONE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";

fn not_connected(container: &str, network: &str) -> Error {
    Error::Forbidden(format!(
        "container {container} is not connected to network {network}"
    ))
}

fn check_alive(view: &View) -> Result<(), Error> {
    match view.phase {
        Phase::Removing | Phase::Removed | Phase::Dead => Err(Error::Conflict(format!(
            "container {} is marked for removal and cannot be connected or disconnected to the network",
            view.record.id
        ))),
        _ => Ok(()),
    }
}

/// For a change that is made when nothing runs.
fn check_stopped(record: &Record) -> Result<(), Error> {
    if record.run.running {
        return Err(Error::Conflict(format!(
            "container {} was started in the meantime",
            record.id
        )));
    }
    Ok(())
}

/// Which networks go together.
fn check_join(record: &Record, network: &Network) -> Result<(), Error> {
    let conflict = |text: &str| Err(Error::Invalid(text.into()));
    match (record.network(), network.spec.driver.as_str()) {
        (NetworkMode::Container(_), _) => conflict(SHARED),
        (NetworkMode::Host, "host") => Ok(()),
        (NetworkMode::Host, _) => conflict(SHARED),
        (_, "host") => conflict(HOST),
        // One that has left `none` is in no network, and may join any.
        (NetworkMode::None, driver) if driver != "null" && !record.left_first => conflict(NONE),
        (_, "null") if !names(record).is_empty() => conflict(NONE),
        _ => Ok(()),
    }
}

/// The names of the networks that a container is in, or will be in.
fn names(record: &Record) -> Vec<&str> {
    let first = match record.network() {
        NetworkMode::Network(name) if !record.left_first => Some(name),
        _ => None,
    };
    let others = record.networks.keys().map(String::as_str);
    others.chain(first).collect()
}

/// Whether the network of `--network` is meant.
fn is_first(record: &Record, id: &str, name: &str) -> bool {
    match record.network() {
        NetworkMode::Network(first) => first == name || first == id,
        NetworkMode::None => name == "none",
        NetworkMode::Host | NetworkMode::Container(_) => false,
    }
}

fn joined(record: &mut Record, network: &Network, settings: EndpointSettings) {
    let name = &network.spec.name;
    if is_first(record, &network.id, name) {
        record.left_first = false;
    }
    // It may have been named by its id before.
    record.networks.remove(&network.id);
    record.networks.insert(name.clone(), settings);
}

/// Forgets a network; answers whether there was anything to forget.
fn left(record: &mut Record, id: &str, name: &str) -> bool {
    let by_name = record.networks.remove(name).is_some();
    let by_id = record.networks.remove(id).is_some();
    let as_first = is_first(record, id, name) && !record.left_first;
    record.left_first |= as_first;
    by_name || by_id || as_first
}

async fn connect_running(
    house: &Arc<House>,
    cell: &Arc<Cell>,
    view: &View,
    network: &Network,
    settings: EndpointSettings,
) -> Result<(), Error> {
    let netns = open_netns(house, view)?;
    let mut wanted = (*view.record).clone();
    joined(&mut wanted, network, settings.clone());
    // The first network with addresses is the one that ports are published on.
    let publishes = !wanted
        .run
        .endpoints
        .iter()
        .any(|endpoint| endpoint.driver == BRIDGE);
    let request = launch::endpoint_request(&wanted, &network.spec.name, publishes)?;
    let networks = &house.parts.networks;
    let Allocated { endpoint, sockets } = networks
        .allocate(&cell.id, &network.spec.name, request)
        .await
        .map_err(Error::part)?;
    let made = async {
        networks
            .attach(&endpoint, netns.as_fd())
            .await
            .map_err(Error::part)?;
        if !sockets.is_empty() {
            let sockets = launch::proxy_sockets(&endpoint, sockets);
            publish(view, sockets).await?;
        }
        let (network, endpoint) = (network.clone(), endpoint.clone());
        record_endpoints(house, cell, view.record.run.started, move |record| {
            joined(record, &network, settings);
            record.run.endpoints.push(endpoint);
        })
        .await
    };
    let result = made.await;
    if result.is_err() {
        undo(house, cell, &endpoint).await;
    }
    result
}

async fn undo(house: &House, cell: &Cell, endpoint: &Endpoint) {
    if let Err(error) = house.parts.networks.detach(endpoint).await {
        tracing::warn!(container = %cell.id, endpoint = endpoint.id, %error, "endpoint not released");
    }
}

async fn disconnect_running(
    house: &Arc<House>,
    cell: &Arc<Cell>,
    view: &View,
    id: &str,
    name: &str,
) -> Result<(), Error> {
    let mut endpoints = view.record.run.endpoints.iter();
    let Some(endpoint) = endpoints.find(|endpoint| endpoint.network_id == id).cloned() else {
        return Err(not_connected(&cell.id, name));
    };
    if !endpoint.ports.is_empty() {
        // The monitor holds the sockets; without them nobody listens.
        publish(view, Vec::new()).await?;
    }
    house
        .parts
        .networks
        .detach(&endpoint)
        .await
        .map_err(Error::part)?;
    let (id, name) = (id.to_owned(), name.to_owned());
    record_endpoints(house, cell, view.record.run.started, move |record| {
        left(record, &id, &name);
        record.run.endpoints.retain(|other| other.id != endpoint.id);
    })
    .await
}

/// Gives the monitor the sockets of the published ports, in place of those that it has.
async fn publish(view: &View, sockets: Vec<(PortTarget, OwnedFd)>) -> Result<(), Error> {
    let (ports, fds): (Vec<PortTarget>, Vec<OwnedFd>) = sockets.into_iter().unzip();
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let link = view.running_link()?;
    link.send(&Request::Ports { ports }, &fds)
        .await
        .map_err(Error::part)
}

/// Changes the record of the run that began at `started`, and the `hosts` file after it.
async fn record_endpoints<F>(
    house: &Arc<House>,
    cell: &Cell,
    started: Option<Timestamp>,
    change: F,
) -> Result<(), Error>
where
    F: FnOnce(&mut Record) + Send + 'static,
{
    cell.edit(move |record| {
        if !record.run.running || record.run.started != started {
            return Err(Error::Conflict(format!("container {} is not running", record.id)));
        }
        change(record);
        Ok(())
    })
    .await?;
    launch::rewrite_hosts(house, &cell.view().record)
}

/// Opens the network namespace of a running container, and makes sure that it is that of its PID 1.
fn open_netns(house: &House, view: &View) -> Result<File, Error> {
    let not_running = || Error::Conflict(format!("container {} is not running", view.record.id));
    view.running_link()?;
    let state = house.state_dir(&view.record.id).join("state.json");
    let state: StateFile = volatile::read(&state)
        .map_err(Error::part)?
        .ok_or_else(not_running)?;
    let pid = rustix::process::Pid::from_raw(state.pid).ok_or_else(not_running)?;
    let process = linux::process::pidfd_open(pid).map_err(|_| not_running())?;
    // Once the process is held and is the right one, its number means no other until it has ended.
    if linux::process::start_time(pid) != Ok(state.start_time) {
        return Err(not_running());
    }
    let path = format!("/proc/{}/ns/net", state.pid);
    let netns = File::open(&path).map_err(|source| Error::File {
        action: "open",
        path: path.into(),
        source,
    })?;
    if exec::has_ended(&process) {
        return Err(not_running());
    }
    Ok(netns)
}

#[cfg(test)]
mod tests;
