//! `state`, `pause` and `resume`.

use cgroups::{Cgroup, Layout};
use oci::runtime::Status;

use super::{CliError, Outcome, Session, only_id};

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let id = only_id(&arguments)?;
    let record = session.store.load(id)?;
    let spec = session.store.spec(id)?;
    let status = session.store.status(&record);
    let mut value = serde_json::json!({
        "ociVersion": oci::runtime::VERSION,
        "id": record.id,
        "pid": if status == Status::Stopped { 0 } else { record.pid },
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": "",
    });
    if !spec.annotations.is_empty() {
        value["annotations"] = serde_json::json!(spec.annotations);
    }
    let text = format!("{value:#}\n");
    session
        .out
        .write_all(text.as_bytes())
        .map_err(CliError::file("write"))?;
    Ok(0)
}

/// Stops all processes of a container, or lets them run again.
pub(super) fn freeze(arguments: Vec<String>, session: &mut Session<'_>, stop: bool) -> Outcome {
    let record = session.store.load(only_id(&arguments)?)?;
    let status = session.store.status(&record);
    if stop && !matches!(status, Status::Running | Status::Created) {
        return Err(CliError::State("container not running or created".into()));
    }
    if !stop && status != Status::Paused {
        return Err(CliError::State("container not paused".into()));
    }
    let cgroup = Cgroup::open(&Layout::detect()?, &record.cgroup)?;
    if stop {
        cgroup.freeze()?
    } else {
        cgroup.thaw()?
    }
    Ok(0)
}
