//! Running hooks: the state on standard input, a time limit, and the namespaces that the spec says (config.md, "Hooks").

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use linux::Errno;
use linux::namespace::Flags;
use linux::process::{CStringArray, Child, CloneArgs, Cloned, Exit, Program, Spawn, clone3};
use oci::runtime::{Hook, Spec, State, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::process::Pid;

use crate::{Error, ExecOptions, Stdio, Target};

/// Runs hooks in the caller's namespaces.
pub(crate) fn run(kind: &'static str, hooks: &[Hook], state: &State) -> Result<(), Error> {
    each(kind, hooks, state, |hook, input| {
        let strings = Strings::of(hook)?;
        let spawn = Spawn::new(Program::Path(&strings.path), strings.arguments.clone());
        spawn
            .environment(strings.environment.clone())
            .fd(input, 0)
            .start()
    })
}

/// Runs hooks whose path counts in the caller's namespaces inside those of a container (`createContainer`).
pub(crate) fn run_from_outside(
    kind: &'static str,
    hooks: &[Hook],
    state: &State,
    pidfd: BorrowedFd<'_>,
    pid: Pid,
) -> Result<(), Error> {
    each(kind, hooks, state, |hook, input| {
        let strings = Strings::of(hook)?;
        let file = rustix::fs::open(&*strings.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        inside(&strings, &file, input, pidfd, pid)
    })
}

/// Runs the `startContainer` hooks of a container that is to be started. Their programs are the container's, so they run as
/// its processes do: with its user, its capabilities, its filter and labels, and in its cgroup.
///
/// # Errors
/// The first hook that fails, with what it has written.
pub(crate) fn start_container(
    spec: &Spec,
    state: &State,
    target: Target<'_>,
    cgroup: Option<&cgroups::Cgroup>,
) -> Result<(), Error> {
    let hooks = spec.hooks.as_ref().map(|hooks| hooks.start_container.as_slice());
    let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else {
        return Ok(());
    };
    // As it is known inside.
    let state = State {
        pid: inner_pid(target.pid).or(state.pid),
        status: Status::Created,
        ..state.clone()
    };
    let json = serde_json::to_vec(&state).unwrap_or_default();
    for (index, hook) in hooks.iter().enumerate() {
        one_as_process(hook, &json, spec, target, cgroup).map_err(|reason| Error::Hook {
            kind: "startContainer",
            index,
            reason,
        })?;
    }
    Ok(())
}

fn one_as_process(
    hook: &Hook,
    state: &[u8],
    spec: &Spec,
    target: Target<'_>,
    cgroup: Option<&cgroups::Cgroup>,
) -> Result<(), String> {
    let mut process = spec.process.clone().unwrap_or_default();
    process.terminal = false;
    process.args = if hook.args.is_empty() {
        vec![hook.path.clone()]
    } else {
        hook.args.clone()
    };
    if !hook.env.is_empty() {
        process.env.clone_from(&hook.env);
    }
    let words = |errno: Errno| crate::errno_text(errno);
    let said = rustix::fs::memfd_create(c"hook output", MemfdFlags::CLOEXEC).map_err(words)?;
    let twin = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(words);
    let linux = spec.linux.as_ref();
    let options = ExecOptions {
        stdio: Stdio::Fds {
            stdin: linux::fd::sealed_memfd(c"hook state", state, false).map_err(words)?,
            stdout: twin(&said)?,
            stderr: twin(&said)?,
        },
        cgroup,
        program: Some(hook.path.clone()),
        seccomp: linux.and_then(|linux| linux.seccomp.as_ref()),
        landlock: spec.annotations.get(security::landlock::ANNOTATION),
        no_new_keyring: true,
        ..ExecOptions::default()
    };
    let mut created = crate::exec(target, &process, options).map_err(|error| error.to_string())?;
    created.start().map_err(|error| error.to_string())?;
    let child = Child {
        pid: created.pid,
        pidfd: created.pidfd,
    };
    let how = match wait(&child, hook.timeout) {
        Ok(Exit::Code(0)) => return Ok(()),
        Ok(Exit::Code(code)) => format!("exit status {code}"),
        Ok(Exit::Signal { signal, .. }) => signal_text(signal),
        Err(errno) => crate::errno_text(errno),
    };
    let mut text = [0; 1024];
    let length = rustix::io::pread(&said, &mut text, 0).unwrap_or(0);
    let output = String::from_utf8_lossy(&text[..length]);
    Err(format!("{how}, output: {}", output.trim_end()))
}

/// The number of a process in its own pid namespace (proc(5), `NSpid`).
fn inner_pid(pid: Pid) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().next_back()?.parse().ok()
}

struct Strings {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Strings {
    /// Without an environment of its own a hook has this program's, as with runc and crun.
    fn of(hook: &Hook) -> linux::Result<Self> {
        let list = |texts: &[String]| -> linux::Result<Vec<CString>> {
            texts
                .iter()
                .map(|text| CString::new(text.as_str()).map_err(|_| Errno::INVAL))
                .collect()
        };
        let path = CString::new(hook.path.as_str()).map_err(|_| Errno::INVAL)?;
        let arguments = if hook.args.is_empty() {
            vec![path.clone()]
        } else {
            list(&hook.args)?
        };
        Ok(Self {
            path,
            arguments,
            environment: if hook.env.is_empty() {
                inherited()?
            } else {
                list(&hook.env)?
            },
        })
    }
}

/// The environment of this program.
fn inherited() -> linux::Result<Vec<CString>> {
    std::env::vars_os()
        .map(|(name, value)| {
            let variable = [name.as_bytes(), b"=", value.as_bytes()].concat();
            CString::new(variable).map_err(|_| Errno::INVAL)
        })
        .collect()
}

fn each(
    kind: &'static str,
    hooks: &[Hook],
    state: &State,
    start: impl Fn(&Hook, BorrowedFd<'_>) -> linux::Result<Child>,
) -> Result<(), Error> {
    for (index, hook) in hooks.iter().enumerate() {
        let fail = |reason: String| Error::Hook { kind, index, reason };
        let json = serde_json::to_vec(state).map_err(|error| fail(error.to_string()))?;
        let input = linux::fd::sealed_memfd(c"hook state", &json, false);
        let started = input.and_then(|input| start(hook, input.as_fd()));
        let child = started.map_err(|errno| fail(crate::errno_text(errno)))?;
        match wait(&child, hook.timeout) {
            Ok(Exit::Code(0)) => {}
            Ok(Exit::Code(code)) => return Err(fail(format!("exit status {code}"))),
            Ok(Exit::Signal { signal, .. }) => return Err(fail(signal_text(signal))),
            Err(errno) => return Err(fail(crate::errno_text(errno))),
        }
    }
    Ok(())
}

/// The end by a signal; a filter's with its usual words, for they are what one looks for.
fn signal_text(signal: i32) -> String {
    match linux::signal::parse("SYS") {
        Some(known) if known == signal => "signal: bad system call".to_owned(),
        _ => format!("signal {signal}"),
    }
}

/// Waits for a hook; one that takes longer than its time is killed, and that is an error.
fn wait(child: &Child, timeout: Option<i64>) -> linux::Result<Exit> {
    if let Some(seconds) = timeout.filter(|seconds| *seconds > 0) {
        let limit = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        let mut ended = [PollFd::new(&child.pidfd, PollFlags::IN)];
        if poll(&mut ended, Some(&limit))? == 0 {
            child.signal(9)?;
            child.wait()?;
            return Err(Errno::TIMEDOUT);
        }
    }
    child.wait()
}

/// The namespaces in which a process differs from the caller, by the inodes of their files.
pub(crate) fn differing(pid: Pid) -> linux::Result<Flags> {
    let kinds: [(&CStr, Flags); 8] = [
        (c"user", Flags::USER),
        (c"mnt", Flags::MOUNT),
        (c"pid", Flags::PID),
        (c"net", Flags::NETWORK),
        (c"uts", Flags::UTS),
        (c"ipc", Flags::IPC),
        (c"cgroup", Flags::CGROUP),
        (c"time", Flags::TIME),
    ];
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::fs::open(c"/proc/self/ns", flags, Mode::empty())?;
    let path = format!("/proc/{}/ns", pid.as_raw_pid());
    let theirs = rustix::fs::open(path, flags, Mode::empty()).map_err(|_| Errno::SRCH)?;
    let inode = |directory: &OwnedFd, name: &CStr| {
        rustix::fs::statat(directory, name, rustix::fs::AtFlags::empty()).map(|stat| stat.st_ino)
    };
    let mut differing = Flags::empty();
    for (name, flag) in kinds {
        match (inode(&own, name), inode(&theirs, name)) {
            (Ok(a), Ok(b)) if a != b => differing = differing.with(flag),
            (Ok(_), Ok(_)) | (Err(Errno::NOENT), _) => {}
            (_, Err(Errno::NOENT)) => return Err(Errno::SRCH),
            (Err(errno), _) | (_, Err(errno)) => return Err(errno),
        }
    }
    Ok(differing)
}

/// A process in the container's namespaces, except that of process ids: the hook sees the pid that it is told.
fn inside(
    strings: &Strings,
    file: &OwnedFd,
    input: BorrowedFd<'_>,
    pidfd: BorrowedFd<'_>,
    pid: Pid,
) -> linux::Result<Child> {
    let differing = differing(pid)?;
    let kinds = [
        Flags::USER,
        Flags::MOUNT,
        Flags::NETWORK,
        Flags::UTS,
        Flags::IPC,
        Flags::CGROUP,
    ];
    let flags = kinds
        .into_iter()
        .filter(|flag| differing.contains(*flag))
        .fold(Flags::empty(), Flags::with);
    let arguments = CStringArray::new(strings.arguments.clone());
    let environment = CStringArray::new(strings.environment.clone());
    // Joining a mount namespace enters what is mounted on top of its root; before pivot_root that is the container's root
    // file system, while hooks shall still see the host's as the init does.
    let path = format!("/proc/{}/root", pid.as_raw_pid());
    let root = rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // Before pivot_root the init stands in the new root file system.
    let path = format!("/proc/{}/cwd", pid.as_raw_pid());
    let directory = rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    match clone3(&CloneArgs::default())? {
        Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd }),
        Cloned::Child => {
            let prepared = || -> linux::Result<()> {
                if flags != Flags::empty() {
                    linux::namespace::join_in_child(pidfd, flags)?;
                }
                rustix::process::fchdir(&root)?;
                rustix::process::chroot(c".")?;
                rustix::process::fchdir(&directory)?;
                linux::fd::duplicate_to(input, 0)?;
                linux::fd::close_on_exec_from(3)
            };
            if prepared().is_ok() {
                linux::process::clear_child_signals();
                let _ = arguments.execveat(file.as_fd(), &environment);
            }
            linux::process::exit_now(127)
        }
    }
}
