//! Making a container: clone3, the conversation with its init, and letting it go.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::Errno;
use linux::process::Exit;
use oci::runtime::{Hooks, Spec, State, Status};
use rustix::process::Pid;

use crate::compile::{Options, Streams, compile};
use crate::conversation::{self, Wishes};
use crate::program::Program;
use crate::{Error, cgroup_view, channel, home, hooks};

/// Where the root file system comes from.
#[derive(Debug)]
pub enum RootfsSource {
    /// A mount that hangs in no directory (from `fsmount` or `open_tree`); the init moves it into place.
    DetachedMount(OwnedFd),
    /// A directory on the host.
    Path(PathBuf),
}

/// The standard streams of the process.
#[derive(Debug, Default)]
pub enum Stdio {
    /// Those of the caller.
    #[default]
    Inherit,
    /// These three.
    Fds {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new terminal in the container's own devpts; its master comes back as [`Created::master`]. Its first size is
    /// `process.consoleSize`.
    Terminal,
}

/// What [`create`] needs beside the spec.
#[derive(Debug)]
pub struct CreateOptions<'a> {
    /// The container's id, for hooks and messages.
    pub id: &'a str,
    /// Directory of the bundle: relative paths of the spec start there, and hooks are told.
    pub bundle: PathBuf,
    /// The root file system.
    pub rootfs: RootfsSource,
    /// A network namespace to join; it overrules the spec.
    pub netns: Option<OwnedFd>,
    /// The standard streams.
    pub stdio: Stdio,
    /// The cgroup the init is put into.
    pub cgroup: Option<&'a cgroups::Cgroup>,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// Use chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Where the resctrl file system is; none: looked for when the spec wants it.
    pub resctrl: Option<PathBuf>,
    /// A system call filter that was compiled beforehand; it overrules the spec's.
    pub filter: Option<security::seccomp::Program>,
    /// The init waits for one byte from this file instead of for [`Created::start`].
    pub go: Option<OwnedFd>,
}

impl<'a> CreateOptions<'a> {
    /// Options with the streams inherited, no cgroup and nothing else asked for.
    #[must_use]
    pub fn new(id: &'a str, rootfs: RootfsSource) -> Self {
        Self {
            id,
            bundle: PathBuf::from("/"),
            rootfs,
            netns: None,
            stdio: Stdio::Inherit,
            cgroup: None,
            no_new_keyring: false,
            preserve_fds: 0,
            no_pivot: false,
            resctrl: None,
            filter: None,
            go: None,
        }
    }
}

/// A process that has been set up and waits to execute. Dropping the value before [`Created::start`] ends the process,
/// unless it waits for [`CreateOptions::go`].
#[derive(Debug)]
pub struct Created {
    /// Its number in the caller's pid namespace.
    pub pid: Pid,
    /// Its descriptor; readable when it has ended.
    pub pidfd: OwnedFd,
    /// The master of its terminal, with [`Stdio::Terminal`]; take it out.
    pub master: Option<OwnedFd>,
    /// What could not be obeyed and was left out, one sentence each (such as a limit that may not be raised).
    pub warnings: Vec<String>,
    /// Network devices that were moved in: their names inside, with those on the host.
    pub net_devices: BTreeMap<String, String>,
    /// The class of cache and memory bandwidth.
    pub resctrl: Option<crate::resctrl::Made>,
    pub(crate) channel: OwnedFd,
    pub(crate) program: Program,
    pub(crate) hooks: Option<StartHooks>,
}

/// Hooks that belong to the start.
#[derive(Debug)]
pub(crate) struct StartHooks {
    pub(crate) hooks: Hooks,
    pub(crate) state: State,
}

impl Created {
    /// Runs the `startContainer` hooks of `spec`, which is what it was created from, in `cgroup`: before [`Created::start`].
    ///
    /// # Errors
    /// The hook that failed; the process waits still.
    pub fn run_start_hooks(&self, spec: &Spec, cgroup: Option<&cgroups::Cgroup>) -> Result<(), Error> {
        let Some(StartHooks { state, .. }) = &self.hooks else {
            return Ok(());
        };
        let (pid, pidfd) = (self.pid, self.pidfd.as_fd());
        hooks::start_container(spec, state, crate::Target { pid, pidfd }, cgroup)
    }

    /// Lets the process execute, and returns when it has. `poststart` hooks run afterwards, the `startContainer` hooks are
    /// [`Created::run_start_hooks`].
    ///
    /// # Errors
    /// [`Error::Exec`] when `execve` failed; the process has ended then and is reaped.
    pub fn start(&mut self) -> Result<(), Error> {
        channel::answer(&self.channel).map_err(|errno| parent("let the init go", errno))?;
        let executed = conversation::until_executed(self);
        if executed.is_err() {
            let _ = linux::process::send_signal(&self.pidfd, 9);
            let _ = self.wait();
        }
        executed?;
        if let Some(StartHooks { hooks, state }) = &mut self.hooks {
            state.status = Status::Running;
            // A failure is logged by runc, not more: the container runs already.
            if let Err(error) = hooks::run("poststart", &hooks.poststart, state) {
                self.warnings.push(error.to_string());
            }
        }
        Ok(())
    }

    /// Waits for the process's end and reaps it.
    ///
    /// # Errors
    /// When it was reaped before.
    pub fn wait(&self) -> linux::Result<Exit> {
        linux::process::wait(&self.pidfd)
    }
}

/// Makes a container; its init waits to be started.
///
/// # Errors
/// Whatever is wrong with the spec, or the step that failed; nothing is left behind but what existed before.
pub fn create(spec: &Spec, mut options: CreateOptions<'_>) -> Result<Created, Error> {
    shift_root(spec, &mut options)?;
    let filter = options.filter.take();
    let program = compile(
        spec,
        &Options {
            filter,
            ..facts(spec, &options)?
        },
    )?;
    let default = oci::runtime::Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&default);
    let opened = open_joined(linux, options.netns.is_some())?;
    let mut joined: Vec<BorrowedFd<'_>> = opened.iter().map(AsFd::as_fd).collect();
    joined.extend(options.netns.as_ref().map(AsFd::as_fd));
    let rootfs = match &options.rootfs {
        RootfsSource::DetachedMount(fd) => Some(fd.as_fd()),
        RootfsSource::Path(_) => None,
    };
    let state = State {
        oci_version: oci::runtime::VERSION.to_owned(),
        id: options.id.to_owned(),
        status: Status::Creating,
        pid: None,
        bundle: options.bundle.to_string_lossy().into_owned(),
        annotations: spec.annotations.clone(),
    };
    let wishes = Wishes {
        joined,
        rootfs,
        stdio: &options.stdio,
        cgroup: options.cgroup,
        init: None,
        go: options.go.as_ref().map(AsFd::as_fd),
        hooks: spec.hooks.as_ref(),
        seccomp: linux.seccomp.as_ref(),
        net_devices: &linux.net_devices,
        state,
    };
    let mut created = conversation::launch(program, wishes)?;
    if let Some(cgroup) = options.cgroup
        && let Err(error) = cgroup.settle()
    {
        let _ = linux::process::send_signal(&created.pidfd, 9);
        let _ = created.wait();
        return Err(error.into());
    }
    if let Some(wish) = &linux.intel_rdt {
        let joined = join_class(wish, &options, &created);
        if joined.is_err() {
            let _ = linux::process::send_signal(&created.pidfd, 9);
            let _ = created.wait();
        }
        created.resctrl = Some(joined?);
    }
    Ok(created)
}

/// Takes the root file system for a mount whose owners are shifted, if the spec's annotation asks for that.
fn shift_root(spec: &Spec, options: &mut CreateOptions<'_>) -> Result<(), Error> {
    let wish = spec.annotations.get(crate::compile::ROOT_SHIFT);
    let (Some(value), RootfsSource::Path(path)) = (wish, &options.rootfs) else {
        return Ok(());
    };
    let directory = root_directory(&options.bundle, path)?;
    let prepared = crate::compile::shifted_root(spec, value, &directory)?;
    if let Some(mount) = crate::id_map::prepare(&[prepared])?.pop() {
        options.rootfs = RootfsSource::DetachedMount(mount);
    }
    Ok(())
}

/// The absolute path of a root file system without symbolic links.
fn root_directory(bundle: &Path, path: &Path) -> Result<String, Error> {
    let full = bundle.join(path);
    let real = full.canonicalize().map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
        parent(&format!("invalid rootfs {}", full.display()), errno)
    })?;
    Ok(real.to_string_lossy().into_owned())
}

/// Puts the init into its class of cache and memory bandwidth.
fn join_class(
    wish: &oci::runtime::IntelRdt,
    options: &CreateOptions<'_>,
    created: &Created,
) -> Result<crate::resctrl::Made, Error> {
    let found = options.resctrl.clone().or_else(crate::resctrl::mounted);
    let top = found.ok_or(crate::resctrl::Error::Absent)?;
    Ok(crate::resctrl::apply(
        &top,
        wish,
        options.id,
        created.pid.as_raw_pid(),
    )?)
}

/// What the compiler must know of the machine and the caller.
fn facts(spec: &Spec, options: &CreateOptions<'_>) -> Result<Options, Error> {
    let rootfs = match &options.rootfs {
        RootfsSource::DetachedMount(_) => None,
        RootfsSource::Path(path) => Some(root_directory(&options.bundle, path)?),
    };
    let process = spec.process.as_ref();
    let has_home = process.is_some_and(|p| p.env.iter().any(|variable| variable.starts_with("HOME=")));
    let uid = process.map_or(0, |p| p.user.uid);
    let home = if has_home {
        None
    } else {
        home::of(&options.rootfs, rootfs.as_deref(), uid)
    };
    let wants_cgroup = spec
        .mounts
        .iter()
        .any(|m| m.kind == "cgroup" || m.kind == "cgroup2");
    let cgroup_mounts = if wants_cgroup {
        cgroup_view::mounts(spec, options.cgroup)?
    } else {
        Vec::new()
    };
    Ok(Options {
        rootfs,
        netns: options.netns.is_some(),
        streams: streams(&options.stdio),
        no_new_keyring: options.no_new_keyring,
        id: options.id.to_owned(),
        preserve_fds: options.preserve_fds,
        available_capabilities: linux::caps::bounding(),
        cgroup_mounts,
        bundle: options.bundle.to_string_lossy().into_owned(),
        home,
        no_pivot: options.no_pivot,
        kcore: Path::new("/proc/kcore").exists(),
        filter: None,
        program: None,
        landlock: crate::compile::landlock(spec.annotations.get(security::landlock::ANNOTATION))?,
        may_mount: rustix::process::geteuid().is_root(),
        shared_memory: spec.annotations.get(crate::compile::SHARED_MEMORY).cloned(),
        selinux: security::selinux::is_enabled(),
    })
}

pub(crate) fn streams(stdio: &Stdio) -> Streams {
    match stdio {
        Stdio::Inherit => Streams::Inherit,
        Stdio::Fds { .. } => Streams::Given,
        Stdio::Terminal => Streams::Terminal,
    }
}

/// Opens the namespaces to join, refusing files that are not namespaces of the right kind.
fn open_joined(linux: &oci::runtime::Linux, netns_given: bool) -> Result<Vec<OwnedFd>, Error> {
    let mut opened = Vec::new();
    for (kind, path) in crate::compile::joined(linux, netns_given) {
        let what = || format!("open namespace {path}");
        let file = std::fs::File::open(path)
            .map_err(|error| parent(&what(), Errno::from_io_error(&error).unwrap_or(Errno::INVAL)))?;
        let found = linux::namespace::kind_of(&file).map_err(|errno| parent(&what(), errno))?;
        if found != crate::compile::flag(kind) {
            return Err(parent(&what(), Errno::INVAL));
        }
        opened.push(file.into());
    }
    Ok(opened)
}

pub(crate) fn parent(what: &str, errno: Errno) -> Error {
    Error::Parent {
        what: what.to_owned(),
        errno,
    }
}
