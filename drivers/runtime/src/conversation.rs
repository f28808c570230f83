//! The parent's side: clone the init, talk with it until it is ready, and until it has executed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cgroups::Cgroup;
use linux::Errno;
use linux::namespace::Flags;
use linux::process::Cloned;
use oci::runtime::{Hooks, NetDevice, ProcessState, Seccomp, State};
use rustix::process::Pid;

use crate::channel::{self, Notice, Record};
use crate::cloning::{self, Between};
use crate::create::{StartHooks, parent};
use crate::init::{self, Context};
use crate::program::{ParentSetup, Program, Step};
use crate::{Created, Error, ExecFailure, Stdio, hooks};

/// What a launch needs beside the program.
pub(crate) struct Wishes<'a> {
    /// Namespaces to join.
    pub(crate) joined: Vec<BorrowedFd<'a>>,
    /// The detached root file system.
    pub(crate) rootfs: Option<BorrowedFd<'a>>,
    /// The standard streams.
    pub(crate) stdio: &'a Stdio,
    /// The cgroup.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// The init of a container that is joined: its group is the way out where `cgroup` can hold no process.
    pub(crate) init: Option<Pid>,
    /// Where «go» comes from, if not from the channel.
    pub(crate) go: Option<BorrowedFd<'a>>,
    /// Hooks of the container; none for an exec.
    pub(crate) hooks: Option<&'a Hooks>,
    /// The filter, for its listener.
    pub(crate) seccomp: Option<&'a Seccomp>,
    /// Network devices to move in.
    pub(crate) net_devices: &'a BTreeMap<String, NetDevice>,
    /// What hooks and the listener are told.
    pub(crate) state: State,
}

/// Clones the init and talks with it until it waits for its start.
pub(crate) fn launch(mut program: Program, wishes: Wishes<'_>) -> Result<Created, Error> {
    let cgroups = wishes
        .cgroup
        .map(Cgroup::attach_fds)
        .transpose()?
        .unwrap_or_default();
    let prepared = crate::id_map::prepare(&program.prepared)?;
    let (ours, theirs) = channel::pair().map_err(|errno| parent("socketpair", errno))?;
    let prepared_self = Prepared::enter(&program.parent)?;
    let user = program
        .parent
        .join_user
        .and_then(|place| wishes.joined.get(place).copied());
    let between = user.map(|user| Between {
        user,
        others: &prepared_self.left,
    });
    let (pid, pidfd) = match cloning::clone_init(program.namespaces, wishes.cgroup, between, wishes.init)? {
        Cloned::Child => {
            let streams = match wishes.stdio {
                Stdio::Fds {
                    stdin,
                    stdout,
                    stderr,
                } => Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
                _ => None,
            };
            drop(ours);
            let Wishes {
                joined, rootfs, go, ..
            } = wishes;
            init::run(
                &program,
                &Context {
                    channel: theirs.as_fd(),
                    joined,
                    cgroups,
                    streams,
                    rootfs,
                    prepared,
                    go,
                },
            )
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let Wishes {
        hooks,
        seccomp,
        net_devices,
        mut state,
        ..
    } = wishes;
    state.pid = Some(pid.as_raw_pid());
    let mut created = Created {
        pid,
        pidfd,
        master: None,
        warnings: std::mem::take(&mut program.warnings),
        net_devices: BTreeMap::new(),
        resctrl: None,
        channel: ours,
        program,
        hooks: None,
    };
    match until_ready(&mut created, hooks, seccomp, net_devices, &mut state) {
        Ok(()) => {
            created.hooks = hooks.cloned().map(|hooks| StartHooks { hooks, state });
            Ok(created)
        }
        Err(error) => {
            let _ = linux::process::send_signal(&created.pidfd, 9);
            let _ = created.wait();
            Err(error)
        }
    }
}

fn until_ready(
    created: &mut Created,
    hooks: Option<&Hooks>,
    seccomp: Option<&Seccomp>,
    net_devices: &BTreeMap<String, NetDevice>,
    state: &mut State,
) -> Result<(), Error> {
    loop {
        let record = next(created)?.ok_or_else(|| died(created))?;
        match record.notice {
            Notice::Ready => return Ok(()),
            Notice::IdMaps => {
                write_id_maps(created)?;
                channel::answer(&created.channel).map_err(|errno| parent("answer the init", errno))?;
            }
            Notice::Hooks => {
                if let Some(hooks) = hooks {
                    hooks::run("prestart", &hooks.prestart, state)?;
                    hooks::run("createRuntime", &hooks.create_runtime, state)?;
                    let inside = &hooks.create_container;
                    hooks::run_from_outside(
                        "createContainer",
                        inside,
                        state,
                        created.pidfd.as_fd(),
                        created.pid,
                    )?;
                }
                channel::answer(&created.channel).map_err(|errno| parent("answer the init", errno))?;
            }
            Notice::Devices => {
                created.net_devices = move_devices(created, net_devices)?;
                channel::answer(&created.channel).map_err(|errno| parent("answer the init", errno))?;
            }
            Notice::Terminal => created.master = record.fd,
            Notice::Listener => {
                if let (Some(seccomp), Some(fd)) = (seccomp, record.fd) {
                    send_listener(seccomp, &fd, created.pid, state)?;
                }
            }
            Notice::Warning => warn(created, &record),
            Notice::Failed => return Err(failure(&created.program, &record)),
        }
    }
}

/// Moves network devices into the namespace that the init stands in by now.
fn move_devices(
    created: &Created,
    devices: &BTreeMap<String, NetDevice>,
) -> Result<BTreeMap<String, String>, Error> {
    let path = format!("/proc/{}/ns/net", created.pid.as_raw_pid());
    let namespace = std::fs::File::open(&path).map_err(|error| {
        parent(
            &format!("open {path}"),
            Errno::from_io_error(&error).unwrap_or(Errno::INVAL),
        )
    })?;
    crate::net_devices::move_in(namespace.as_fd(), devices)
}

/// After the answer to «ready»: returns when the program was executed.
pub(crate) fn until_executed(created: &mut Created) -> Result<(), Error> {
    loop {
        match next(created)? {
            None => return Ok(()),
            Some(record) if record.notice == Notice::Warning => warn(created, &record),
            Some(record) => return Err(failure(&created.program, &record)),
        }
    }
}

fn next(created: &Created) -> Result<Option<Record>, Error> {
    channel::receive(&created.channel).map_err(|errno| parent("hear from the init", errno))
}

fn warn(created: &mut Created, record: &Record) {
    if let Some(step) = created.program.steps.get(record.step) {
        let text = format!(
            "{}: {}; it is left as it is",
            step.sentence(),
            crate::errno_text(record.errno)
        );
        created.warnings.push(text);
    }
}

/// The init ended without a word: killed, most often for want of memory in its cgroup.
fn died(created: &Created) -> Error {
    match created.wait() {
        Ok(exit) => Error::Died(format!("{exit:?}")),
        Err(errno) => Error::Died(crate::errno_text(errno)),
    }
}

fn failure(program: &Program, record: &Record) -> Error {
    let errno = record.errno;
    match program.steps.get(record.step) {
        Some(Step::Find { name, searched, .. }) => Error::Exec(match errno {
            _ if *searched => ExecFailure::NotInPath(name.clone()),
            Errno::NOENT => ExecFailure::NotFound(name.clone()),
            Errno::ISDIR => ExecFailure::IsDirectory(name.clone()),
            Errno::ACCESS | Errno::PERM => ExecFailure::PermissionDenied(name.clone()),
            errno => ExecFailure::Failed {
                path: name.clone(),
                errno,
            },
        }),
        Some(Step::Execute) => {
            let path = program
                .arguments
                .strings()
                .first()
                .map(|name| name.to_string_lossy().into_owned());
            Error::Exec(ExecFailure::Failed {
                path: path.unwrap_or_default(),
                errno,
            })
        }
        Some(Step::Mount(mount)) if mount.plain_target && errno == Errno::LOOP => Error::Step {
            step: mount.not_a_directory(),
            errno,
        },
        Some(step) => Error::Step {
            step: step.sentence(),
            errno,
        },
        None => Error::Died("it sent an unknown record".into()),
    }
}

fn write_id_maps(created: &Created) -> Result<(), Error> {
    let Some(maps) = &created.program.id_maps else {
        return Ok(());
    };
    crate::user_maps::write(created.pid, maps)
}

/// Hands the notification descriptor to the agent that listens at `listenerPath` (config-linux.md, "Seccomp").
fn send_listener(seccomp: &Seccomp, listener: &OwnedFd, pid: Pid, state: &State) -> Result<(), Error> {
    let what = format!(
        "failed to connect with seccomp agent specified in the seccomp profile: {}",
        seccomp.listener_path
    );
    let fail = |error: std::io::Error| parent(&what, Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    let message = ProcessState {
        oci_version: state.oci_version.clone(),
        fds: vec!["seccompFd".to_owned()],
        pid: pid.as_raw_pid(),
        metadata: seccomp.listener_metadata.clone(),
        state: state.clone(),
    };
    let socket = std::os::unix::net::UnixStream::connect(&seccomp.listener_path).map_err(fail)?;
    let bytes = serde_json::to_vec(&message).map_err(|error| fail(error.into()))?;
    linux::fd::send(&socket, &bytes, &[listener.as_fd()])
        .map(drop)
        .map_err(|errno| parent(&what, errno))
}

/// Namespaces of the parent's children-to-be, put back when the child has been cloned.
struct Prepared {
    restore: Vec<(OwnedFd, Flags)>,
    /// What this process may not join, but one that has joined the user namespace: it owns them.
    left: Vec<(OwnedFd, Flags)>,
}

impl Prepared {
    fn enter(setup: &ParentSetup) -> Result<Self, Error> {
        let mut prepared = Self {
            restore: Vec::new(),
            left: Vec::new(),
        };
        let leave = setup.join_user.is_some();
        if let Some(path) = &setup.join_pid {
            prepared.join(path, c"pid", Flags::PID, leave)?;
        }
        if let Some(path) = &setup.join_time {
            prepared.join(path, c"time_for_children", Flags::TIME, leave)?;
        }
        if let Some(offsets) = &setup.new_time {
            prepared.keep(c"time_for_children", Flags::TIME)?;
            linux::namespace::unshare(Flags::TIME)
                .map_err(|errno| parent("unshare time namespace", errno))?;
            let path = "/proc/self/timens_offsets";
            std::fs::write(path, offsets).map_err(|error| {
                parent(
                    &format!("write {path}"),
                    Errno::from_io_error(&error).unwrap_or(Errno::INVAL),
                )
            })?;
        }
        Ok(prepared)
    }

    fn keep(&mut self, own: &std::ffi::CStr, flag: Flags) -> Result<(), Error> {
        let fd = linux::namespace::open_own(own).map_err(|errno| parent("open own namespace", errno))?;
        self.restore.push((fd, flag));
        Ok(())
    }

    /// Joins a namespace, or with `leave` leaves what only its owner may join to the process in between.
    fn join(&mut self, path: &str, own: &std::ffi::CStr, flag: Flags, leave: bool) -> Result<(), Error> {
        self.keep(own, flag)?;
        let what = format!("join namespace {path}");
        let file = std::fs::File::open(path)
            .map_err(|error| parent(&what, Errno::from_io_error(&error).unwrap_or(Errno::INVAL)))?;
        match linux::namespace::join(&file, flag) {
            Err(Errno::PERM) if leave => {
                self.restore.pop();
                self.left.push((file.into(), flag));
                Ok(())
            }
            other => other.map_err(|errno| parent(&what, errno)),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for (fd, flag) in &self.restore {
            let _ = linux::namespace::join(fd, *flag);
        }
    }
}
