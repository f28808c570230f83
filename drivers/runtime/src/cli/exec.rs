//! `exec`: one more process in a running container.

use std::os::fd::AsFd as _;

use cgroups::Cgroup;
use oci::runtime::{Capabilities, Process, Status, User};

use super::create::{NO_CONSOLE, send, write_pid_file};
use super::flags::{Flag, Flags};
use super::store::{Record, read_json};
use super::verb::Verb;
use super::{CliError, Outcome, Session, terminal};
use crate::{ExecOptions, Stdio, Target};

/// `exec`.
pub(super) const VERB: Verb = Verb {
    name: "exec",
    arguments: "<container-id> <command> [arguments...] | --process process.json <container-id>",
    about: "executes one more process in a container",
    least: 1,
    most: usize::MAX,
    flags: &[FLAGS],
    act: main,
};

const FLAGS: &[Flag] = &[
    Flag::value(
        "console-socket",
        None,
        "unix socket that gets the master of the process's terminal",
    ),
    Flag::value(
        "pidfd-socket",
        None,
        "unix socket that gets a pidfd of the process",
    ),
    Flag::value("cwd", None, "working directory in the container"),
    Flag::value(
        "env",
        Some('e'),
        "variable of the environment, NAME=value; may be repeated",
    ),
    Flag::switch("tty", Some('t'), "give it a terminal"),
    Flag::value("user", Some('u'), "user, as uid[:gid]"),
    Flag::value("additional-gids", Some('g'), "one more group; may be repeated"),
    Flag::value("process", Some('p'), "file with the process, as in config.json"),
    Flag::switch("detach", Some('d'), "do not wait for it"),
    Flag::value("pid-file", None, "file to write its process id to"),
    Flag::value("process-label", None, "its SELinux label"),
    Flag::value("apparmor", None, "its AppArmor profile"),
    Flag::switch("no-new-privs", None, "no privileges through execve"),
    Flag::value("cap", Some('c'), "one more capability; may be repeated"),
    Flag::value(
        "preserve-fds",
        None,
        "how many descriptors it inherits besides 0 to 2",
    ),
    Flag::value(
        "cgroup",
        None,
        "put it into an existing group below the container's: [CONTROLLER[,...]:]PATH",
    ),
    Flag::switch("ignore-paused", None, "also in a paused container"),
];

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let Some((id, command)) = rest.split_first() else {
        return Err(CliError::Usage("container id cannot be empty".into()));
    };
    let record = session.store.load(id)?;
    let (status, cgroup) = session.store.status_and_cgroup(&record);
    match status {
        Status::Stopped => return Err(CliError::State("cannot exec in a stopped container".into())),
        Status::Paused if !flags.has("ignore-paused") => {
            return Err(CliError::State(
                "cannot exec in a paused container (use --ignore-paused to override)".into(),
            ));
        }
        _ => {}
    }
    let spec = session.store.spec(id)?;
    let process = process(flags, command, spec.process.clone().unwrap_or_default())?;
    let detach = flags.has("detach");
    if process.terminal && detach && flags.get("console-socket").is_none() {
        return Err(CliError::Usage(NO_CONSOLE.into()));
    }
    let stopped = || CliError::State("cannot exec in a stopped container".into());
    let (pid, pidfd) = record.open().ok_or_else(stopped)?;
    let cgroup = group(flags, &record, cgroup)?;
    let signals = if detach {
        None
    } else {
        Some(terminal::Signals::block()?)
    };
    let options = ExecOptions {
        stdio: if process.terminal {
            Stdio::Terminal
        } else {
            Stdio::Inherit
        },
        cgroup: cgroup.as_ref(),
        program: None,
        seccomp: spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()),
        filter: session
            .store
            .filter(spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()))?,
        landlock: spec.annotations.get(security::landlock::ANNOTATION),
        no_new_keyring: true,
        preserve_fds: flags.number("preserve-fds")?.unwrap_or(0),
    };
    let mut created = crate::exec(
        Target {
            pid,
            pidfd: pidfd.as_fd(),
        },
        &process,
        options,
    )?;
    if let (Some(path), Some(master)) = (flags.get("console-socket"), created.master.as_ref()) {
        send(path, "/dev/ptmx", master)?;
        created.master = None;
    }
    if let Some(path) = flags.get("pidfd-socket") {
        send(path, id, &created.pidfd)?;
    }
    write_pid_file(flags, created.pid.as_raw_pid())?;
    created.start()?;
    for warning in &created.warnings {
        session.log.warning(warning);
    }
    match signals {
        None => Ok(0),
        Some(signals) => Ok(terminal::attend(&created.pidfd, created.master.take(), signals, None)?.code()),
    }
}

/// The group that the process starts in: the container's (`opened`, if it is open already), or of it what `--cgroup`
/// names.
fn group(flags: &Flags, record: &Record, opened: Option<Cgroup>) -> Result<Option<Cgroup>, CliError> {
    let place = flags.get("cgroup");
    if place.is_none() && record.cgroup.is_empty() {
        return Ok(None);
    }
    let own = match opened {
        Some(opened) => opened,
        None => record.cgroup()?,
    };
    let Some(place) = place else { return Ok(Some(own)) };
    let (controllers, path) = match place.split_once(':') {
        Some((controllers, path)) => (Some(controllers.split(',').collect::<Vec<_>>()), path),
        None => (None, place),
    };
    match own.below(path, controllers.as_deref()) {
        Err(cgroups::Error::InvalidPath(_)) => Err(CliError::Usage(format!(
            "invalid cgroup path: {path} is not a sub cgroup path"
        ))),
        other => Ok(Some(other?)),
    }
}

/// The process of `--process`, or the container's with what the flags change.
fn process(flags: &Flags, command: &[String], mut process: Process) -> Result<Process, CliError> {
    if let Some(path) = flags.get("process") {
        let missing = || CliError::Usage(format!("process file {path} not found"));
        let given: Process = read_json(std::path::Path::new(path))?.ok_or_else(missing)?;
        return Ok(with_container_s(given, process));
    }
    if command.is_empty() {
        return Err(CliError::Usage("process args cannot be empty".into()));
    }
    process.args = command.to_vec();
    process.terminal = flags.has("tty");
    process.console_size = None;
    if let Some(cwd) = flags.get("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    process.env.extend(flags.all("env").map(str::to_owned));
    if let Some(label) = flags.get("process-label") {
        label.clone_into(&mut process.selinux_label);
    }
    if let Some(profile) = flags.get("apparmor") {
        profile.clone_into(&mut process.apparmor_profile);
    }
    process.no_new_privileges |= flags.has("no-new-privs");
    if let Some(user) = flags.get("user") {
        process.user = self::user(user)?;
    }
    for gid in flags.all("additional-gids") {
        let bad = |_| CliError::Usage(format!("invalid group {gid:?}"));
        process.user.additional_gids.push(gid.parse().map_err(bad)?);
    }
    let capabilities = process.capabilities.get_or_insert_with(Capabilities::default);
    for name in flags.all("cap") {
        for set in [
            &mut capabilities.bounding,
            &mut capabilities.effective,
            &mut capabilities.permitted,
        ] {
            set.push(name.to_owned());
        }
    }
    Ok(process)
}

/// What a process of `--process` does not say holds as for the container's own, as with runc: above all its confinement.
fn with_container_s(mut given: Process, own: Process) -> Process {
    for (empty, own) in [
        (&mut given.apparmor_profile, own.apparmor_profile),
        (&mut given.selinux_label, own.selinux_label),
    ] {
        if empty.is_empty() {
            *empty = own;
        }
    }
    given.capabilities = given.capabilities.or(own.capabilities);
    if given.rlimits.is_empty() {
        given.rlimits = own.rlimits;
    }
    given
}

fn user(text: &str) -> Result<User, CliError> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| CliError::Usage(format!("parsing {text:?} as int for uid or gid failed")))
    };
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    Ok(User {
        uid: number(uid)?,
        gid: number(gid)?,
        ..User::default()
    })
}
