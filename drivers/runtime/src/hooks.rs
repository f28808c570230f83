//! Running hooks: the state on standard input, a time limit, and the namespaces that the spec says (config.md, "Hooks").

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::Errno;
use linux::namespace::Flags;
use linux::process::{CStringArray, Child, CloneArgs, Cloned, Exit, Program, Spawn, clone3};
use oci::runtime::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use crate::Error;

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
        inside(&strings, Some(&file), input, pidfd, pid)
    })
}

/// Runs hooks whose path counts in the container (`startContainer`) inside its namespaces.
pub(crate) fn run_inside(
    kind: &'static str,
    hooks: &[Hook],
    state: &State,
    pidfd: BorrowedFd<'_>,
    pid: Pid,
) -> Result<(), Error> {
    each(kind, hooks, state, |hook, input| {
        inside(&Strings::of(hook)?, None, input, pidfd, pid)
    })
}

struct Strings {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Strings {
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
            environment: list(&hook.env)?,
        })
    }
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
            Ok(Exit::Signal { signal, .. }) => return Err(fail(format!("signal {signal}"))),
            Err(errno) => return Err(fail(crate::errno_text(errno))),
        }
    }
    Ok(())
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
    file: Option<&OwnedFd>,
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
    match clone3(&CloneArgs::default())? {
        Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd }),
        Cloned::Child => {
            let prepared = || -> linux::Result<()> {
                if flags != Flags::empty() {
                    linux::namespace::join_in_child(pidfd, flags)?;
                }
                rustix::process::fchdir(&root)?;
                rustix::process::chroot(c".")?;
                linux::fd::duplicate_to(input, 0)?;
                linux::fd::close_on_exec_from(3)
            };
            if prepared().is_ok() {
                linux::process::clear_child_signals();
                let _ = match file {
                    Some(file) => arguments.execveat(file.as_fd(), &environment),
                    None => arguments.execve(&strings.path, &environment),
                };
            }
            linux::process::exit_now(127)
        }
    }
}
