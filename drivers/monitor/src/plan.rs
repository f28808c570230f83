//! What the daemon tells a process it spawns: plain values, sent as JSON in a sealed memfd.
//!
//! A plan is complete: the process that gets it looks at nothing else (no environment, no configuration file). Files
//! that it needs open (network namespace, bound ports, ...) are inherited and named by their index ([`Fd`]).

use std::net::SocketAddr;
use std::path::PathBuf;

use linux::mount::recipe::Recipe;
use log_drivers::Timestamp;
use oci::runtime::{ConsoleSize, Mount, Process, Seccomp, Spec};
use serde::{Deserialize, Serialize};

/// Index of an inherited file in the `fds` that were given to [`crate::spawn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fd(pub u32);

/// Everything the monitor of one container needs to create it, run it and record its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The container's id, 64 hexadecimal digits.
    pub id: String,
    /// Directory of this container in the exec root (exists, mode 0700). The monitor makes `monitor.sock` and
    /// [`StateFile`] `state.json` in it.
    pub state_dir: PathBuf,
    /// Where the [`ExitRecord`] goes: in the data root, or in the exec root for `--rm`. An old one is removed at start.
    pub exit_file: PathBuf,
    /// Directory for unlinked spool files of slow clients; on disk, not on tmpfs.
    pub spool_dir: PathBuf,
    /// The container as the OCI runtime-spec describes it. `linux.cgroupsPath` and `linux.resources` are obeyed,
    /// `root.path` is ignored in favour of `rootfs` (`root.readonly` counts), `process.user` is overwritten by `user`.
    pub spec: Spec,
    /// How to mount the root file system.
    pub rootfs: Recipe,
    /// The user, resolved inside the image.
    pub user: UserLookup,
    /// Docker creates a missing working directory, owned by root.
    pub make_working_dir: bool,
    /// Volumes that take over what the image has at their place while they are empty.
    pub copy_ups: Vec<CopyUp>,
    /// Terminal or pipes.
    pub stdio: Stdio,
    /// Where the output is logged.
    pub log: log_drivers::Config,
    /// The network namespace to join, made by the daemon; without it the spec decides.
    pub netns: Option<Fd>,
    /// The system call filter, compiled ([`security::seccomp::Program::to_bytes`]); without it the spec's counts.
    #[serde(default)]
    pub filter: Option<Fd>,
    /// Published ports that the proxy serves.
    pub ports: Vec<Port>,
    /// With `--init`: the host path of `dhow-runtime`, which is bound read-only at `/sbin/docker-init` and runs as PID 1;
    /// it starts the process, forwards signals and reaps.
    pub init: Option<PathBuf>,
    /// The runtime that makes the container, unless it is the built-in one.
    #[serde(default)]
    pub runtime: Option<OtherRuntime>,
}

/// Another OCI runtime, as a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRuntime {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments before the verb.
    pub arguments: Vec<String>,
    /// Its `--root`: where it remembers this one container.
    pub root: PathBuf,
}

/// A user and groups as given by `-u` and `--group-add`, looked up in the image's `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLookup {
    /// `user`, `uid`, `user:group`, `uid:gid`, ...; empty for root. `None` leaves the spec's numbers as they are.
    pub user: Option<String>,
    /// More groups, names or numbers.
    #[serde(default)]
    pub group_add: Vec<String>,
}

/// Fills an empty volume with what the image has at the place where it will be mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyUp {
    /// Path inside the container.
    pub destination: PathBuf,
    /// The volume's directory on the host; nothing happens if it has entries.
    pub host_path: PathBuf,
}

/// How the standard streams are connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stdio {
    /// One terminal instead of three pipes.
    pub tty: bool,
    /// Keep a standard input open (`-i`); otherwise the process reads `/dev/null`.
    pub open_stdin: bool,
    /// The first attached input that ends closes the container's input.
    pub stdin_once: bool,
    /// Size of the terminal at start.
    #[serde(default)]
    pub console_size: Option<ConsoleSize>,
}

/// Transport protocol of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The inherited socket listens.
    Tcp,
    /// The inherited socket is bound.
    Udp,
}

/// One published port: a bound host socket, and where its traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The bound (UDP) or listening (TCP) socket.
    pub socket: Fd,
    /// The container's address and port.
    pub target: SocketAddr,
}

/// One more process in a running container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecPlan {
    /// The exec's id, 64 hexadecimal digits.
    pub id: String,
    /// The container's id.
    pub container: String,
    /// Directory of this exec (exists, mode 0700): `monitor.sock` and `state.json` are made in it.
    pub state_dir: PathBuf,
    /// Where the [`ExitRecord`] goes.
    pub exit_file: PathBuf,
    /// Directory for unlinked spool files of slow clients.
    pub spool_dir: PathBuf,
    /// A pidfd of the container's PID 1, opened and checked by the daemon.
    pub init: Fd,
    /// The container's PID 1 on the host.
    pub init_pid: i32,
    /// The process; `user` is overwritten by the lookup below. `capabilities`, `apparmorProfile` and
    /// `noNewPrivileges` are obeyed as in a spec.
    pub process: Process,
    /// Who, resolved inside the container.
    pub user: UserLookup,
    /// The system-call filter; `None` for `--privileged` and `seccomp=unconfined`.
    pub seccomp: Option<Seccomp>,
    /// The same, compiled; it overrules `seccomp`.
    #[serde(default)]
    pub filter: Option<Fd>,
    /// The container's annotation for Landlock ([`security::landlock::ANNOTATION`]).
    #[serde(default)]
    pub landlock: Option<String>,
    /// The container's `linux.cgroupsPath`.
    pub cgroups_path: String,
    /// Terminal or pipes. `stdin_once` is the rule for execs.
    pub stdio: Stdio,
    /// The runtime that has made the container, unless it is the built-in one.
    #[serde(default)]
    pub runtime: Option<OtherRuntime>,
}

/// One file operation in a container (`docker cp`, `docker export`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesPlan {
    /// Which tree.
    pub tree: Tree,
    /// What to do there.
    pub operation: FilesOperation,
    /// The tar stream: written for `Get` and `Export`, read for `Put`.
    pub stream: Option<Fd>,
}

/// The file tree of a container, running or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tree {
    /// The mount namespace of a running process, by pidfd.
    Running {
        /// A pidfd of the container's PID 1.
        init: Fd,
    },
    /// A stopped container: mounted for the length of the operation in a private mount namespace.
    Stopped {
        /// The root file system.
        rootfs: Recipe,
        /// Bind mounts (volumes) that belong to the tree; others are left out.
        mounts: Vec<Mount>,
        /// Whether the root file system may not be written to.
        read_only: bool,
        /// A directory to make if it is missing: the working directory of a container that has not run yet.
        working_dir: Option<PathBuf>,
    },
}

/// A file operation; paths are absolute inside the container and never leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesOperation {
    /// Reports [`PathStat`] of the path itself (a last symbolic link is not followed).
    Stat {
        /// The path.
        path: PathBuf,
    },
    /// Reports the stat, then writes a tar whose top entry is named as the last component of the path.
    Get {
        /// The path; a trailing `/.` means the directory's content.
        path: PathBuf,
    },
    /// Unpacks a tar into a directory.
    Put {
        /// An existing directory.
        path: PathBuf,
        /// Refuse to replace a directory by something else, and the reverse.
        no_overwrite_dir_non_dir: bool,
        /// Whom the files shall belong to (Docker's `copyUIDGID`: the container's user); `None` keeps the archive's ids.
        owner: Option<UserLookup>,
    },
    /// Writes the whole root file system as a tar, without the content of mounts.
    Export,
}

/// What `X-Docker-Container-Path-Stat` carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStat {
    /// Base name.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's `os.FileMode` bits.
    pub mode: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Target of a symbolic link, else empty.
    pub link_target: String,
}

/// The end of a container or exec, as `exit_file` holds it. Written whole (temporary file and rename), before `Exited`
/// is sent; present means that the process is over and its output is flushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitRecord {
    /// Whose record.
    pub id: String,
    /// 0 to 255; 128 + n after signal n.
    pub exit_code: i32,
    /// The kernel's out-of-memory killer struck inside the container's cgroup.
    pub oom_killed: bool,
    /// When the process was started; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its end was seen.
    pub finished_at: Timestamp,
    /// Why it could not be run, else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// `state.json`: whom to look for after a restart of the daemon. A pid counts only with its start time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateFile {
    /// The container's or exec's id.
    pub id: String,
    /// The process: PID 1 of the container, or the exec's process.
    pub pid: i32,
    /// Its start time in clock ticks since boot (field 22 of `/proc/pid/stat`).
    pub start_time: u64,
    /// The monitor.
    pub monitor_pid: i32,
    /// The monitor's start time.
    pub monitor_start_time: u64,
    /// When the process was let go; absent while it waits for `Start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}
