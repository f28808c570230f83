//! `kill`: sends a signal to the init, or with `--all` to every process.

use cgroups::{Cgroup, Layout};
use oci::runtime::Status;
use rustix::process::Pid;

use super::flags::{Flag, Flags};
use super::{CliError, Outcome, Session};

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let (flags, rest) = Flags::parse(&[Flag::switch("all", Some('a'))], arguments)?;
    let (id, signal) = match rest.as_slice() {
        [id] => (id, "SIGTERM"),
        [id, signal] => (id, signal.as_str()),
        _ => {
            return Err(CliError::Usage(
                "kill requires a container id and an optional signal".into(),
            ));
        }
    };
    let record = session.store.load(id)?;
    let number =
        linux::signal::parse(signal).ok_or_else(|| CliError::Usage(format!("unknown signal {signal:?}")))?;
    if flags.has("all") {
        let Ok(cgroup) = Cgroup::open(&Layout::detect()?, &record.cgroup) else {
            return Ok(0);
        };
        if number == linux::signal::parse("KILL").unwrap_or(9) {
            cgroup.kill()?;
            return Ok(0);
        }
        for pid in cgroup.procs()? {
            let fd = Pid::from_raw(pid).and_then(|pid| linux::process::pidfd_open(pid).ok());
            if let Some(fd) = fd {
                let _ = linux::process::send_signal(fd, number);
            }
        }
        return Ok(0);
    }
    if session.store.status(&record) == Status::Stopped {
        return Err(CliError::State("container not running".into()));
    }
    let (_, pidfd) = record
        .open()
        .ok_or_else(|| CliError::State("container not running".into()))?;
    linux::process::send_signal(pidfd, number).map_err(CliError::signal("kill"))?;
    Ok(0)
}
