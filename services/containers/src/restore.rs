//! After a restart of the daemon: what was there before is there again.
//!
//! Containers that run are found by their monitors' sockets; those that ended meanwhile left an exit record; what
//! has no owner is swept away. A new boot of the machine is told apart by the exec root, which it wipes.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use durable::volatile;
use images::Use;
use log_drivers::Timestamp;
use monitor::plan::{ExitRecord, StateFile};
use monitor::protocol::Phase as MonitorPhase;

use crate::actor::Message;
use crate::health::kill_orphans;
use crate::house::{Holds, House};
use crate::link::Link;
use crate::machine::{Command, Input, Machine, Phase};
use crate::record::Record;
use crate::{Error, actor, exec, house, launch, spec, teardown};

/// How long a monitor may take to end a container that must not run.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// What became of the process of a container.
enum Found {
    /// It runs; its monitor listens.
    Running(Arc<Link>),
    /// It ended while the daemon was away.
    Ended(ExitRecord),
    /// It did not run when the daemon ended.
    Idle,
    /// It ran before the machine was started anew.
    Rebooted,
}

/// Brings all containers back. `new_boot` says that the machine has been started since.
///
/// # Errors
/// The records cannot be read.
pub(crate) async fn restore(house: &Arc<House>, new_boot: bool) -> Result<(), Error> {
    let records = records(house)?;
    let (mut to_start, mut to_remove) = (Vec::new(), Vec::new());
    for record in records {
        let id = record.id.clone();
        match one(house, record, new_boot).await {
            Ok(Next::Start) => to_start.push(id),
            Ok(Next::Rest) => {}
            Ok(Next::Remove(record)) => to_remove.push(record),
            Err(error) => tracing::error!(container = %id, %error, "container not restored"),
        }
    }
    // Once every container holds its volumes, also those that it has from one of these.
    for record in to_remove {
        tracing::info!(container = %record.id, "removal finished that the last daemon began");
        let volumes = record.remove_volumes || record.host_config.auto_remove;
        if let Err(error) = teardown::delete(house, &record, volumes).await {
            tracing::error!(container = %record.id, %error, "removal not finished");
        }
    }
    sweep(house).await;
    for id in to_start {
        if let Ok(cell) = house.find(&id) {
            tokio::spawn(async move {
                if let Err(error) = cell.ask(Command::Start).await {
                    tracing::error!(container = %cell.id, %error, "container not started at boot");
                }
            });
        }
    }
    Ok(())
}

/// The newest version of every record: that of this boot if there is one, else the row.
fn records(house: &House) -> Result<Vec<Record>, Error> {
    let mut all: Vec<Record> = Vec::new();
    for (id, row) in house.rows.all() {
        let newer = read_volatile(&house.record_file(&id));
        all.push(newer.unwrap_or_else(|| (*row).clone()));
    }
    let known: HashSet<String> = all.iter().map(|record| record.id.clone()).collect();
    let dir = house.records_dir();
    let entries = std::fs::read_dir(&dir).map_err(|source| Error::File {
        action: "read",
        path: dir,
        source,
    })?;
    for entry in entries.flatten() {
        let Some(record) = read_volatile(&entry.path()) else {
            continue;
        };
        if known.contains(&record.id) {
            continue;
        }
        if record.host_config.auto_remove {
            all.push(record);
        } else {
            // Its row was never written or is gone: it was being made, or being removed.
            discard(house, &record);
        }
    }
    all.sort_by_key(|record| record.created);
    Ok(all)
}

fn read_volatile(path: &Path) -> Option<Record> {
    match volatile::read(path) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(%error, "a record of this boot cannot be read");
            None
        }
    }
}

fn discard(house: &House, record: &Record) {
    let _ = std::fs::remove_file(house.record_file(&record.id));
    let _ = std::fs::remove_dir_all(house.data_dir(&record.id));
}

/// What is to be done with a container once all are known.
enum Next {
    Start,
    Rest,
    /// Its removal was not answered, but the layer is gone: what is left is of no use to anybody.
    Remove(Box<Record>),
}

/// Brings one container back.
async fn one(house: &Arc<House>, mut record: Record, new_boot: bool) -> Result<Next, Error> {
    let policy = house::policy(&record.host_config);
    let found = find(house, &record, new_boot).await;
    let was_running = record.run.running;
    let phase = match &found {
        Found::Running(_) if record.run.paused => Phase::Paused,
        Found::Running(_) | Found::Ended(_) => Phase::Running,
        Found::Idle | Found::Rebooted if record.dead => Phase::Dead,
        Found::Idle | Found::Rebooted if record.run.started.is_none() && record.run.finished.is_none() => {
            Phase::Created
        }
        Found::Idle | Found::Rebooted => Phase::Exited,
    };
    let running = matches!(found, Found::Running(_));
    if let Some(layer) = &record.layer {
        (house.parts.images.adopt_container_layer(layer)).map_err(Error::part)?;
    }
    if !running && removal_began(house, &record) {
        return Ok(Next::Remove(Box::new(record)));
    }
    take_holds(house, &record, running)?;
    if let Found::Rebooted = found {
        rebooted(&mut record);
    }
    if record.remove_volumes && !record.dead {
        // The removal had taken nothing yet, and the next one says anew what it takes.
        record.remove_volumes = false;
        house.write(&record)?;
    }
    if let Found::Idle = found {
        // The daemon died between the end and the release of its addresses, or before they were used: the next start
        // takes new ones, and the sweep removes what is left of these.
        record.run.endpoints.clear();
    }
    restore_network(house, &record, running).await;
    let machine = Machine::new(phase, policy, record.host_config.auto_remove)
        .resume(record.restart_count, record.manually_stopped);
    house.directory.reserve(&record.name, &record.id)?;
    let cell = actor::spawn(house, record.clone(), machine);
    house.directory.insert(&record.id, cell.clone());
    match found {
        Found::Running(link) => {
            let execs = house.state_dir(&record.id).join("execs");
            kill_orphans(&execs, kill_leftovers);
            exec::adopt(house, &cell, &execs).await;
            cell.tell(Message::Adopt(link));
        }
        Found::Ended(exit) => cell.tell(Message::Exited(exit)),
        Found::Idle if record.host_config.auto_remove => {
            // Made and not started, or ended and not yet removed: nobody will come back for it after its end.
            if record.run.finished.is_some() {
                cell.tell(Message::Outcome(Input::TornDown));
            }
        }
        Found::Idle | Found::Rebooted => {}
    }
    let code = record.run.exit_code;
    let waits = !was_running && !new_boot && record.run.finished.is_some() && !record.manually_stopped;
    let start = match found_start(new_boot, waits) {
        Start::Boot => policy.wants_boot(was_running, record.manually_stopped, code),
        // The daemon died while the container waited for its next start.
        Start::Policy => policy.wants_restart(code, record.restart_count, record.manually_stopped),
        // `always` brings back with the daemon what was stopped by hand; only `unless-stopped` remembers that.
        Start::No => !was_running && record.manually_stopped && policy.wants_boot(false, true, code),
    };
    Ok(if start { Next::Start } else { Next::Rest })
}

/// A container's layer is the first thing that a removal takes.
fn removal_began(house: &House, record: &Record) -> bool {
    let recipe = record
        .layer
        .as_ref()
        .map(|layer| house.parts.images.container_recipe(&layer.container));
    matches!(&recipe, Some(Err(error)) if fault::Fault::kind(error) == fault::Kind::NotFound)
}

enum Start {
    Boot,
    Policy,
    No,
}

fn found_start(new_boot: bool, waits: bool) -> Start {
    match (new_boot, waits) {
        (true, _) => Start::Boot,
        (false, true) => Start::Policy,
        (false, false) => Start::No,
    }
}

async fn find(house: &Arc<House>, record: &Record, new_boot: bool) -> Found {
    let state_dir = house.state_dir(&record.id);
    if new_boot {
        return if record.run.running {
            Found::Rebooted
        } else {
            Found::Idle
        };
    }
    match Link::reconnect(&state_dir.join("monitor.sock")).await {
        Ok((link, Some(MonitorPhase::Running { .. }))) if record.run.running => {
            return Found::Running(Arc::new(link));
        }
        Ok((link, None)) if record.run.running => {
            tracing::warn!(container = %record.id, "the monitor does not answer; its container is taken to run");
            return Found::Running(Arc::new(link));
        }
        Ok((link, Some(MonitorPhase::Exited(exit)))) => {
            drop(link);
            if record.run.running {
                return Found::Ended(exit);
            }
        }
        // The daemon died before it wrote down that the container runs: nobody was told so, and its network is not known.
        Ok((link, _)) => {
            let ended = async {
                let _ = link.send(&monitor::protocol::Request::Shutdown, &[]).await;
                while link.receive::<monitor::protocol::Report>().await.is_ok() {}
            };
            // One that lingers for a slow client has let go of everything else.
            drop(tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await);
        }
        Err(_) => {}
    }
    if record.run.running {
        return Found::Ended(house.read_exit(record).unwrap_or_else(|| lost(record)));
    }
    // A start that did not get to its end may have left something.
    kill_leftovers(&state_dir);
    teardown::remove_cgroup(house, record).await;
    Found::Idle
}

/// The end of a container whose monitor left no record: it was killed, and the container with it.
fn lost(record: &Record) -> ExitRecord {
    ExitRecord {
        id: record.id.clone(),
        exit_code: 137,
        oom_killed: false,
        started_at: record.run.started,
        finished_at: Timestamp::now(),
        error: "the monitor of this container died while the daemon was away".into(),
    }
}

/// Ends a process that a dead monitor left, if it is still the same process.
fn kill_leftovers(state_dir: &Path) {
    let Ok(Some(state)) = volatile::read::<StateFile>(&state_dir.join("state.json")) else {
        return;
    };
    let Some(pid) = rustix::process::Pid::from_raw(state.pid) else {
        return;
    };
    if linux::process::start_time(pid).is_ok_and(|start| start == state.start_time) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The machine went down under a running container.
fn rebooted(record: &mut Record) {
    let run = &mut record.run;
    run.running = false;
    run.paused = false;
    run.pid = 0;
    run.exit_code = 255;
    run.finished = Some(Timestamp::now());
    run.endpoints.clear();
}

fn take_holds(house: &Arc<House>, record: &Record, running: bool) -> Result<(), Error> {
    let images = &house.parts.images;
    let label = format!("container {}", &record.id[..12]);
    let how = if running { Use::Running } else { Use::Stopped };
    // An image that was deleted by force while the container was stopped is held by its layers alone.
    let image = record
        .image_id
        .parse()
        .ok()
        .and_then(|id| images.hold(&id, &label, how).ok());
    let mut volumes = Vec::new();
    for mount in record.mounts.iter().filter(|mount| mount.kind == "volume") {
        volumes.push(
            house
                .parts
                .volumes
                .hold(&mount.name, &record.id)
                .map_err(Error::part)?,
        );
    }
    house.keep_holds(&record.id, Holds { image, volumes });
    Ok(())
}

async fn restore_network(house: &Arc<House>, record: &Record, running: bool) {
    let netns = running
        .then(|| std::fs::File::open(format!("/proc/{}/ns/net", record.run.pid)).ok())
        .flatten();
    for endpoint in &record.run.endpoints {
        use std::os::fd::AsFd;
        let netns = netns.as_ref().map(AsFd::as_fd);
        if let Err(error) = house.parts.networks.restore(endpoint, netns).await {
            tracing::warn!(container = %record.id, endpoint = endpoint.id, %error, "endpoint not restored");
        }
    }
}

/// Removes files that belong to no container; the other services sweep what is theirs.
async fn sweep(house: &Arc<House>) {
    let known: HashSet<String> = house
        .directory
        .all()
        .into_iter()
        .map(|cell| cell.id.clone())
        .collect();
    for dir in [
        house.settings.data_root.join("containers"),
        house.settings.exec_root.join("containers"),
    ] {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if known.contains(&name) {
                continue;
            }
            kill_leftovers(&entry.path());
            let path = spec::cgroup_below(&house.settings.cgroup_parent, &name, &house.settings);
            let house = house.clone();
            let cleaned = tokio::task::spawn_blocking(move || {
                let cgroup = cgroups::Cgroup::open(&house.layout, &path)?;
                cgroup.kill()?;
                cgroup.remove()
            });
            if let Ok(Err(error)) = cleaned.await {
                tracing::warn!(container = name, %error, "cgroup of an unknown container not removed");
            }
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    if let Err(error) = house.parts.images.sweep().await {
        tracing::error!(%error, "leftovers of images not removed");
    }
    if let Err(error) = house.parts.networks.sweep().await {
        tracing::error!(%error, "leftovers of networks not removed");
    }
    let _ = launch::make_dir(&house.records_dir());
}
