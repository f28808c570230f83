//! Running one more process in a container that exists.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use linux::namespace::Flags;
use oci::runtime::{Process, Seccomp, State};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use crate::compile::{Options, compile_exec};
use crate::conversation::{self, Wishes};
use crate::create::{parent, streams};
use crate::{Created, Error, Stdio, home, hooks};

/// The container's init.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its number in the caller's pid namespace.
    pub pid: Pid,
    /// Its descriptor.
    pub pidfd: BorrowedFd<'a>,
}

/// What [`exec`] needs beside the process.
#[derive(Debug, Default)]
pub struct ExecOptions<'a> {
    /// The standard streams. [`Stdio::Terminal`] makes a terminal in the container's `/dev/pts`.
    pub stdio: Stdio,
    /// The cgroup that the process is put into.
    pub cgroup: Option<&'a cgroups::Cgroup>,
    /// Path of the program, where it is not what the first argument says.
    pub program: Option<String>,
    /// The system call filter.
    pub seccomp: Option<&'a Seccomp>,
    /// The same, compiled beforehand; it overrules the other.
    pub filter: Option<security::seccomp::Program>,
    /// The container's annotation for Landlock ([`security::landlock::ANNOTATION`]).
    pub landlock: Option<&'a String>,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
}

/// Sets up a process in the namespaces of `target`; it waits for [`Created::start`].
///
/// # Errors
/// As [`crate::create`].
pub fn exec(target: Target<'_>, process: &Process, options: ExecOptions<'_>) -> Result<Created, Error> {
    let differing =
        hooks::differing(target.pid).map_err(|errno| parent("look at the container's init", errno))?;
    // The number may have been given away since; the descriptor cannot lie.
    linux::process::send_signal(target.pidfd, 0).map_err(|errno| parent("container's init", errno))?;
    let has_home = process.env.iter().any(|variable| variable.starts_with("HOME="));
    let facts = Options {
        streams: streams(&options.stdio),
        no_new_keyring: options.no_new_keyring,
        id: "exec".to_owned(),
        preserve_fds: options.preserve_fds,
        may_mount: rustix::process::geteuid().is_root(),
        available_capabilities: linux::caps::bounding(),
        home: if has_home {
            None
        } else {
            home_of(target.pid, process.user.uid)
        },
        filter: options.filter,
        program: options.program,
        landlock: crate::compile::landlock(options.landlock)?,
        selinux: security::selinux::is_enabled(),
        ..Options::default()
    };
    let kinds = [
        Flags::USER,
        Flags::MOUNT,
        Flags::NETWORK,
        Flags::UTS,
        Flags::IPC,
        Flags::CGROUP,
    ];
    // Without rights here, those for the pid and time namespaces come with the user namespace that owns them: then it
    // cannot be joined together with the rest, after the clone, but must come before.
    let user_first = differing.contains(Flags::USER) && !rustix::process::geteuid().is_root();
    let joined = kinds
        .into_iter()
        .filter(|flag| differing.contains(*flag) && !(user_first && *flag == Flags::USER))
        .fold(Flags::empty(), Flags::with);
    let mut program = compile_exec(process, options.seccomp, &facts, joined)?;
    program.parent.join_user = user_first.then_some(0);
    if differing.contains(Flags::PID) {
        program.parent.join_pid = Some(format!("/proc/{}/ns/pid", target.pid.as_raw_pid()));
    }
    if differing.contains(Flags::TIME) {
        program.parent.join_time = Some(format!("/proc/{}/ns/time", target.pid.as_raw_pid()));
    }
    let wishes = Wishes {
        joined: vec![target.pidfd],
        rootfs: None,
        stdio: &options.stdio,
        cgroup: options.cgroup,
        init: Some(target.pid),
        go: None,
        hooks: None,
        seccomp: options.seccomp,
        net_devices: &BTreeMap::new(),
        state: State {
            oci_version: oci::runtime::VERSION.to_owned(),
            ..State::default()
        },
    };
    conversation::launch(program, wishes)
}

fn home_of(pid: Pid, uid: u32) -> Option<String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{}/root", pid.as_raw_pid()), flags, Mode::empty()).ok()?;
    home::in_root(root.as_fd(), uid)
}
