//! `delete`: removes what is left of a container.

use cgroups::{Cgroup, Layout};
use oci::runtime::{Spec, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::flags::{Flag, Flags};
use super::store::Record;
use super::{CliError, Outcome, Session, only_id};

/// How long a killed init may take to end.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let (flags, rest) = Flags::parse(&[Flag::switch("force", Some('f'))], arguments)?;
    let id = only_id(&rest)?;
    let force = flags.has("force");
    let record = match session.store.load(id) {
        // A creation that was cut short leaves a directory without a record.
        Err(CliError::Missing) if force => {
            session.store.forget(id)?;
            return Ok(0);
        }
        other => other?,
    };
    let status = session.store.status(&record);
    match status {
        Status::Stopped => {}
        Status::Created => kill(&record)?,
        _ if force => kill(&record)?,
        _ => {
            let name = format!("{status:?}").to_lowercase();
            return Err(CliError::State(format!(
                "cannot delete container {id} that is not stopped: {name}"
            )));
        }
    }
    let spec = session.store.spec(id).unwrap_or_default();
    if let Ok(cgroup) = Cgroup::open(&Layout::detect()?, &record.cgroup) {
        if !cgroup.procs()?.is_empty() {
            cgroup.kill()?;
        }
        cgroup.remove()?;
    }
    poststop(id, &spec, session);
    session.store.forget(id)?;
    Ok(0)
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

fn kill(record: &Record) -> Result<(), CliError> {
    let Some((_, pidfd)) = record.open() else {
        return Ok(());
    };
    if let Ok(cgroup) = Cgroup::open(&Layout::detect()?, &record.cgroup) {
        // Also thaws: a frozen process could not die.
        cgroup.kill()?;
    }
    let _ = linux::process::send_signal(&pidfd, 9);
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&PATIENCE))
        .map_err(CliError::signal("wait for the init"))?;
    Ok(())
}
