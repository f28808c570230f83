//! `update`: limits and restart policy of a container, running or not.

use std::sync::Arc;

use api_types::container::{HostConfig, UpdateRequest, UpdateResponse};

use crate::cell::Cell;
use crate::house::House;
use crate::machine::Phase;
use crate::{Error, spec};

/// Changes what the request names; everything that is zero or absent stays.
///
/// # Errors
/// Limits that make no sense or that the kernel refuses; then nothing has changed.
pub(crate) async fn update(
    house: &Arc<House>,
    cell: &Arc<Cell>,
    request: UpdateRequest,
) -> Result<UpdateResponse, Error> {
    let view = cell.view();
    if matches!(view.phase, Phase::Removing | Phase::Removed | Phase::Dead) {
        return Err(Error::Conflict(format!(
            "Cannot update container {}: container is marked for removal and cannot be \"update\"",
            cell.id
        )));
    }
    let old = &view.record.host_config;
    let mut new = old.clone();
    apply(&mut new, &request);
    let refused = |error: Error| Error::Invalid(format!("Cannot update container {}: {error}", cell.id));
    if request.memory_swap == 0 && old.memory_swap > 0 && request.memory > old.memory_swap {
        return Err(refused(Error::Invalid(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time".into(),
        )));
    }
    for (asked, what) in [(request.cpu_quota, "Quota"), (request.cpu_period, "Period")] {
        if asked != 0 && old.nano_cpus > 0 {
            return Err(refused(Error::Invalid(format!(
                "Conflicting options: CPU {what} cannot be updated as NanoCPUs has already been set"
            ))));
        }
    }
    spec::validate(&new, house.cpus, &house.memory_nodes).map_err(refused)?;
    let warnings = crate::create::discard_unsupported(house, &mut new).map_err(refused)?;
    if !request.restart_policy.name.is_empty() {
        if old.auto_remove {
            return Err(Error::Invalid(
                "Restart policy cannot be updated because AutoRemove is enabled for the container".into(),
            ));
        }
        crate::create::check_policy(&new).map_err(refused)?;
    }
    let limits = spec::limits(&new)?;
    if view.phase.has_process() {
        let (house, record) = (house.clone(), view.record.clone());
        let work = move || house.cgroup(&record)?.update(&limits);
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|error| Error::System {
            action: "update limits",
            source: std::io::Error::other(error),
        })?;
        done.map_err(|error| Error::Conflict(format!("Cannot update container {}: {error}", cell.id)))?;
    }
    cell.edit(move |record| {
        record.host_config = new;
        Ok(())
    })
    .await?;
    house.event(&cell.view().record, "update", &[]);
    Ok(UpdateResponse {
        warnings: (!warnings.is_empty()).then_some(warnings),
    })
}

fn apply(host: &mut HostConfig, request: &UpdateRequest) {
    let nothing = UpdateRequest::default();
    macro_rules! take {
        ($($field:ident),*) => {
            $(if request.$field != nothing.$field { host.$field.clone_from(&request.$field); })*
        };
    }
    take!(
        cpu_shares,
        memory,
        nano_cpus,
        blkio_weight,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        pids_limit
    );
    if !request.restart_policy.name.is_empty() {
        host.restart_policy = request.restart_policy.clone();
    }
}
