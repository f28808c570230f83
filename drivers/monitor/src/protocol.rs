//! What the daemon and a monitor say to each other: one JSON message per SEQPACKET datagram, files by `SCM_RIGHTS`.
//!
//! The first message each way is `Hello` with the protocol version; both sides ignore fields they do not know, so an old
//! monitor serves a newer daemon. The socket closing means only that the peer is gone: it never ends a container, a
//! client or an input stream.

use std::net::SocketAddr;

use log_drivers::{Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::plan::{ExitRecord, PathStat, Protocol};

/// The version that this build speaks.
pub const VERSION: u32 = 1;

/// No message is longer, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// No message carries more files.
pub const MAX_FDS: usize = 64;

/// The daemon's messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Request {
    /// First message of a connection.
    Hello {
        /// The daemon's version.
        version: u32,
    },
    /// Let the created process run; answered by `Started` or `StartFailed`.
    Start,
    /// Connects a client. Carries one file: the client's stream socket, which belongs to the monitor from now on (the
    /// sender closes its own copy). Answered by `Attached`, ended by `AttachEnded`. Allowed before `Start`.
    Attach(Attach),
    /// The replay of the log is written to the client's socket: now send what was held back.
    Release {
        /// The client.
        client: u64,
    },
    /// Input ended on a relayed client.
    CloseStdin {
        /// The client.
        client: u64,
    },
    /// Disconnects a client, after what is queued for it is sent.
    Detach {
        /// The client.
        client: u64,
    },
    /// New size of the terminal, in characters.
    Resize {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Sends a signal; answered by `SignalFailed` only if the kernel refuses.
    Signal {
        /// Signal number, 1 to 64.
        signal: i32,
    },
    /// Replaces the ports that the proxy serves. Carries one socket per port, in order.
    Ports {
        /// The ports.
        ports: Vec<PortTarget>,
    },
    /// Asks for the container's detached root file system; answered by `Rootfs` with one file.
    Rootfs,
    /// Asks for a `Hello` with the present state.
    State,
    /// Kill what runs (or give up what is not yet started), record it and end.
    Shutdown,
}

/// How a client is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attach {
    /// Chosen by the daemon, unique while the monitor lives.
    pub client: u64,
    /// Read the container's input from it.
    pub stdin: bool,
    /// Write the container's output to it.
    pub stdout: bool,
    /// Write the container's error output to it.
    pub stderr: bool,
    /// Raw bytes or Docker's eight-byte headers; a terminal's output is all stdout.
    pub framing: Framing,
    /// The detach sequence, as bytes (see [`crate::detach_keys::parse`]); empty for none.
    #[serde(default)]
    pub detach_keys: Vec<u8>,
    /// The daemon will write the log's replay first: hold live output back until `Release`, and say in `Attached` up to
    /// which place of the log the replay goes.
    #[serde(default)]
    pub replay: bool,
    /// The socket is the daemon's end of a relay (TLS, WebSocket): its end says nothing about the client's input, which
    /// ends by `CloseStdin`.
    #[serde(default)]
    pub relayed: bool,
}

/// How output is put on a client's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Framing {
    /// As it comes.
    Raw,
    /// `[stream, 0, 0, 0, length as big-endian u32]` before each piece.
    Multiplexed,
}

/// A port of [`Request::Ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortTarget {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The container's address and port.
    pub target: SocketAddr,
}

/// The monitor's messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Report {
    /// First message of a connection, and the answer to `State`.
    Hello {
        /// The monitor's version.
        version: u32,
        /// Whose monitor.
        id: String,
        /// How things stand.
        state: Phase,
        /// Clients that are attached.
        clients: Vec<u64>,
    },
    /// The process exists and waits for `Start`.
    Created {
        /// Its pid on the host.
        pid: i32,
        /// Its start time in clock ticks since boot.
        start_time: u64,
        /// The image user's numbers and home, as found in the image.
        user: ResolvedUser,
    },
    /// It could not be created; everything is undone and the monitor ends.
    CreateFailed(Failure),
    /// The process runs the container's program.
    Started {
        /// Since when.
        at: Timestamp,
    },
    /// It could not be started; everything is undone and the monitor ends. No exit record is written.
    StartFailed(Failure),
    /// The client is connected.
    Attached {
        /// The client.
        client: u64,
        /// The end of the log at this moment; live output continues there.
        position: Position,
    },
    /// The client is not connected any more and its socket is closed.
    AttachEnded {
        /// The client.
        client: u64,
        /// Why.
        why: EndOfAttach,
    },
    /// The kernel's out-of-memory killer struck in the container.
    OomKilled,
    /// The signal could not be sent.
    SignalFailed {
        /// The signal.
        signal: i32,
        /// The kernel's reason.
        message: String,
    },
    /// The terminal could not be resized.
    ResizeFailed {
        /// The reason.
        message: String,
    },
    /// Carries the detached root file system.
    Rootfs,
    /// Writing the log failed (disk full, ...); lines are missing from now on until it works again.
    LogFailed {
        /// The reason.
        message: String,
    },
    /// The port proxy ended unexpectedly.
    ProxyFailed {
        /// The reason.
        message: String,
    },
    /// The process is over; the record is on disk and its cgroup is empty.
    Exited(ExitRecord),
    /// After `Exited`: the root file system is let go, and may be mounted again.
    Released,
    /// A message that this monitor does not understand.
    Unknown {
        /// The reason.
        message: String,
    },
}

/// Where the life of the process stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub enum Phase {
    /// Not yet created.
    Creating,
    /// Waits for `Start`.
    Created {
        /// Pid on the host.
        pid: i32,
        /// Start time in clock ticks since boot.
        start_time: u64,
    },
    /// Runs.
    Running {
        /// Pid on the host.
        pid: i32,
        /// Start time in clock ticks since boot.
        start_time: u64,
        /// Since when.
        started_at: Timestamp,
        /// The out-of-memory killer struck already.
        oom_killed: bool,
    },
    /// Over; only slow clients keep the monitor alive.
    Exited(ExitRecord),
}

/// The user as the image knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedUser {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// More group numbers.
    pub additional_gids: Vec<u32>,
    /// Home directory.
    pub home: String,
}

/// A failed create or start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Docker's sentence.
    pub message: String,
    /// What `docker run` exits with: 125 (the engine), 126 (cannot be executed) or 127 (not found).
    pub exit_code: i32,
}

/// Why a client is not attached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndOfAttach {
    /// The detach keys were typed.
    Detached,
    /// The streams ended and all output is delivered.
    Eof,
    /// The client closed its socket or broke.
    Gone,
    /// It read too slowly, and the spool is at its limit.
    TooSlow,
}

/// Messages of the files face, on its control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum FilesReport {
    /// What the path is; sent first for `Stat` and `Get`.
    Stat(PathStat),
    /// The operation is complete.
    Done,
    /// It failed.
    Failed {
        /// What sort of failure.
        kind: FilesFailure,
        /// Docker's sentence.
        message: String,
    },
}

/// Sorts of failures of file operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FilesFailure {
    /// No such path in the container.
    NotFound,
    /// The archive or the path is wrong.
    Invalid,
    /// The place is mounted read-only.
    ReadOnly,
    /// Anything else.
    System,
}
