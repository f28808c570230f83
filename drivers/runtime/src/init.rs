//! Walking a program in the child.
//!
//! Everything here runs between `clone3` and `execve`: no allocation, no lock, no logging. The parent hears of what
//! happens through [`channel`](crate::channel).

mod copy_up;
mod files;
mod mounts;
mod process;
mod streams;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::{Errno, Result};
use rustix::fs::{Mode, OFlags};

use crate::channel::{self, Notice};
use crate::program::{Program, Step};

/// Descriptors that exist only at run time. They are closed on exec.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The socket to the parent.
    pub(crate) channel: BorrowedFd<'a>,
    /// Namespaces to join, in the order that the program numbers them.
    pub(crate) joined: Vec<BorrowedFd<'a>>,
    /// Files of cgroups to write `0` to.
    pub(crate) cgroups: Vec<OwnedFd>,
    /// The standard streams.
    pub(crate) streams: Option<[BorrowedFd<'a>; 3]>,
    /// The detached root file system.
    pub(crate) rootfs: Option<BorrowedFd<'a>>,
    /// Mounts that the parent has made, in the order of the program's list.
    pub(crate) prepared: Vec<OwnedFd>,
    /// Where «go» comes from, if not from the channel.
    pub(crate) go: Option<BorrowedFd<'a>>,
}

/// What steps leave for later ones.
#[derive(Default)]
struct State {
    own: Option<OwnedFd>,
    root: Option<OwnedFd>,
    proc: Option<OwnedFd>,
    devpts: Option<OwnedFd>,
    /// `/dev/null` of the host, to hide files with; detached until its first use.
    null: Option<OwnedFd>,
    /// An empty directory, to hide directories with.
    empty: Option<OwnedFd>,
    in_directory: bool,
    /// Landlock's, until the process is bound to it.
    ruleset: Option<OwnedFd>,
    /// Which step found the program, and which of its candidates it was.
    found: Option<(usize, usize)>,
}

/// Walks the program to its end: never returns.
pub(crate) fn run(program: &Program, context: &Context<'_>) -> ! {
    let mut state = State::default();
    rustix::process::umask(Mode::empty());
    for (place, step) in program.steps.iter().enumerate() {
        if let Err(errno) = walk(step, place, program, context, &mut state) {
            channel::tell(context.channel, Notice::Failed, place, errno);
            let missing = matches!(step, Step::Find { .. } | Step::Execute) && errno == Errno::NOENT;
            linux::process::exit_now(if missing { 127 } else { 126 });
        }
    }
    linux::process::exit_now(126)
}

pub(crate) use process::join_user;

fn walk(
    step: &Step,
    place: usize,
    program: &Program,
    context: &Context<'_>,
    state: &mut State,
) -> Result<()> {
    match step {
        Step::OpenSelf => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            state.own = Some(rustix::fs::open(c"/proc/self", flags, Mode::empty())?);
            Ok(())
        }
        Step::EnterCgroups => context
            .cgroups
            .iter()
            .try_for_each(|file| rustix::io::write(file, b"0").map(drop)),
        Step::AwaitIdMaps => process::await_id_maps(context),
        Step::Affinity(set) => rustix::thread::sched_setaffinity(None, set),
        Step::Join { fd, flags, .. } => process::join(*context.joined.get(*fd).ok_or(Errno::BADF)?, *flags),
        Step::NewSession => rustix::process::setsid().map(drop),
        Step::NewKeyring(name) => process::new_keyring(name),
        Step::UnshareCgroup => linux::namespace::unshare_in_child(linux::namespace::Flags::CGROUP),
        Step::LoopbackUp => linux::net::loopback_up(),
        Step::TakeStreams => streams::take(context.streams.as_ref()),
        Step::Propagation(flags) => mounts::propagation(*flags),
        Step::AttachRoot { directory, visible } => {
            mounts::attach_root(directory.as_deref(), *visible, context, state)
        }
        Step::Mount(mount) => mounts::mount(mount, program.mount_label.as_deref(), context, state),
        Step::WishDirectory(path) => {
            let _ = linux::fd::ensure_directory_in_root(root(state)?, path, Mode::from_raw_mode(0o755));
            Ok(())
        }
        Step::Device(device) => files::device(device, root(state)?),
        Step::Symlink { target, path } => files::symlink(target, path, root(state)?),
        Step::Terminal { size, console } => streams::terminal(*size, *console, place, context, state),
        Step::NullStreams => streams::take_null(root(state)?),
        Step::AwaitHooks => channel::ask(context.channel, Notice::Hooks, place),
        Step::AwaitDevices => channel::ask(context.channel, Notice::Devices, place),
        Step::Pivot => mounts::pivot(state),
        Step::Chroot => mounts::chroot(state),
        Step::Sysctl { path, value } => files::sysctl(path, value, state),
        Step::HostName(name) => linux::uts::set_host_name(name),
        Step::DomainName(name) => linux::uts::set_domain_name(name),
        Step::Mask(path) => mounts::mask(path, program.mount_label.as_deref(), state),
        Step::ReadonlyPath(path) => mounts::readonly_path(path, state),
        Step::ReadonlyMount(path) => mounts::readonly_mount(path, state),
        Step::ReadonlyRoot => mounts::readonly_root(state),
        Step::RootPropagation(flags) => mounts::propagation(*flags),
        Step::WriteSelf {
            path,
            fallback,
            value,
            optional,
        } => {
            let own = state.own.as_ref().ok_or(Errno::BADF)?.as_fd();
            let result = files::write_self(own, path, fallback.as_deref(), value);
            warn(result, *optional, place, context)
        }
        Step::Limit {
            resource, soft, hard, ..
        } => warn(process::limit(*resource, *soft, *hard), true, place, context),
        Step::Schedule(scheduler) => linux::process::set_scheduler(scheduler),
        Step::IoPriority { class, level } => linux::process::set_io_priority(*class, *level),
        Step::MemoryPolicy { mode, nodes } => linux::process::set_memory_policy(*mode, nodes),
        Step::Personality(persona) => linux::process::personality(*persona),
        Step::OwnStreams(uid) => streams::give_to(*uid),
        Step::Umask(mask) => {
            rustix::process::umask(Mode::from_raw_mode(*mask));
            Ok(())
        }
        Step::NoNewPrivileges => linux::process::set_no_new_privileges(),
        Step::Hide => linux::process::set_dumpable(false),
        Step::Bounding(keep) => linux::caps::limit_bounding(*keep),
        Step::Become {
            uid,
            gid,
            groups,
            set_groups,
        } => process::become_user(*uid, *gid, groups, *set_groups),
        Step::Capabilities { sets, ambient } => process::capabilities(*sets, *ambient),
        Step::Directory { path, last } => process::directory(path, *last, state),
        Step::NewRuleset(handled) => {
            state.ruleset = Some(linux::landlock::create_ruleset(*handled)?);
            Ok(())
        }
        Step::Allow { path, rights } => process::allow(path, *rights, state),
        Step::Restrict => linux::landlock::restrict_self(state.ruleset.take().ok_or(Errno::BADF)?),
        Step::Filter(filter) => process::filter(filter, place, context),
        Step::Find {
            candidates, searched, ..
        } => {
            state.found = Some((place, process::find(candidates, *searched)?));
            Ok(())
        }
        Step::CloseFrom(first) => linux::fd::close_on_exec_from(*first),
        Step::AwaitStart => process::await_start(place, context),
        Step::Execute => Err(process::execute(program, state)),
    }
}

/// Turns a refusal into a notice where the step is one that containers can do without.
fn warn(result: Result<()>, optional: bool, place: usize, context: &Context<'_>) -> Result<()> {
    match result {
        Err(errno @ (Errno::PERM | Errno::ACCESS)) if optional => {
            channel::tell(context.channel, Notice::Warning, place, errno);
            Ok(())
        }
        other => other,
    }
}

fn root(state: &State) -> Result<BorrowedFd<'_>> {
    state.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
}
