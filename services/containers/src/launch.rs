//! From a record to a running process: network, volumes, files, plan, monitor.

mod files;
mod network;
mod plan;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fault::{Fault, Kind};
use log_drivers::Timestamp;
use monitor::Spawned;
use monitor::channel::ChannelError;
use monitor::protocol::{Failure, Report, Request};
use networks::Endpoint;

use crate::Error;
use crate::attach::Client;
use crate::cell::Cell;
use crate::house::House;
use crate::link::Link;
use crate::record::Record;

pub(crate) use files::{extra_hosts, generated_before, rewrite_hosts};
pub(crate) use network::{check_endpoint, check_endpoints, endpoint_request, port_requests, proxy_sockets};
pub(crate) use plan::{log_config, make_dir, process_lookup, resolve_mounts};

/// A container whose process runs.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) link: Arc<Link>,
    pub(crate) pid: i32,
    pub(crate) started: Timestamp,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Exit code of a container that did not start for another reason than its command, as Docker's `State.ExitCode` has
/// it. (That `docker run` exits with 125 is the client's own doing.)
pub(crate) const UNKNOWN: i32 = 128;

/// Why a container did not start, in the words for `docker start` and for the record.
#[derive(Clone, Debug)]
pub(crate) struct LaunchError {
    pub(crate) message: String,
    /// The exit code in the record: 127 or 126 by what was wrong with the command, else [`UNKNOWN`].
    pub(crate) code: i32,
    kind: Kind,
}

impl LaunchError {
    pub(crate) fn of(fault: impl Fault) -> Self {
        Self {
            message: fault.to_string(),
            code: UNKNOWN,
            kind: fault.kind(),
        }
    }

    fn failure(failure: Failure) -> Self {
        let (code, kind) = match failure.exit_code {
            125 => (UNKNOWN, Kind::System),
            code => (code, Kind::InvalidParameter),
        };
        Self {
            message: failure.message,
            code,
            kind,
        }
    }

    fn monitor(record: &Record, problem: impl std::fmt::Display) -> Self {
        Self::of(Error::Monitor {
            container: record.id.clone(),
            problem: problem.to_string(),
        })
    }

    /// The error for whoever asked for the start.
    pub(crate) fn told(&self) -> Error {
        Error::Launch {
            message: self.message.clone(),
            code: self.code,
            kind: self.kind,
        }
    }
}

/// Starts a container. Everything is undone when it fails.
pub(crate) async fn launch(
    house: &Arc<House>,
    record: &Record,
    clients: Vec<Client>,
) -> Result<Launched, LaunchError> {
    let network = network::prepare(house, record).await?;
    durable::crash_point("containers.start.network-allocated");
    let result = run(house, record, &network, clients).await;
    if result.is_err() {
        crate::teardown::release_network(house, &record.id, &network.endpoints).await;
        let _ = std::fs::remove_dir_all(house.state_dir(&record.id));
    }
    result.map(|(link, pid, started)| Launched {
        link,
        pid,
        started,
        endpoints: network.endpoints,
    })
}

type Running = (Arc<Link>, i32, Timestamp);

async fn run(
    house: &Arc<House>,
    record: &Record,
    network: &network::Prepared,
    clients: Vec<Client>,
) -> Result<Running, LaunchError> {
    let mounts = resolve_mounts(house, record).await.map_err(LaunchError::of)?;
    let spawned = spawn(house, record, network, mounts).await?;
    durable::crash_point("containers.start.monitor-spawned");
    tokio::spawn(reap(spawned.pidfd));
    let link = Link::new(spawned.control).map_err(|error| LaunchError::monitor(record, error))?;
    let link = Arc::new(link);
    let result = converse(house, record, network, &link, clients).await;
    if result.is_err() {
        give_up(&link).await;
        link.close();
    }
    let (pid, started) = result?;
    for mount in record.mounts.iter().filter(|mount| mount.kind == "volume") {
        let how = BTreeMap::from([
            ("container".to_owned(), record.id.clone()),
            ("destination".to_owned(), mount.destination.clone()),
            ("read/write".to_owned(), (!mount.read_only).to_string()),
            ("propagation".to_owned(), mount.propagation.clone()),
        ]);
        house
            .parts
            .volumes
            .tell_use("mount", &mount.name, &mount.driver, how);
    }
    Ok((link, pid, started))
}

/// Brings the monitor from its birth to the running process; the network is attached meanwhile.
async fn converse(
    house: &Arc<House>,
    record: &Record,
    network: &network::Prepared,
    link: &Arc<Link>,
    clients: Vec<Client>,
) -> Result<(i32, Timestamp), LaunchError> {
    let (created, attached) = tokio::join!(created(record, link), network::attach(house, network));
    let pid = created?;
    attached?;
    durable::crash_point("containers.start.created");
    for client in clients {
        // A client that went away in the meantime is no reason not to start.
        if let Err(error) = client.connect(link).await {
            tracing::debug!(container = %record.id, %error, "a client was not attached");
        }
    }
    // A monitor that has given up says why in what it sent before.
    match link.send(&Request::Start, &[]).await {
        Ok(()) | Err(ChannelError::Closed) => {}
        Err(error) => return Err(LaunchError::monitor(record, error)),
    }
    loop {
        match receive(record, link).await? {
            Report::Started { at } => {
                durable::crash_point("containers.start.started");
                return Ok((pid, at));
            }
            Report::StartFailed(failure) | Report::CreateFailed(failure) => {
                return Err(LaunchError::failure(failure));
            }
            other => link.heard(&other),
        }
    }
}

async fn created(record: &Record, link: &Link) -> Result<i32, LaunchError> {
    loop {
        match receive(record, link).await? {
            Report::Created { pid, .. } => return Ok(pid),
            Report::CreateFailed(failure) => return Err(LaunchError::failure(failure)),
            _ => {}
        }
    }
}

async fn receive(record: &Record, link: &Link) -> Result<Report, LaunchError> {
    match link.receive().await {
        Ok(received) => Ok(received.message),
        Err(error) => Err(LaunchError::monitor(
            record,
            format!("ended before the container ran: {error}"),
        )),
    }
}

/// Ends a monitor whose container is not wanted any more, and waits until it is gone.
async fn give_up(link: &Link) {
    if link.send(&Request::Shutdown, &[]).await.is_ok() {
        while link.receive::<Report>().await.is_ok() {}
    }
}

async fn spawn(
    house: &Arc<House>,
    record: &Record,
    network: &network::Prepared,
    mounts: plan::Mounts,
) -> Result<Spawned, LaunchError> {
    let joined = network::join_others(house, record).map_err(LaunchError::of)?;
    let netns = match &network.netns {
        Some(fd) => Some(fd.try_clone().map_err(LaunchError::of)?),
        None => None,
    };
    let sockets = network.sockets()?;
    let endpoints = network.endpoints.clone();
    let (house, record) = (house.clone(), record.clone());
    let work = move || plan::spawn(&house, &record, &endpoints, joined, mounts, netns, sockets);
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(LaunchError::of),
        Err(error) => Err(LaunchError::of(std::io::Error::other(error))),
    }
}

/// Waits for the end of a child, so that it does not stay a zombie.
pub(crate) async fn reap(pidfd: OwnedFd) {
    let Ok(pidfd) = crate::ready::register(pidfd) else {
        return;
    };
    // Ready means ended; an error means that it was waited for already.
    if pidfd.readable().await.is_ok() {
        use std::os::fd::AsFd;
        let id = rustix::process::WaitId::PidFd(pidfd.get_ref().as_fd());
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
    }
}

/// Listens to a monitor until it ends, and puts what it says into the actor's mailbox.
pub(crate) async fn listen(cell: Arc<Cell>, link: Arc<Link>, house: Arc<House>) {
    use crate::actor::{Heard, Message};
    use monitor::protocol::EndOfAttach;
    while let Ok(received) = link.receive::<Report>().await {
        match received.message {
            Report::Exited(exit) => cell.tell(Message::Heard(link.clone(), Heard::Exited(exit))),
            Report::OomKilled => cell.tell(Message::Heard(link.clone(), Heard::OomKilled)),
            Report::AttachEnded {
                why: EndOfAttach::Detached,
                ..
            } => {
                house.event(&cell.view().record, "detach", &[]);
            }
            Report::SignalFailed { signal, message } => {
                tracing::warn!(container = %cell.id, signal, message, "signal refused");
            }
            Report::LogFailed { message } => {
                tracing::error!(container = %cell.id, message, "log lines are lost");
            }
            Report::ProxyFailed { message } => {
                tracing::error!(container = %cell.id, message, "published ports are not served on loopback");
            }
            other => link.heard(&other),
        }
    }
    link.close();
    cell.tell(Message::Heard(link, Heard::Gone));
}
