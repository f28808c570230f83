//! What is undone when a run ends, and when a container goes away. Every step may be repeated: after a crash it
//! finds its work done and says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use durable::volatile;
use monitor::plan::StateFile;
use networks::Endpoint;

use crate::Error;
use crate::house::House;
use crate::record::Record;

/// Takes down what a run had: network, cgroup, the files of its monitor. By the time a monitor reports the end, it
/// has let go of everything else; it may itself stay for a while, for a client that still reads.
pub(crate) async fn end_of_run(house: &Arc<House>, record: &Record) {
    house.execs.forget_unstarted(&record.id);
    release_network(house, &record.id, &record.run.endpoints).await;
    durable::crash_point("containers.stop.network-released");
    if house.read_exit(record).is_none() {
        // The monitor died before it could clean up.
        remove_cgroup(house, record).await;
    }
    for mount in record.mounts.iter().filter(|mount| mount.kind == "volume") {
        let how = BTreeMap::from([("container".to_owned(), record.id.clone())]);
        house
            .parts
            .volumes
            .tell_use("unmount", &mount.name, &mount.driver, how);
    }
    if !record.host_config.auto_remove {
        remove_dir(&house.state_dir(&record.id));
    }
    durable::crash_point("containers.stop.torn-down");
}

/// Gives addresses and ports back.
pub(crate) async fn release_network(house: &House, id: &str, endpoints: &[Endpoint]) {
    for endpoint in endpoints {
        if let Err(error) = house.parts.networks.detach(endpoint).await {
            tracing::warn!(container = id, endpoint = endpoint.id, %error, "endpoint not released");
        }
    }
    house.parts.networks.close_sandbox(id);
}

/// Kills the monitor of a container, if it is still the process that its state file names. The container follows: what is
/// left of it in its cgroup is killed when its run is torn down.
pub(crate) fn kill_monitor(house: &House, id: &str) {
    let Ok(Some(state)) = volatile::read::<StateFile>(&house.state_dir(id).join("state.json")) else {
        return;
    };
    let Some(pid) = rustix::process::Pid::from_raw(state.monitor_pid) else {
        return;
    };
    let is_it = linux::process::start_time(pid).is_ok_and(|start| start == state.monitor_start_time);
    if is_it && rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok() {
        tracing::warn!(container = id, "the monitor did not react and was killed");
    }
}

/// Kills whatever is left in a container's cgroup, and removes it.
pub(crate) async fn remove_cgroup(house: &Arc<House>, record: &Record) {
    let (house, record) = (house.clone(), record.clone());
    let id = record.id.clone();
    let work = move || {
        let cgroup = house.cgroup(&record)?;
        match cgroup.kill() {
            // What kills may be gone while a crash has left the group in other hierarchies.
            Ok(()) | Err(cgroups::Error::NotFound(_)) => cgroup.remove(),
            Err(error) => Err(error),
        }
    };
    match tokio::task::spawn_blocking(work).await {
        // After a kill it may never have been made.
        Ok(Ok(()) | Err(cgroups::Error::NotFound(_))) => {}
        Ok(Err(error)) => tracing::warn!(container = %id, %error, "cgroup not removed"),
        Err(error) => tracing::warn!(container = %id, %error, "cgroup not removed"),
    }
}

/// Deletes a container: its layer, its files, its rows, and its anonymous volumes if asked for.
///
/// # Errors
/// What could not be deleted; a later attempt goes on from there.
pub(crate) async fn delete(house: &Arc<House>, record: &Record, volumes: bool) -> Result<(), Error> {
    durable::crash_point("containers.remove.begun");
    house.execs.forget_container(&record.id);
    house
        .parts
        .images
        .remove_container_layer(&record.id)
        .await
        .map_err(Error::part)?;
    durable::crash_point("containers.remove.layer-removed");
    remove_dir(&house.data_dir(&record.id));
    remove_dir(&house.state_dir(&record.id));
    durable::crash_point("containers.remove.files-removed");
    house.release_holds(&record.id);
    if volumes {
        // Before the record, which alone says that they are to go.
        remove_anonymous_volumes(house, record).await;
        durable::crash_point("containers.remove.volumes-removed");
    }
    if !record.host_config.auto_remove {
        let commit = house
            .tables
            .transaction()
            .delete(&house.rows, &record.id)
            .commit();
        commit.await.map_err(Error::part)?;
    }
    remove_file(&house.record_file(&record.id))?;
    durable::crash_point("containers.remove.record-removed");
    house.directory.remove(&record.id);
    Ok(())
}

async fn remove_anonymous_volumes(house: &House, record: &Record) {
    for mount in record.mounts.iter().filter(|mount| mount.anonymous) {
        // Another container may use it by now (`--volumes-from`); then it stays.
        if let Err(error) = house.parts.volumes.remove(&mount.name, false).await {
            tracing::debug!(volume = mount.name, %error, "anonymous volume not removed");
        }
    }
}

fn remove_dir(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "directory not removed");
        }
        _ => {}
    }
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
