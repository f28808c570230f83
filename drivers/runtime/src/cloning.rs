//! Cloning the init: into its cgroup and its namespaces, by a process in between where one step is not enough.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use cgroups::{Cgroup, Layout};
use linux::Errno;
use linux::namespace::Flags;
use linux::process::{CloneArgs, Cloned, clone3};
use rustix::process::Pid;

use crate::create::parent;
use crate::{Error, channel, init};

/// What a process in between joins, for the init to be born there.
#[derive(Clone, Copy)]
pub(crate) struct Between<'a> {
    /// The user namespace, which comes first: the rights for what it owns come with it (user_namespaces(7)).
    pub(crate) user: BorrowedFd<'a>,
    /// Namespaces of processes to be born (pid, time) that the caller may not join.
    pub(crate) others: &'a [(OwnedFd, Flags)],
}

impl Between<'_> {
    fn join(self) -> linux::Result<()> {
        init::join_user(self.user)?;
        self.others
            .iter()
            .try_for_each(|(file, flag)| linux::namespace::join_in_child(file.as_fd(), *flag))
    }
}

/// Clones the init. Where it joins a user namespace, a process in between does so first, because all that belongs to the
/// container must belong to that namespace; the init is our child all the same.
///
/// A user's shell and the user's systemd live in different parts of the tree, and the kernel lets nobody but the system's
/// systemd move a process between them: then the process in between is moved so, and the init is born in the group.
pub(crate) fn clone_init(
    namespaces: Flags,
    cgroup: Option<&Cgroup>,
    user: Option<Between<'_>>,
    init: Option<Pid>,
) -> Result<Cloned, Error> {
    let fail = |errno| parent("clone3", errno);
    // Also on a hybrid machine: the files are those of version 1 only, and CLONE_INTO_CGROUP costs nothing.
    let into = cgroup.and_then(Cgroup::v2_dir);
    let arguments = |namespaces, cgroup| CloneArgs {
        namespaces,
        cgroup,
        sibling: false,
    };
    if user.is_none() {
        match clone_into(arguments(namespaces, into), init)? {
            Err(Errno::ACCESS | Errno::PERM) if cgroup.is_some_and(|group| group.unit().is_some()) => {}
            other => return other.map_err(fail),
        }
    }
    let (ours, theirs) = channel::pair().map_err(fail)?;
    let mut moved = None;
    let none = Flags::empty();
    let mut between = match user {
        Some(_) => clone_into(arguments(none, into), init)?,
        None => Err(Errno::ACCESS),
    };
    if let (Err(Errno::ACCESS | Errno::PERM), Some(group)) = (&between, cgroup)
        && group.unit().is_some()
    {
        moved = Some(group);
        between = clone3(&arguments(none, None));
    }
    match between.map_err(fail)? {
        Cloned::Child => {
            drop(ours);
            let waited = match moved {
                Some(_) => channel::await_byte(theirs.as_fd()),
                None => Ok(()),
            };
            let joined = waited.and_then(|()| user.map_or(Ok(()), Between::join));
            let sibling = CloneArgs {
                namespaces,
                cgroup: None,
                sibling: true,
            };
            match joined.and_then(|()| clone3(&sibling)) {
                Ok(Cloned::Child) => return Ok(Cloned::Child),
                Ok(Cloned::Parent { pidfd, .. }) => {
                    let _ = linux::fd::send(&theirs, &0_i32.to_ne_bytes(), &[pidfd.as_fd()]);
                }
                Err(errno) => {
                    let _ = linux::fd::send(&theirs, &errno.raw_os_error().to_ne_bytes(), &[]);
                }
            }
            linux::process::exit_now(0)
        }
        Cloned::Parent { pid, pidfd: between } => {
            drop(theirs);
            let ready = match moved {
                Some(group) => group.attach_by_systemd(pid.as_raw_pid()).map(drop),
                None => Ok(()),
            };
            // Also after a failure: it ends then.
            let mut errno = [0_u8; 4];
            let received = match (&ready, moved) {
                (Err(_), _) => {
                    let _ = linux::process::send_signal(&between, 9);
                    Err(Errno::CANCELED)
                }
                (Ok(()), Some(_)) => {
                    channel::answer(&ours).and_then(|()| linux::fd::receive(&ours, &mut errno))
                }
                (Ok(()), None) => linux::fd::receive(&ours, &mut errno),
            };
            let _ = linux::process::wait(&between);
            ready?;
            let pidfd = received.map_err(fail)?.fds.into_iter().next();
            match (pidfd, i32::from_ne_bytes(errno)) {
                (Some(pidfd), _) => Ok(Cloned::Parent {
                    pid: number(&pidfd)?,
                    pidfd,
                }),
                (None, errno) if errno > 0 => {
                    let what = if user.is_some() {
                        "join a user namespace and what it owns"
                    } else {
                        "clone3"
                    };
                    Err(parent(what, Errno::from_raw_os_error(errno)))
                }
                _ => Err(Error::Died("before it was the container's".into())),
            }
        }
    }
}

/// The number of a process as this process sees it: the one in between may be in another pid namespace.
fn number(pidfd: &OwnedFd) -> Result<Pid, Error> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path).map_err(|error| {
        parent(
            &format!("read {path}"),
            Errno::from_io_error(&error).unwrap_or(Errno::INVAL),
        )
    })?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = line
        .and_then(|number| number.trim().parse().ok())
        .filter(|number| *number > 0);
    pid.and_then(Pid::from_raw)
        .ok_or_else(|| Error::Died("before its number was known".into()))
}

/// Clones into the group, or into the one that `init` is in where the group can hold no process: a version 2 group whose
/// children have controllers (cgroups(7)). An engine or a systemd inside the container has divided it so.
fn clone_into(arguments: CloneArgs<'_>, init: Option<Pid>) -> Result<linux::Result<Cloned>, Error> {
    let cloned = clone3(&arguments);
    if let (Err(Errno::BUSY), Some(init), Some(_)) = (&cloned, init, arguments.cgroup) {
        let beside = Cgroup::of_process(&Layout::detect()?, init.as_raw_pid())?;
        return Ok(clone3(&CloneArgs {
            cgroup: beside.v2_dir(),
            ..arguments
        }));
    }
    Ok(cloned)
}
