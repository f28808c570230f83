//! `kill`: sends a signal to the init, or with `--all` to every process.

use oci::runtime::Status;
use rustix::process::Pid;

use super::flags::{Flag, Flags};
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// `kill`.
pub(super) const VERB: Verb = Verb {
    name: "kill",
    arguments: "<container-id> [signal]",
    about: "sends a signal (default: SIGTERM) to the container's init",
    least: 1,
    most: 2,
    flags: &[&[Flag::switch(
        "all",
        Some('a'),
        "to all processes of the container",
    )]],
    act: main,
};

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let signal = rest.get(1).map_or("SIGTERM", String::as_str);
    let record = session.store.load(id)?;
    // 0 is no signal, and asks only whether there is somebody to get one (kill(2)).
    let number = match signal {
        "0" => Some(0),
        signal => linux::signal::parse(signal),
    };
    let number = number.ok_or_else(|| CliError::Usage(format!("unknown signal {signal:?}")))?;
    if flags.has("all") {
        let Ok(cgroup) = record.cgroup() else {
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
