//! Steps that change what the process is.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use linux::namespace::Flags;
use linux::{Errno, Result};
use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::fs::{Gid, Uid};
use rustix::process::Resource;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{Context, State};
use crate::channel::{self, Notice};
use crate::program::{Filter, Program, Step};

/// Waits for the maps, then becomes root inside.
pub(super) fn await_id_maps(context: &Context<'_>) -> Result<()> {
    channel::ask(context.channel, Notice::IdMaps, 0)?;
    become_root()
}

/// Joins a user namespace and becomes its root.
pub(crate) fn join_user(namespace: BorrowedFd<'_>) -> Result<()> {
    join(namespace, Flags::USER)
}

/// Joins namespaces; in a user namespace the process is nobody at first, whose files could have no owner.
pub(super) fn join(namespace: BorrowedFd<'_>, flags: Flags) -> Result<()> {
    linux::namespace::join_in_child(namespace, flags)?;
    if !flags.contains(Flags::USER) {
        return Ok(());
    }
    match become_root() {
        // No root is mapped there.
        Err(Errno::INVAL) => Ok(()),
        other => other,
    }
}

fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    set_thread_res_gid(gid, gid, gid)?;
    // Denied where the parent had to deny it to be allowed to write the map.
    let _ = set_thread_groups(&[]);
    set_thread_res_uid(uid, uid, uid)?;
    // Changing the user made the process undumpable, and its /proc files root's of the outer namespace.
    linux::process::set_dumpable(true)
}

/// A session keyring of its own, where the kernel has keys.
pub(super) fn new_keyring(name: &CStr) -> Result<()> {
    match linux::process::new_session_keyring(name) {
        // No kernel keys, or a filter around us that hides them: then there is nothing to protect.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(()),
        // The user has too many already (root's quota is shared by all containers): share the session's then.
        Err(Errno::DQUOT) => Ok(()),
        other => other,
    }
}

/// Sets a limit; what may not be raised stays, and `EPERM` tells so.
pub(super) fn limit(resource: Resource, soft: u64, hard: u64) -> Result<()> {
    match linux::rlimit::set(None, resource, soft, hard) {
        Err(Errno::PERM) => {
            let (_, present) = linux::rlimit::get(resource);
            let hard = hard.min(present);
            linux::rlimit::set(None, resource, soft.min(hard), hard)?;
            Err(Errno::PERM)
        }
        other => other,
    }
}

/// Changes groups and user, keeping the permitted capabilities for the step that sets them.
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32], set_groups: bool) -> Result<()> {
    linux::process::set_keep_capabilities(true)?;
    if set_groups {
        /// The kernel's limit is 65536; nobody's list comes near this one.
        const MOST: usize = 1024;
        let mut list = [Gid::from_raw(0); MOST];
        let list = list.get_mut(..groups.len()).ok_or(Errno::INVAL)?;
        for (place, group) in list.iter_mut().zip(groups) {
            *place = Gid::from_raw(*group);
        }
        match set_thread_groups(list) {
            // A user namespace may deny it; an empty wish is then as good as fulfilled.
            Err(Errno::PERM) if groups.is_empty() => {}
            other => other?,
        }
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

/// Sets the capability sets.
pub(super) fn capabilities(sets: linux::caps::Sets, ambient: u64) -> Result<()> {
    linux::caps::set(sets)?;
    linux::process::set_keep_capabilities(false)?;
    match linux::caps::set_ambient(ambient) {
        // Kernels before 4.3.
        Err(Errno::INVAL) if ambient == 0 => Ok(()),
        other => other,
    }
}

/// Enters the working directory, which must lie inside the root: magic links, through which a leaked descriptor of the
/// host could be reached, are refused, and the kernel must know a path to where we have come (CVE-2024-21626).
pub(super) fn directory(path: &CStr, last: bool, state: &mut State) -> Result<()> {
    if state.in_directory {
        return Ok(());
    }
    match enter(path) {
        Err(Errno::ACCESS | Errno::PERM) if !last => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            state.in_directory = true;
            Ok(())
        }
    }
}

fn enter(path: &CStr) -> Result<()> {
    let root = rustix::fs::open(
        c"/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let directory = linux::fd::open_in_root(root.as_fd(), path, flags, Mode::empty())?;
    rustix::process::fchdir(&directory)?;
    linux::fs::require_reachable_directory()
}

/// Adds a rule to Landlock's ruleset; the path is one of the container's own root.
pub(super) fn allow(path: &CStr, rights: u64, state: &State) -> Result<()> {
    let root = rustix::fs::open(
        c"/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let place = linux::fd::open_in_root(root.as_fd(), path, OFlags::PATH, Mode::empty())?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
    let rights = if kind.is_dir() {
        rights
    } else {
        rights & security::landlock::OF_FILES
    };
    linux::landlock::allow_beneath(state.ruleset.as_ref().ok_or(Errno::BADF)?, &place, rights)
}

/// Installs the filter and sends its listener up.
pub(super) fn filter(filter: &Filter, place: usize, context: &Context<'_>) -> Result<()> {
    let flags = filter.flags
        | if filter.notifies {
            linux::seccomp::FLAG_NEW_LISTENER
        } else {
            0
        };
    match linux::seccomp::install(&filter.instructions, flags)? {
        Some(listener) => channel::pass(context.channel, Notice::Listener, place, listener.as_fd()),
        None => Ok(()),
    }
}

/// The first candidate that may be executed. With a search of PATH every failure means «not here»; without one the
/// failure is the answer: `ENOENT`, `EACCES`, `EISDIR`.
pub(super) fn find(candidates: &[CString], searched: bool) -> Result<usize> {
    let mut failure = Errno::NOENT;
    for (place, path) in candidates.iter().enumerate() {
        match executable(path) {
            Ok(()) => return Ok(place),
            Err(error) if !searched => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

fn executable(path: &CStr) -> Result<()> {
    let stat = rustix::fs::stat(path)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(Errno::ISDIR);
    }
    if stat.st_mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    // The effective user's rights count, and a mount may forbid execution.
    rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// Tells the parent that all is ready, and waits.
pub(super) fn await_start(place: usize, context: &Context<'_>) -> Result<()> {
    match context.go {
        None => channel::ask(context.channel, Notice::Ready, place),
        Some(go) => {
            channel::tell(context.channel, Notice::Ready, place, Errno::NOENT);
            channel::await_byte(go)
        }
    }
}

/// Executes the program that was found; returns why not.
pub(super) fn execute(program: &Program, state: &State) -> Errno {
    let Some((place, candidate)) = state.found else {
        return Errno::NOENT;
    };
    let Some(Step::Find { candidates, .. }) = program.steps.get(place) else {
        return Errno::NOENT;
    };
    linux::process::clear_child_signals();
    match candidates.get(candidate) {
        Some(path) => program.arguments.execve(path, &program.environment),
        None => Errno::NOENT,
    }
}
