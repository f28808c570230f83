//! Exec: create, start, inspect.

use serde::{Deserialize, Serialize};

use crate::decode::string_or_list;

/// Body of `POST /containers/{id}/exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// `user[:group]`, by name or number.
    pub user: String,
    /// Give the process every capability and device.
    pub privileged: bool,
    /// Give the process a terminal.
    pub tty: bool,
    /// Initial size of the terminal: height, width (API 1.42).
    pub console_size: Option<[u32; 2]>,
    /// Attach standard input.
    pub attach_stdin: bool,
    /// Attach standard error.
    pub attach_stderr: bool,
    /// Attach standard output.
    pub attach_stdout: bool,
    /// Given here by some old clients; `start` decides.
    pub detach: bool,
    /// Keys that detach the client (`ctrl-p,ctrl-q`).
    pub detach_keys: String,
    /// Further environment (API 1.25).
    pub env: Vec<String>,
    /// Working directory inside the container (API 1.35).
    pub working_dir: String,
    /// Program and arguments.
    #[serde(deserialize_with = "string_or_list")]
    pub cmd: Option<Vec<String>>,
}

/// Body of `POST /exec/{id}/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StartRequest {
    /// Do not attach: answer when the process has started.
    pub detach: bool,
    /// Whether the client expects a terminal stream; the exec's own setting decides.
    pub tty: bool,
    /// Initial size of the terminal: height, width (API 1.42).
    pub console_size: Option<[u32; 2]>,
}

/// Reply of `GET /exec/{id}/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    /// Id of the exec.
    #[serde(rename = "ID")]
    pub id: String,
    /// Still running.
    #[serde(rename = "Running")]
    pub running: bool,
    /// Exit status once it has ended; null before.
    #[serde(rename = "ExitCode")]
    pub exit_code: Option<i64>,
    /// What is run.
    #[serde(rename = "ProcessConfig")]
    pub process_config: ProcessConfig,
    /// Standard input is attached.
    #[serde(rename = "OpenStdin")]
    pub open_stdin: bool,
    /// Standard error is attached.
    #[serde(rename = "OpenStderr")]
    pub open_stderr: bool,
    /// Standard output is attached.
    #[serde(rename = "OpenStdout")]
    pub open_stdout: bool,
    /// The exec can be removed.
    #[serde(rename = "CanRemove")]
    pub can_remove: bool,
    /// Id of the container.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Detach keys as bytes.
    #[serde(rename = "DetachKeys")]
    pub detach_keys: String,
    /// Process id on the host; 0 when not running.
    #[serde(rename = "Pid")]
    pub pid: i64,
}

/// The process of an exec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessConfig {
    /// It has a terminal.
    pub tty: bool,
    /// The program.
    pub entrypoint: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// It is privileged; left out when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// Its user; left out when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}
