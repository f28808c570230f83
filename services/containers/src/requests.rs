//! What callers of the service ask with, where the API's own bodies do not say it.

use std::os::fd::OwnedFd;

use api_types::Filters;
use log_drivers::Timestamp;

/// `GET /containers/json`.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Stopped containers too.
    pub all: bool,
    /// At most so many, the newest, stopped ones included; 0 for all.
    pub limit: usize,
    /// Measure the writable layers.
    pub size: bool,
    /// Docker's filters of `ps`.
    pub filters: Filters,
}

/// `DELETE /containers/{id}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveRequest {
    /// Kill it if it runs.
    pub force: bool,
    /// Take its anonymous volumes along.
    pub volumes: bool,
}

/// `POST /containers/{id}/stop` and `restart`.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    /// Signal name or number; the container's own by default.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative for never; the container's own by default.
    pub timeout: Option<i64>,
}

/// `POST /containers/{id}/attach`.
#[derive(Clone, Debug, Default)]
pub struct AttachRequest {
    /// Replay the log first.
    pub logs: bool,
    /// Go on with what comes.
    pub stream: bool,
    /// Connect the input.
    pub stdin: bool,
    /// Connect the output.
    pub stdout: bool,
    /// Connect the error output.
    pub stderr: bool,
    /// Docker's syntax; the default keys when empty.
    pub detach_keys: String,
}

/// A client's connection after its HTTP upgrade.
#[derive(Debug)]
pub struct ClientSocket {
    /// A stream socket; handed to the monitor, which reads and writes it from then on.
    pub fd: OwnedFd,
    /// What the HTTP side has read of the stream already.
    pub read_ahead: Vec<u8>,
    /// The socket is one end of a relay (TLS, WebSocket).
    pub relayed: bool,
}

/// `GET /containers/{id}/logs`.
#[derive(Clone, Debug, Default)]
pub struct LogRequest {
    /// Wait for more until the container ends.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// The last lines only.
    pub tail: Option<u64>,
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// The container does not run; met at once by one that does not.
    #[default]
    NotRunning,
    /// The next end of a run.
    NextExit,
    /// The container is gone.
    Removed,
}

/// `PUT /containers/{id}/archive`.
#[derive(Clone, Debug, Default)]
pub struct PutArchive {
    /// An existing directory in the container.
    pub path: String,
    /// Refuse to replace a directory by something else, and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Give the files to the container's user instead of keeping the archive's owners.
    pub copy_uid_gid: bool,
}

/// `POST /commit`.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// `name[:tag]` of the new image; empty for none.
    pub reference: String,
    /// Kept in the history.
    pub comment: String,
    /// Kept in the image.
    pub author: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Settings that replace the container's, as the API sends them.
    pub config: Option<api_types::container::Config>,
}

/// Numbers for `info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With a process that runs.
    pub running: usize,
    /// With a frozen process.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
}
