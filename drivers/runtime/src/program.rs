//! The steps of an init: everything it does between `clone3` and `execve`, in order.
//!
//! A program is plain data. Descriptors that only exist at run time are named by their place in [`init::Context`]'s list.
//!
//! [`init::Context`]: crate::init::Context

use std::ffi::{CStr, CString};

use linux::mount::Attributes;
use linux::namespace::Flags;
use linux::process::{CStringArray, Scheduler};
use rustix::process::Resource;
use rustix::thread::CpuSet;

/// What an init does, and what it executes in the end.
#[derive(Debug, Default)]
pub struct Program {
    /// Namespaces that `clone3` creates.
    pub namespaces: Flags,
    /// Namespaces of which the parent prepares its *children's* before the clone: joined pid, new or joined time.
    pub parent: ParentSetup,
    /// Identity maps of a new user namespace, written by the parent.
    pub id_maps: Option<IdMaps>,
    /// Mounts that the parent makes before the clone.
    pub prepared: Vec<Prepared>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The SELinux label of the file systems that are made, for those that do not take it as an option.
    pub mount_label: Option<CString>,
    /// Arguments of the program to execute.
    pub arguments: CStringArray,
    /// Its environment.
    pub environment: CStringArray,
    /// What was asked for and cannot be had, one sentence each; it runs without.
    pub warnings: Vec<String>,
}

/// What the single-threaded parent does before `clone3`, because the kernel gives these to children only.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParentSetup {
    /// Joins the user namespace at this place of the list of descriptors, before all others are made or joined.
    pub join_user: Option<usize>,
    /// Joins the pid namespace with this path.
    pub join_pid: Option<String>,
    /// Joins the time namespace with this path.
    pub join_time: Option<String>,
    /// Creates a time namespace with these lines of `timens_offsets`.
    pub new_time: Option<String>,
}

/// A bind that takes the parent's rights: one whose owners are shifted, one from another mount namespace, or any in a user
/// namespace, whose root may not see what the mount shows.
#[derive(Debug)]
pub struct Prepared {
    /// The path of the host that it shows, or of the mount namespace.
    pub path: CString,
    /// The file of the mount namespace in which the path is, if it is not the host's.
    pub namespace: Option<CString>,
    /// With all mounts below it.
    pub recursive: bool,
    /// How the owners are shifted, if they are.
    pub shift: Option<Shift>,
    /// Whether those of the mounts below it, too (`ridmap`).
    pub whole_tree: bool,
    /// Attributes of the top mount.
    pub attributes: Attributes,
    /// Attributes of all mounts of the tree.
    pub recursive_attributes: Attributes,
}

/// Where the shift of a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shift {
    /// These maps.
    Maps(IdMaps),
    /// The maps of the user namespace with this path.
    Namespace(String),
}

/// Contents of `uid_map` and `gid_map` (user_namespaces(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// Lines of `uid_map`.
    pub uid: String,
    /// Lines of `gid_map`.
    pub gid: String,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Opens `/proc/self` of the host's procfs, through which own attributes are written later.
    OpenSelf,
    /// Runs on these processors only.
    Affinity(CpuSet),
    /// Writes `0` to every cgroup file given at run time.
    EnterCgroups,
    /// Waits for the parent to write the id maps, then becomes user and group 0 of the namespace.
    AwaitIdMaps,
    /// Joins the namespaces of `flags` by a descriptor given at run time.
    Join {
        /// Place in the list of descriptors.
        fd: usize,
        /// Kinds.
        flags: Flags,
        /// Path or name, for messages.
        name: String,
    },
    /// Becomes the leader of a new session.
    NewSession,
    /// Joins a new session keyring.
    NewKeyring(CString),
    /// Makes a cgroup namespace, now that the process is where it belongs.
    UnshareCgroup,
    /// Sets the loopback interface up.
    LoopbackUp,
    /// Takes the three standard streams from places 0 to 2 of the list of streams.
    TakeStreams,
    /// Sets the propagation of all mounts, before anything is mounted.
    Propagation(u32),
    /// Puts the root file system in its place, ready for pivot.
    AttachRoot {
        /// Directory of the host; none: the detached mount given at run time.
        directory: Option<CString>,
        /// It is mounted at that directory, where hooks look for it once they are in the mount namespace, as with runc.
        visible: bool,
    },
    /// Mounts something below the new root.
    Mount(Mount),
    /// Makes a directory below the new root if it is missing; failure is no error (the working directory).
    WishDirectory(CString),
    /// Makes a device node below the new root.
    Device(Device),
    /// Makes a symbolic link below the new root, unless something is there.
    Symlink {
        /// What it says.
        target: CString,
        /// Where it is.
        path: CString,
    },
    /// Makes the terminal, takes it for the standard streams and sends the master up.
    Terminal {
        /// Rows and columns.
        size: Option<(u16, u16)>,
        /// Whether `/dev/console` shows it.
        console: bool,
    },
    /// Takes the container's `/dev/null` for standard streams that are the host's: criu finds no files of mounts outside.
    NullStreams,
    /// Waits until the parent has run the hooks that come before pivot_root.
    AwaitHooks,
    /// Waits until the parent has moved network devices in.
    AwaitDevices,
    /// Makes the new root the root.
    Pivot,
    /// Makes the new root the root of this process, without pivot_root.
    Chroot,
    /// Sets a kernel parameter.
    Sysctl {
        /// Below `/proc/sys`.
        path: CString,
        /// The value.
        value: Vec<u8>,
    },
    /// Sets the host name.
    HostName(Vec<u8>),
    /// Sets the NIS domain name.
    DomainName(Vec<u8>),
    /// Hides a path.
    Mask(CString),
    /// Makes a path read-only.
    ReadonlyPath(CString),
    /// Makes the mount at a path below the new root read-only, now that it has been filled.
    ReadonlyMount(CString),
    /// Makes the root read-only.
    ReadonlyRoot,
    /// Sets the propagation of the root after pivot_root.
    RootPropagation(u32),
    /// Writes a file below `/proc/self`: a security label, the OOM score.
    WriteSelf {
        /// Relative path.
        path: CString,
        /// A second path, for kernels that do not have the first.
        fallback: Option<CString>,
        /// What is written.
        value: Vec<u8>,
        /// Whether a refusal (`EPERM`, `EACCES`) is only a warning.
        optional: bool,
    },
    /// Sets a resource limit; as much of it as may be set.
    Limit {
        /// Which.
        resource: Resource,
        /// Its name in the spec.
        name: String,
        /// Soft limit.
        soft: u64,
        /// Hard limit.
        hard: u64,
    },
    /// Sets the scheduling policy.
    Schedule(Scheduler),
    /// Sets I/O class and priority.
    IoPriority {
        /// 1 real-time, 2 best effort, 3 idle.
        class: u8,
        /// 0 to 7.
        level: u8,
    },
    /// Sets the NUMA policy.
    MemoryPolicy {
        /// Mode with flags.
        mode: i32,
        /// Bit mask of nodes.
        nodes: Vec<u64>,
    },
    /// Sets the execution domain.
    Personality(u32),
    /// Gives the standard streams to the user.
    OwnStreams(u32),
    /// Sets the file mode creation mask.
    Umask(u32),
    /// No privileges through execve.
    NoNewPrivileges,
    /// Keeps processes of the container from looking into this one, which still has what the caller gave it
    /// (CVE-2016-9962); the execution ends that.
    Hide,
    /// Limits the bounding set.
    Bounding(u64),
    /// Becomes the user.
    Become {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
        /// Whether they may be set (not in a user namespace that denies it).
        set_groups: bool,
    },
    /// Sets the capability sets.
    Capabilities {
        /// Effective, permitted, inheritable.
        sets: linux::caps::Sets,
        /// Ambient.
        ambient: u64,
    },
    /// Enters the working directory. When `last` is false a refusal is no error: it is tried again as the user.
    Directory {
        /// Where.
        path: CString,
        /// Whether this is the last try.
        last: bool,
    },
    /// Makes a Landlock ruleset that governs these rights.
    NewRuleset(u64),
    /// Adds a rule to it.
    Allow {
        /// Below this path of the container.
        path: CString,
        /// `LANDLOCK_ACCESS_FS_*`.
        rights: u64,
    },
    /// Binds the process to the ruleset.
    Restrict,
    /// Installs the system call filter.
    Filter(Filter),
    /// Finds the program.
    Find {
        /// As given.
        name: String,
        /// Paths to try, in order.
        candidates: Vec<CString>,
        /// Whether PATH was searched.
        searched: bool,
    },
    /// Marks all other descriptors to be closed on exec.
    CloseFrom(i32),
    /// Tells the parent that everything is ready and waits for «go».
    AwaitStart,
    /// Executes what `Find` found.
    Execute,
}

/// A mount to be made.
#[derive(Debug)]
pub struct Mount {
    /// What is mounted.
    pub source: Source,
    /// Absolute path inside.
    pub target: CString,
    /// Attributes of the top mount.
    pub attributes: Attributes,
    /// Attributes of all mounts of a tree.
    pub recursive_attributes: Attributes,
    /// Propagation to set: `MS_*`, and whether for the whole tree.
    pub propagation: Option<(u64, bool)>,
    /// The target must be a directory of the root itself: no symbolic links are followed.
    pub plain_target: bool,
    /// A new file system is filled with what its place has in the image.
    pub copy_up: bool,
    /// Whether later steps need it.
    pub keep: Option<Kept>,
}

/// A mount that later steps need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The container's procfs.
    Proc,
    /// The container's devpts.
    Devpts,
}

/// What is mounted.
#[derive(Debug)]
pub enum Source {
    /// A new file system.
    New {
        /// Type.
        kind: CString,
        /// `key=value` or flags; `source` among them.
        options: Vec<(CString, Option<CString>)>,
    },
    /// What a path of the host shows.
    Bind {
        /// The path.
        path: CString,
        /// With all mounts below it.
        recursive: bool,
        /// Missing is no error.
        optional: bool,
    },
    /// One of the mounts that the parent has made.
    Prepared {
        /// Its place in the program's list.
        place: usize,
        /// What it shows, for messages.
        path: CString,
    },
}

/// A device node.
#[derive(Debug)]
pub struct Device {
    /// Absolute path inside.
    pub path: CString,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    /// Permission bits.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A compiled system call filter.
pub struct Filter {
    /// Instructions.
    pub instructions: Vec<linux::seccomp::Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u64,
    /// Whether the notification descriptor goes to a listener.
    pub notifies: bool,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Hundreds of instructions would drown everything else in a snapshot.
        write!(
            f,
            "Filter({} instructions, flags {}",
            self.instructions.len(),
            self.flags
        )?;
        f.write_str(if self.notifies { ", notifies)" } else { ")" })
    }
}

fn text(string: &CString) -> String {
    string.to_string_lossy().into_owned()
}

impl Step {
    /// What was tried, for a message that says why it failed. Where clients of Docker look for a text, it is runc's.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::OpenSelf => "open /proc/self".into(),
            Self::EnterCgroups => {
                "unable to apply cgroup configuration: write to the cgroup's tasks file".into()
            }
            Self::Affinity(_) => "set the CPU affinity".into(),
            Self::AwaitDevices => "wait for network devices".into(),
            Self::Chroot => "error jailing process inside rootfs: chroot .".into(),
            Self::AwaitIdMaps => "become root of the user namespace".into(),
            Self::Join { name, .. } => format!("join namespace {name}"),
            Self::NewSession => "setsid".into(),
            Self::NewKeyring(_) => "unable to join session keyring: unable to create session key".into(),
            Self::UnshareCgroup => "unshare cgroup namespace".into(),
            Self::LoopbackUp => "set the loopback interface up".into(),
            Self::TakeStreams => "dup2 of a standard stream".into(),
            Self::Propagation(_) => "set the propagation of /".into(),
            Self::AttachRoot {
                directory: Some(path),
                ..
            } => format!("error preparing rootfs {:?}", text(path)),
            Self::AttachRoot { directory: None, .. } => {
                "error preparing rootfs: attach the detached mount".into()
            }
            Self::Mount(mount) => mount.sentence(),
            Self::WishDirectory(path) => format!("mkdir {}", text(path)),
            Self::Device(device) => format!("error creating device node {:?}", text(&device.path)),
            Self::Symlink { path, .. } => format!("error creating symlink {:?}", text(path)),
            Self::Terminal { .. } => "open a terminal in /dev/pts".into(),
            Self::NullStreams => "open /dev/null for a standard stream".into(),
            Self::AwaitHooks => "wait for hooks".into(),
            Self::Pivot => "error jailing process inside rootfs: pivot_root .".into(),
            Self::Sysctl { path, .. } => format!("open /proc/sys/{}", text(path)),
            Self::HostName(_) => "sethostname".into(),
            Self::DomainName(_) => "setdomainname".into(),
            Self::Mask(path) => format!("can't mask path {:?}", text(path)),
            Self::ReadonlyPath(path) => format!("can't make {:?} read-only", text(path)),
            Self::ReadonlyMount(path) => format!("can't make the mount at {:?} read-only", text(path)),
            Self::ReadonlyRoot => "make the root read-only".into(),
            Self::RootPropagation(_) => "set the propagation of the root".into(),
            Self::WriteSelf { path, value, .. } if is_label(path, value) => format!(
                "can't set process label {:?}: write /proc/self/{}",
                String::from_utf8_lossy(value),
                text(path)
            ),
            Self::WriteSelf { path, .. } => format!("write /proc/self/{}", text(path)),
            Self::Limit { name, .. } => format!("error setting rlimit type {name}"),
            Self::Schedule(_) => "error setting scheduler".into(),
            Self::IoPriority { .. } => "failed to set io priority".into(),
            Self::MemoryPolicy { .. } => "set_mempolicy".into(),
            Self::Personality(_) => "set personality".into(),
            Self::OwnStreams(_) => "fchown of a standard stream".into(),
            Self::Umask(_) => "umask".into(),
            Self::NoNewPrivileges => "set no_new_privs".into(),
            Self::Hide => "set dumpable".into(),
            Self::Bounding(_) => "unable to apply bounding set".into(),
            Self::Become { uid, gid, .. } => format!("unable to become user {uid}:{gid}"),
            Self::Capabilities { .. } => "unable to apply caps".into(),
            Self::Directory { path, .. } => {
                format!("chdir to cwd ({:?}) set in config.json failed", text(path))
            }
            Self::NewRuleset(_) | Self::Restrict => "unable to apply Landlock".into(),
            Self::Allow { path, .. } => format!("unable to apply Landlock to {:?}", text(path)),
            Self::Filter(_) => "unable to init seccomp: error loading seccomp filter into kernel".into(),
            Self::Find { name, .. } => format!("exec: {name:?}"),
            Self::CloseFrom(_) => "close_range".into(),
            Self::AwaitStart => "wait for start".into(),
            Self::Execute => "exec".into(),
        }
    }
}

/// Whether a SELinux label is written; AppArmor uses one of the files too, with a word of its own.
fn is_label(path: &CStr, value: &[u8]) -> bool {
    path == c"attr/keycreate" || path == c"attr/exec" && !value.starts_with(b"exec ")
}

impl Mount {
    /// An image has a symbolic link where proc or sysfs belongs.
    pub(crate) fn not_a_directory(&self) -> String {
        format!("{}: it must be mounted on ordinary directory", self.sentence())
    }

    fn sentence(&self) -> String {
        let label = match &self.source {
            Source::New { options, .. } => options.iter().find(|(key, _)| key.as_c_str() == c"context"),
            _ => None,
        };
        let label = label.and_then(|(_, label)| label.as_ref());
        let label = label.map_or_else(String::new, |label| format!(" with the label {:?}", text(label)));
        let source = match &self.source {
            Source::New { kind, .. } => kind,
            Source::Bind { path, .. } | Source::Prepared { path, .. } => path,
        };
        format!(
            "error mounting {:?} to rootfs at {:?}{label}",
            text(source),
            text(&self.target)
        )
    }
}
