//! The container's own process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use cgroups::{Cgroup, Layout};
use runtime::{CreateOptions, RootfsSource, Stdio};
use rustix::fs::{Gid, Uid};

use super::{Job, Places, Process, Ready};
use crate::inherit;
use crate::other_runtime::{Driver, Root, borrowed};
use crate::plan::{self, Plan};
use crate::prepare::{PrepareError, prepare};
use crate::protocol::{Failure, PortTarget, ResolvedUser};
use crate::pump::{Ends, Log, PIPE, Pump, Settings};

/// A container to be created.
pub(crate) struct Container {
    /// Taken by `create`, so that a running monitor does not keep it in memory.
    plan: Option<Box<Plan>>,
    log: log_drivers::Config,
    /// The runtime that has made it, unless it is the built-in one.
    other: Option<Driver>,
}

impl Container {
    pub(crate) fn new(plan: Plan) -> Self {
        Container {
            log: plan.log.clone(),
            plan: Some(Box::new(plan)),
            other: None,
        }
    }

    pub(crate) fn places(plan: &Plan) -> Places {
        Places {
            id: plan.id.clone(),
            state_dir: plan.state_dir.clone(),
            exit_file: plan.exit_file.clone(),
        }
    }

    pub(crate) fn settings(plan: &Plan) -> Settings {
        Settings {
            tty: plan.stdio.tty,
            stdin_once: plan.stdio.stdin_once,
            spool: plan.spool_dir.clone(),
        }
    }
}

impl Job for Container {
    fn create(&mut self) -> Result<Ready, Failure> {
        let Some(mut plan) = self.plan.take() else {
            return Err(engine_failure("the container was created already".to_owned()));
        };
        let netns = plan
            .netns
            .map(inherit::file)
            .transpose()
            .map_err(|error| engine_failure(error.to_string()))?;
        let filter = plan
            .filter
            .map(inherit::filter)
            .transpose()
            .map_err(|error| engine_failure(error.to_string()))?;
        let ports = take_ports(&plan.ports)?;
        if let Some(process) = &mut plan.spec.process {
            process.terminal = plan.stdio.tty;
            process.console_size = plan.stdio.console_size.clone().or(process.console_size.take());
        }
        let (rootfs, user) = prepare(&mut plan).map_err(|error| prepare_failure(&error))?;
        if let Some(runtime) = plan.runtime.take() {
            let driver = Driver::new(runtime, plan.id.clone(), plan.state_dir.clone());
            self.other = Some(driver.clone());
            return create_with(driver, *plan, rootfs, user, netns, ports);
        }
        let cgroup = make_cgroup(&plan)?;
        let undo = |cgroup: Option<Cgroup>| {
            if let Some(cgroup) = cgroup {
                drop(cgroup.remove());
            }
        };
        let made = connect(&plan.stdio, &user).and_then(|(stdio, ends)| {
            let kept = rustix::io::fcntl_dupfd_cloexec(&rootfs, 3).map_err(streams_failure)?;
            let mut options = CreateOptions::new(&plan.id, RootfsSource::DetachedMount(rootfs));
            options.netns = netns;
            options.stdio = stdio;
            options.cgroup = cgroup.as_ref();
            options.filter = filter;
            let process = runtime::create(&plan.spec, options).map_err(|error| runtime_failure(&error))?;
            Ok((process, ends, kept))
        });
        match made {
            Ok((mut process, mut ends, kept)) => {
                take_terminal(process.master.take(), &mut ends)?;
                Ok(Ready {
                    process: Process::BuiltIn(Box::new(process)),
                    ends,
                    user,
                    cgroup,
                    rootfs: Some(kept),
                    ports,
                })
            }
            Err(failure) => {
                undo(cgroup);
                Err(failure)
            }
        }
    }

    fn complete(&mut self, pump: &mut Pump) -> Result<(), Failure> {
        let log = Log::open(&self.log)
            .map_err(|error| engine_failure(format!("failed to initialize logging driver: {error}")))?;
        pump.set_log(log);
        Ok(())
    }

    fn start_failure(&self, error: &runtime::Error) -> Failure {
        runtime_failure(error)
    }

    fn end(&mut self) {
        if let Some(driver) = self.other.take() {
            driver.delete();
        }
    }

    fn tells_clients(&self) -> bool {
        false
    }

    fn compressed_log(&self) -> Option<(PathBuf, u32)> {
        self.log
            .compress
            .then(|| (self.log.path.clone(), self.log.max_file))
    }
}

/// Has another runtime make the container.
fn create_with(
    driver: Driver,
    plan: Plan,
    rootfs: OwnedFd,
    user: ResolvedUser,
    netns: Option<OwnedFd>,
    ports: Vec<(PortTarget, OwnedFd)>,
) -> Result<Ready, Failure> {
    let path = plan.spec.linux.as_ref().map(|linux| linux.cgroups_path.clone());
    let (stdio, mut ends) = connect(&plan.stdio, &user)?;
    let root = Root {
        mount: rootfs.as_fd(),
        netns: netns.as_ref().map(AsFd::as_fd),
    };
    let mut made = driver.create(plan.spec, &root, borrowed(&stdio))?;
    take_terminal(made.master.take(), &mut ends)?;
    // The runtime has made it; one that has not is none that could be watched.
    let cgroup = path
        .filter(|path| !path.is_empty())
        .and_then(|path| Cgroup::open(&Layout::detect().ok()?, &path).ok());
    Ok(Ready {
        process: Process::Other(made, Some(driver)),
        ends,
        user,
        cgroup,
        rootfs: Some(rootfs),
        ports,
    })
}

fn take_ports(ports: &[plan::Port]) -> Result<Vec<(PortTarget, OwnedFd)>, Failure> {
    ports
        .iter()
        .map(|port| {
            let socket = inherit::file(port.socket).map_err(|error| engine_failure(error.to_string()))?;
            Ok((
                PortTarget {
                    protocol: port.protocol,
                    target: port.target,
                },
                socket,
            ))
        })
        .collect()
}

fn make_cgroup(plan: &Plan) -> Result<Option<Cgroup>, Failure> {
    let Some(linux) = &plan.spec.linux else {
        return Ok(None);
    };
    if linux.cgroups_path.is_empty() {
        return Ok(None);
    }
    let resources = linux.resources.clone().unwrap_or_default();
    let made = Layout::detect().and_then(|layout| Cgroup::create(&layout, &linux.cgroups_path, &resources));
    made.map(Some)
        .map_err(|error| runtime_failure(&runtime::Error::Cgroup(error)))
}

/// Pipes or a terminal: the process's streams, and our ends of them.
pub(super) fn connect(stdio: &plan::Stdio, user: &ResolvedUser) -> Result<(Stdio, Ends), Failure> {
    if stdio.tty {
        return Ok((Stdio::Terminal, Ends::default()));
    }
    let make = || -> Result<(Stdio, Ends), linux::Errno> {
        let (stdin, our_stdin) = if stdio.open_stdin {
            let (theirs, ours) = pipe()?;
            (theirs, Some(ours))
        } else {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            (
                rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?,
                None,
            )
        };
        let (our_stdout, stdout) = pipe()?;
        let (our_stderr, stderr) = pipe()?;
        // So that the user can open /dev/stdout again, as runc does it.
        for file in [Some(&stdout), Some(&stderr), our_stdin.as_ref().map(|_| &stdin)]
            .into_iter()
            .flatten()
        {
            rustix::fs::fchown(file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
        }
        let ends = Ends {
            stdin: our_stdin,
            stdout: Some(our_stdout),
            stderr: Some(our_stderr),
        };
        Ok((
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            },
            ends,
        ))
    };
    make().map_err(streams_failure)
}

fn pipe() -> Result<(OwnedFd, OwnedFd), linux::Errno> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // The kernel may refuse more than 64 KiB; that is only slower.
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
    Ok((read, write))
}

/// The terminal's master serves both directions.
pub(super) fn take_terminal(master: Option<OwnedFd>, ends: &mut Ends) -> Result<(), Failure> {
    if let Some(master) = master {
        ends.stdin = Some(rustix::io::fcntl_dupfd_cloexec(master.as_fd(), 3).map_err(streams_failure)?);
        ends.stdout = Some(master);
    }
    Ok(())
}

fn streams_failure(errno: linux::Errno) -> Failure {
    engine_failure(format!(
        "make the streams of the process: {}",
        runtime::errno_text(errno)
    ))
}

/// A failure of the engine, not of the program.
pub(super) fn engine_failure(message: String) -> Failure {
    Failure {
        message,
        exit_code: 128,
    }
}

fn runtime_failure(error: &runtime::Error) -> Failure {
    Failure {
        message: error.docker_text(),
        exit_code: error.exit_code(),
    }
}

fn prepare_failure(error: &PrepareError) -> Failure {
    Failure {
        message: error.to_string(),
        exit_code: 128,
    }
}
