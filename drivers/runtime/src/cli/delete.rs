//! `delete`: removes what is left of a container.

use cgroups::Cgroup;
use oci::runtime::{Spec, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::flags::{Flag, Flags};
use super::store::Record;
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// How long a killed init may take to end.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// `delete`.
pub(super) const VERB: Verb = Verb {
    name: "delete",
    arguments: "<container-id>",
    about: "deletes what is left of a container",
    least: 1,
    most: 1,
    flags: &[&[Flag::switch(
        "force",
        Some('f'),
        "kill it first (SIGKILL) if it still runs",
    )]],
    act: main,
};

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let force = flags.has("force");
    let record = match session.store.load(id) {
        // A creation that was cut short leaves a directory without a record.
        Err(CliError::Missing) if force => {
            session.store.forget(id)?;
            return Ok(0);
        }
        other => other?,
    };
    let (status, opened) = session.store.status_and_cgroup(&record);
    // Where it was created without one, there is none to remove.
    let cgroup = opened.or_else(|| record.cgroup().ok());
    match status {
        Status::Stopped => {}
        Status::Created => kill(&record, cgroup.as_ref())?,
        _ if force => kill(&record, cgroup.as_ref())?,
        _ => {
            let name = format!("{status:?}").to_lowercase();
            return Err(CliError::State(format!(
                "cannot delete container {id} that is not stopped: {name}"
            )));
        }
    }
    remove_with(&record, cgroup, session)?;
    Ok(0)
}

/// Removes what is left of a container whose processes have ended, or shall.
pub(super) fn remove(record: &Record, session: &Session<'_>) -> Result<(), CliError> {
    remove_with(record, record.cgroup().ok(), session)
}

fn remove_with(record: &Record, cgroup: Option<Cgroup>, session: &Session<'_>) -> Result<(), CliError> {
    let spec = session.store.spec(&record.id).unwrap_or_default();
    if let Some(cgroup) = cgroup {
        if !cgroup.procs()?.is_empty() {
            cgroup.kill()?;
        }
        cgroup.remove()?;
    }
    give_back(record, session);
    poststop(&record.id, &spec, session);
    session.store.forget(&record.id)
}

/// Returns what the container had from the host: network devices, its class of cache and memory bandwidth.
pub(super) fn give_back(record: &Record, session: &Session<'_>) {
    if !record.net_devices.is_empty() {
        let namespace = session.store.network_namespace(&record.id);
        for problem in crate::net_devices::give_back(&namespace, &record.net_devices) {
            session.log.warning(&problem);
        }
    }
    if let Some(made) = &record.resctrl
        && let Err(error) = made.remove()
    {
        session.log.warning(&error.to_string());
    }
}

/// Runs the `poststop` hooks; a failure is only logged, as the spec asks.
pub(super) fn poststop(id: &str, spec: &Spec, session: &Session<'_>) {
    let Some(hooks) = spec.hooks.as_ref().filter(|hooks| !hooks.poststop.is_empty()) else {
        return;
    };
    let Ok(record) = session.store.load(id) else {
        return;
    };
    let state = record.state(Status::Stopped, spec);
    if let Err(error) = crate::hooks::run("poststop", &hooks.poststop, &state) {
        session.log.warning(&error.to_string());
    }
}

fn kill(record: &Record, cgroup: Option<&Cgroup>) -> Result<(), CliError> {
    let Some((_, pidfd)) = record.open() else {
        return Ok(());
    };
    if let Some(cgroup) = cgroup {
        // Also thaws: a frozen process could not die.
        cgroup.kill()?;
    }
    let _ = linux::process::send_signal(&pidfd, 9);
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&PATIENCE))
        .map_err(CliError::signal("wait for the init"))?;
    Ok(())
}
