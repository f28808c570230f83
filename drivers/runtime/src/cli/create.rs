//! `create`: makes a container that waits for `start`. Also the part that `run` shares.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use cgroups::Cgroup;
use oci::runtime::Spec;
use serde::de::IgnoredAny;

use super::flags::{Flag, Flags};
use super::notify::Notify;
use super::store::{Record, read_json};
use super::verb::Verb;
use super::{CliError, Outcome, Session};
use crate::{CreateOptions, Created, RootfsSource, Stdio};

/// `create`.
pub(super) const VERB: Verb = Verb {
    name: "create",
    arguments: "<container-id>",
    about: "creates a container",
    least: 1,
    most: 1,
    flags: &[FLAGS],
    act: main,
};

/// The flags of `create`.
pub(super) const FLAGS: &[Flag] = &[
    Flag::value(
        "bundle",
        Some('b'),
        "directory of the bundle (default: the current one)",
    ),
    Flag::value(
        "config",
        Some('f'),
        "file of the configuration (default: config.json of the bundle)",
    ),
    Flag::value(
        "console-socket",
        None,
        "unix socket that gets the master of the container's terminal",
    ),
    Flag::value(
        "pidfd-socket",
        None,
        "unix socket that gets a pidfd of the container's init",
    ),
    Flag::value("pid-file", None, "file to write the init's process id to"),
    Flag::value(
        "preserve-fds",
        None,
        "how many descriptors the process inherits, besides 0 to 2 and those of $LISTEN_FDS",
    ),
    Flag::switch(
        "no-pivot",
        None,
        "use chroot instead of pivot_root, for a root file system on a ramdisk",
    ),
    Flag::switch("no-new-keyring", None, "keep the caller's session keyring"),
];

/// What runc says where nobody would hold the other end of a terminal.
pub(super) const NO_CONSOLE: &str = "cannot allocate tty if runc will detach without setting console socket";

/// A container that has been made.
pub(super) struct Made {
    /// Its init.
    pub(super) created: Created,
    /// Its cgroup.
    pub(super) cgroup: Option<Cgroup>,
    /// Its spec.
    pub(super) spec: Spec,
    /// Its way to the service manager; it listens when the container was not made to wait.
    pub(super) notify: Option<Notify>,
}

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    make(&rest[0], flags, session, true)?;
    Ok(0)
}

/// Makes the container; with `wait` its init waits at the fifo for another process, otherwise for the caller.
pub(super) fn make(id: &str, flags: &Flags, session: &mut Session<'_>, wait: bool) -> Result<Made, CliError> {
    let (bundle, spec) = read_bundle(flags)?;
    session.store.claim(id)?;
    make_claimed(id, flags, session, wait, bundle, spec).inspect_err(|_| {
        let _ = session.store.forget(id);
    })
}

/// The directory of the bundle, and what its file says.
pub(super) fn read_bundle(flags: &Flags) -> Result<(PathBuf, Spec), CliError> {
    let bundle = bundle(flags)?;
    let config = bundle.join(flags.get("config").unwrap_or("config.json"));
    let missing = || CliError::Usage(format!("JSON specification file {} not found", config.display()));
    let spec: Spec = read_json(&config)?.ok_or_else(missing)?;
    if spec.oci_version.split('.').next() != Some("1") {
        let text = format!(
            "{}: ociVersion: unsupported version {:?}",
            config.display(),
            spec.oci_version
        );
        return Err(CliError::Usage(text));
    }
    if spec.linux.is_none() {
        refuse_elsewhere(&config)?;
    }
    Ok((bundle, spec))
}

/// Refuses a bundle that is written for another system (config.md, "Platform-specific configuration").
fn refuse_elsewhere(config: &Path) -> Result<(), CliError> {
    const ELSEWHERE: [&str; 4] = ["freebsd", "solaris", "windows", "zos"];
    let sections: BTreeMap<String, IgnoredAny> = read_json(config)?.unwrap_or_default();
    match ELSEWHERE.iter().find(|name| sections.contains_key(**name)) {
        None => Ok(()),
        Some(name) => {
            let text = format!(
                "{}: {name}: the bundle is for another system than linux",
                config.display()
            );
            Err(CliError::Usage(text))
        }
    }
}

fn make_claimed(
    id: &str,
    flags: &Flags,
    session: &mut Session<'_>,
    wait: bool,
    bundle: PathBuf,
    mut spec: Spec,
) -> Result<Made, CliError> {
    let linux = spec.linux.as_ref();
    let cgroups_path = linux.map(|linux| linux.cgroups_path.clone()).unwrap_or_default();
    let mut resources = linux
        .and_then(|linux| linux.resources.clone())
        .unwrap_or_default();
    resources.devices = crate::device_rules(&resources.devices);
    // Refused before anything is made.
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    if !terminal && flags.get("console-socket").is_some() {
        let text = "cannot use console socket if runc will not detach or allocate tty";
        return Err(CliError::Usage(text.into()));
    }
    if terminal && wait && flags.get("console-socket").is_none() {
        return Err(CliError::Usage(NO_CONSOLE.into()));
    }
    let mut notify = Notify::of_environment(id, session);
    if let Some(notify) = &mut notify {
        notify.set_up(&mut spec)?;
        if !wait {
            notify.listen()?;
        }
    }
    let cgroup = session.cgroups.create(id, &cgroups_path, &resources)?;
    let go = if wait {
        Some(session.store.make_fifo(id)?)
    } else {
        None
    };
    let rootfs = spec
        .root
        .as_ref()
        .map(|root| root.path.clone())
        .unwrap_or_default();
    let mut options = CreateOptions::new(id, RootfsSource::Path(PathBuf::from(&rootfs)));
    options.bundle.clone_from(&bundle);
    options.cgroup = cgroup.as_ref();
    options.no_pivot = flags.has("no-pivot");
    options.no_new_keyring = flags.has("no-new-keyring");
    options.preserve_fds = flags.number::<u32>("preserve-fds")?.unwrap_or(0) + listen_fds(&mut spec);
    options.go = go;
    options.filter = session
        .store
        .filter(spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()))?;
    if terminal {
        options.stdio = Stdio::Terminal;
    }
    let finish = |options| -> Result<Created, CliError> {
        let mut created = crate::create(&spec, options)?;
        let recorded = record(
            id,
            flags,
            session,
            &bundle,
            &rootfs,
            cgroup.as_ref(),
            &spec,
            &mut created,
        );
        recorded.inspect_err(|_| {
            let _ = linux::process::send_signal(&created.pidfd, 9);
            let _ = created.wait();
        })?;
        Ok(created)
    };
    match finish(options) {
        Ok(created) => Ok(Made {
            created,
            cgroup,
            spec,
            notify,
        }),
        Err(error) => {
            if let Some(cgroup) = &cgroup {
                let _ = cgroup.remove();
            }
            Err(error)
        }
    }
}

/// Sockets that a service manager has opened go on to the container (sd_listen_fds(3)); how many there are.
fn listen_fds(spec: &mut Spec) -> u32 {
    let count = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let Some(count) = count.filter(|count| *count > 0) else {
        return 0;
    };
    if let Some(process) = &mut spec.process {
        process.env.push(format!("LISTEN_FDS={count}"));
        process.env.push("LISTEN_PID=1".to_owned());
    }
    count
}

#[allow(clippy::too_many_arguments, reason = "the pieces of one record, used once")]
fn record(
    id: &str,
    flags: &Flags,
    session: &Session<'_>,
    bundle: &Path,
    rootfs: &str,
    cgroup: Option<&Cgroup>,
    spec: &Spec,
    created: &mut Created,
) -> Result<(), CliError> {
    for warning in &created.warnings {
        session.log.warning(warning);
    }
    let process = linux::process::ProcessId::of(created.pid).map_err(CliError::signal("look at the init"))?;
    let record = Record {
        id: id.to_owned(),
        pid: created.pid.as_raw_pid(),
        start_time: process.start_time,
        bundle: bundle.display().to_string(),
        rootfs: bundle.join(rootfs).display().to_string(),
        created: super::time::rfc3339(std::time::SystemTime::now(), true),
        cgroup: cgroup.map_or("", Cgroup::path).to_owned(),
        own_groups: Record::origin_of(cgroup.map_or("", Cgroup::path))?,
        unit: cgroup.and_then(Cgroup::unit).map(Into::into),
        uid: rustix::process::geteuid().as_raw(),
        net_devices: created.net_devices.clone(),
        resctrl: created.resctrl.clone(),
    };
    if !record.net_devices.is_empty() {
        let path = session.store.network_namespace(id);
        crate::net_devices::keep(created.pid, &path).map_err(CliError::signal(format!(
            "keep the network namespace at {}",
            path.display()
        )))?;
    }
    session.store.save(&record, spec)?;
    if let Some(path) = flags.get("console-socket")
        && let Some(master) = created.master.take()
    {
        send(path, "/dev/ptmx", &master)?;
    }
    if let Some(path) = flags.get("pidfd-socket") {
        send(path, id, &created.pidfd)?;
    }
    write_pid_file(flags, created.pid.as_raw_pid())
}

/// Hands a descriptor to whoever listens at `path`.
pub(super) fn send(path: &str, text: &str, fd: &OwnedFd) -> Result<(), CliError> {
    let what = format!("send a descriptor to {path}");
    let socket = UnixStream::connect(path).map_err(CliError::file(what.clone()))?;
    linux::fd::send(&socket, text.as_bytes(), &[fd.as_fd()])
        .map(drop)
        .map_err(CliError::signal(what))
}

/// Writes `--pid-file`, whole at once.
pub(super) fn write_pid_file(flags: &Flags, pid: i32) -> Result<(), CliError> {
    let Some(path) = flags.get("pid-file").map(Path::new) else {
        return Ok(());
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}"));
    let written =
        std::fs::write(&temporary, pid.to_string()).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(CliError::file(format!("write {}", path.display())))
}

fn bundle(flags: &Flags) -> Result<PathBuf, CliError> {
    let path = PathBuf::from(flags.get("bundle").unwrap_or("."));
    path.canonicalize()
        .map_err(CliError::file(format!("bundle {}", path.display())))
}
