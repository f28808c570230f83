//! `start`: lets a created container execute.

use std::os::fd::AsFd as _;

use oci::runtime::Status;
use rustix::fs::{Mode, OFlags};

use super::flags::Flags;
use super::notify::Notify;
use super::verb::Verb;
use super::{CliError, Outcome, Session};
use crate::hooks;

/// `start`.
pub(super) const VERB: Verb = Verb {
    name: "start",
    arguments: "<container-id>",
    about: "lets a created container execute its process",
    least: 1,
    most: 1,
    flags: &[],
    act: main,
};

fn main(_: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let record = session.store.load(id)?;
    match session.store.status(&record) {
        Status::Created => {}
        Status::Stopped => {
            return Err(CliError::State(
                "cannot start a container that has stopped".into(),
            ));
        }
        _ => {
            return Err(CliError::State(
                "cannot start an already running container".into(),
            ));
        }
    }
    let spec = session.store.spec(id)?;
    let hooks = spec.hooks.clone().unwrap_or_default();
    let (pid, pidfd) = record
        .open()
        .ok_or_else(|| CliError::State("cannot start a container that has stopped".into()))?;
    let mut state = record.state(Status::Created, &spec);
    if !hooks.start_container.is_empty() {
        let cgroup = record.cgroup().ok();
        let pidfd = pidfd.as_fd();
        let target = crate::Target { pid, pidfd };
        // Its container ends with it (runtime.md, "Lifecycle").
        hooks::start_container(&spec, &state, target, cgroup.as_ref()).inspect_err(|_| {
            let _ = linux::process::send_signal(pidfd, 9);
        })?;
    }
    let mut notify = Notify::of_environment(id, session);
    let notified = notify.as_mut().map(Notify::listen).transpose()? == Some(true);
    let path = session.store.directory(id).join("start.fifo");
    // Without waiting: the init holds the other end, or is dead.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = rustix::fs::open(&path, flags, Mode::empty()).map_err(CliError::signal("open start.fifo"))?;
    // Removed first: exactly one `start` wins, and `state` says running from now on.
    std::fs::remove_file(&path).map_err(CliError::file("remove start.fifo"))?;
    rustix::io::write(&fifo, b"\n").map_err(CliError::signal("write start.fifo"))?;
    state.status = Status::Running;
    if let Err(error) = hooks::run("poststart", &hooks.poststart, &state) {
        session.log.warning(&error.to_string());
    }
    if let Some(notify) = notify.filter(|_| notified) {
        notify.wait(record.pid, &pidfd)?;
    }
    Ok(0)
}
