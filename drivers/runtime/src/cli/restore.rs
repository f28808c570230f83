//! `restore`: makes a container again from an image that `checkpoint` wrote, through criu.

use std::path::{Path, PathBuf};

use linux::mount::MountPropagationFlags;
use linux::namespace::Flags as Namespaces;
use linux::process::ProcessId;
use rustix::process::Pid;

use super::checkpoint::STREAMS;
use super::criu::{Criu, FLAGS};
use super::flags::{Flag, Flags};
use super::store::{Record, read_json};
use super::verb::Verb;
use super::{CliError, Outcome, Session, create, terminal};

/// `restore`.
pub(super) const VERB: Verb = Verb {
    name: "restore",
    arguments: "<container-id>",
    about: "makes a container again from an image, with criu",
    least: 1,
    most: 1,
    flags: &[
        FLAGS,
        &[
            Flag::value(
                "bundle",
                Some('b'),
                "directory of the bundle (default: the current one)",
            ),
            Flag::switch("detach", Some('d'), "do not wait for its end"),
            Flag::value("pid-file", None, "file to write the init's process id to"),
            Flag::switch(
                "no-subreaper",
                None,
                "leave orphans of the container to the caller's reaper",
            ),
            Flag::value(
                "lsm-profile",
                None,
                "security label of its processes, as TYPE:NAME",
            ),
            Flag::value("lsm-mount-context", None, "security label of its mounts"),
        ],
    ],
    act: main,
};

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let (bundle, spec) = create::read_bundle(flags)?;
    if spec.process.as_ref().is_some_and(|process| process.terminal) {
        return Err(CliError::Usage(
            "restore: a container with a terminal of its own cannot be restored yet; checkpoint it without one".into(),
        ));
    }
    session.store.claim(id)?;
    let restored = restore(id, flags, session, &bundle, &spec);
    if restored.is_err() {
        let _ = session.store.forget(id);
    }
    let (record, signals) = restored?;
    create::write_pid_file(flags, record.pid)?;
    let Some(signals) = signals else { return Ok(0) };
    let gone = || CliError::State("the restored container has ended".into());
    let (_, pidfd) = record.open().ok_or_else(gone)?;
    let exit = terminal::attend(&pidfd, None, signals, None)?;
    super::delete::remove(&record, session)?;
    Ok(exit.code())
}

fn restore(
    id: &str,
    flags: &Flags,
    session: &mut Session<'_>,
    bundle: &Path,
    spec: &oci::runtime::Spec,
) -> Result<(Record, Option<terminal::Signals>), CliError> {
    let path = spec
        .root
        .as_ref()
        .map(|root| root.path.clone())
        .unwrap_or_default();
    let rootfs = bundle.join(path);
    let signals = if flags.has("detach") {
        None
    } else {
        if !flags.has("no-subreaper") {
            linux::process::set_child_subreaper(true).map_err(CliError::signal("become a subreaper"))?;
        }
        Some(terminal::Signals::block()?)
    };
    if session.cgroups.is_systemd() {
        let text = "--systemd-cgroup: criu puts a restored container into groups of its own making; leave the flag out";
        return Err(CliError::Usage(text.into()));
    }
    let cgroup_path = spec
        .linux
        .as_ref()
        .map(|linux| linux.cgroups_path.clone())
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| id.to_owned());
    let top = PrivateRoot::bind(&rootfs, &session.store.directory(id))?;
    let pid_file = session.store.directory(id).join("criu.pid");
    let mut criu = Criu::new("restore", flags, session)?;
    // Restored as our own child, so that its end can be waited for.
    for argument in ["--restore-detached", "--restore-sibling", "--root"] {
        criu.argument(argument);
    }
    criu.argument(&top.0);
    criu.argument("--pidfile");
    criu.argument(&pid_file);
    criu.external_mounts(spec, bundle, None);
    for (flag, theirs) in [
        ("lsm-profile", "--lsm-profile"),
        ("lsm-mount-context", "--lsm-mount-context"),
    ] {
        if let Some(value) = flags.get(flag) {
            criu.argument(theirs);
            criu.argument(value);
        }
    }
    if flags.has("lazy-pages") {
        criu.argument("--lazy-pages");
    }
    inherit_streams(flags, &mut criu)?;
    criu.run()?;
    let pid = std::fs::read_to_string(&pid_file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let pid = pid
        .and_then(Pid::from_raw)
        .ok_or_else(|| CliError::State("criu did not say which process it restored".into()))?;
    let process = ProcessId::of(pid).map_err(CliError::signal("look at the restored init"))?;
    let record = Record {
        id: id.to_owned(),
        pid: pid.as_raw_pid(),
        start_time: process.start_time,
        bundle: bundle.display().to_string(),
        rootfs: rootfs.display().to_string(),
        created: super::time::rfc3339(std::time::SystemTime::now(), true),
        own_groups: Record::origin_of(&cgroup_path)?,
        cgroup: cgroup_path,
        unit: None,
        uid: rustix::process::geteuid().as_raw(),
        net_devices: Default::default(),
        resctrl: None,
    };
    session.store.save(&record, spec)?;
    Ok((record, signals))
}

/// The root file system as a mount, which criu wants: in a mount namespace of this process's own, so that nothing of it is
/// left. It lies in the container's directory of state, whose removal must not find the root file system there.
struct PrivateRoot(PathBuf);

impl PrivateRoot {
    fn bind(rootfs: &Path, directory: &Path) -> Result<Self, CliError> {
        let fail = || CliError::signal(format!("bind {} for criu", rootfs.display()));
        linux::namespace::unshare(Namespaces::MOUNT).map_err(fail())?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", slave).map_err(fail())?;
        let top = directory.join("criu-root");
        std::fs::create_dir(&top).map_err(CliError::file(format!("mkdir {}", top.display())))?;
        let bound = Self(top);
        rustix::mount::mount_bind_recursive(rootfs, &bound.0).map_err(fail())?;
        Ok(bound)
    }
}

impl Drop for PrivateRoot {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Our streams in the place of the pipes that the container had.
fn inherit_streams(flags: &Flags, criu: &mut Criu) -> Result<(), CliError> {
    let path = Path::new(flags.get("image-path").unwrap_or("checkpoint")).join(STREAMS);
    let streams: Vec<String> = read_json(&path)?.unwrap_or_default();
    for (number, stream) in streams
        .iter()
        .enumerate()
        .filter(|(_, stream)| stream.starts_with("pipe:"))
    {
        criu.argument("--inherit-fd");
        criu.argument(format!("fd[{number}]:{stream}"));
    }
    Ok(())
}
