//! `exec`: one more process in a running container.

use std::os::fd::AsFd as _;

use cgroups::{Cgroup, Layout};
use oci::runtime::{Capabilities, Process, Status, User};

use super::create::{send, write_pid_file};
use super::flags::{Flag, Flags};
use super::store::read_json;
use super::{CliError, Outcome, Session, terminal};
use crate::{ExecOptions, Stdio, Target};

const FLAGS: &[Flag] = &[
    Flag::value("console-socket", None),
    Flag::value("pidfd-socket", None),
    Flag::value("cwd", None),
    Flag::value("env", Some('e')),
    Flag::switch("tty", Some('t')),
    Flag::value("user", Some('u')),
    Flag::value("additional-gids", Some('g')),
    Flag::value("process", Some('p')),
    Flag::switch("detach", Some('d')),
    Flag::value("pid-file", None),
    Flag::value("process-label", None),
    Flag::value("apparmor", None),
    Flag::switch("no-new-privs", None),
    Flag::value("cap", Some('c')),
    Flag::value("preserve-fds", None),
    Flag::value("cgroup", None),
    Flag::switch("ignore-paused", None),
];

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let (flags, rest) = Flags::parse(FLAGS, arguments)?;
    let Some((id, command)) = rest.split_first() else {
        return Err(CliError::Usage("container id cannot be empty".into()));
    };
    if flags.get("cgroup").is_some() {
        return Err(CliError::Usage("--cgroup is not supported yet".into()));
    }
    let record = session.store.load(id)?;
    match session.store.status(&record) {
        Status::Stopped => return Err(CliError::State("cannot exec in a stopped container".into())),
        Status::Paused if !flags.has("ignore-paused") => {
            return Err(CliError::State(
                "cannot exec in a paused container (use --ignore-paused to override)".into(),
            ));
        }
        _ => {}
    }
    let spec = session.store.spec(id)?;
    let process = process(&flags, command, spec.process.clone().unwrap_or_default())?;
    let detach = flags.has("detach");
    if process.terminal && detach && flags.get("console-socket").is_none() {
        let text = "cannot allocate tty if runc will detach without setting console socket";
        return Err(CliError::Usage(text.into()));
    }
    let stopped = || CliError::State("cannot exec in a stopped container".into());
    let (pid, pidfd) = record.open().ok_or_else(stopped)?;
    let cgroup = Cgroup::open(&Layout::detect()?, &record.cgroup)?;
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
        cgroup: Some(&cgroup),
        seccomp: spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()),
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
    write_pid_file(&flags, created.pid.as_raw_pid())?;
    created.start()?;
    for warning in &created.warnings {
        session.log.warning(warning);
    }
    match signals {
        None => Ok(0),
        Some(signals) => Ok(terminal::attend(&created.pidfd, created.master.take(), signals)?.code()),
    }
}

/// The process of `--process`, or the container's with what the flags change.
fn process(flags: &Flags, command: &[String], mut process: Process) -> Result<Process, CliError> {
    if let Some(path) = flags.get("process") {
        let missing = || CliError::Usage(format!("process file {path} not found"));
        return read_json(std::path::Path::new(path))?.ok_or_else(missing);
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
