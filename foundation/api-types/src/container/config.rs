//! `Config`: what does not depend on the host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decode::string_or_list;
use crate::omit;

/// An empty object, `{}`: the value of Go's maps that are sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The part of a container's settings that an image may give too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// Host name; empty for the short id.
    pub hostname: String,
    /// Domain name.
    pub domainname: String,
    /// `user[:group]`, by name or number.
    pub user: String,
    /// The client will attach to standard input.
    pub attach_stdin: bool,
    /// The client will attach to standard output.
    pub attach_stdout: bool,
    /// The client will attach to standard error.
    pub attach_stderr: bool,
    /// Keys such as `80/tcp`.
    #[serde(skip_serializing_if = "omit::map")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// Give the process a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub open_stdin: bool,
    /// Close standard input after the first client that attached to it has left.
    pub stdin_once: bool,
    /// `NAME=value`; a name alone removes the image's variable.
    pub env: Option<Vec<String>>,
    /// Arguments, or the command if there is no entry point; null for the image's.
    #[serde(deserialize_with = "string_or_list")]
    pub cmd: Option<Vec<String>>,
    /// How health is probed; null for the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// The command is one escaped line (Windows).
    #[serde(skip_serializing_if = "omit::zero")]
    pub args_escaped: bool,
    /// The image as the user named it.
    pub image: String,
    /// Paths that are anonymous volumes.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Directory in which the process starts.
    pub working_dir: String,
    /// Program; null for the image's, `[""]` for none.
    #[serde(deserialize_with = "string_or_list")]
    pub entrypoint: Option<Vec<String>>,
    /// No network at all.
    #[serde(skip_serializing_if = "omit::zero")]
    pub network_disabled: bool,
    /// MAC address (ignored since API 1.52).
    #[serde(skip_serializing_if = "omit::zero")]
    pub mac_address: String,
    /// Instructions for images built on this one; left out when empty since API 1.52.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks the process to end, such as `SIGTERM`.
    #[serde(skip_serializing_if = "omit::zero")]
    pub stop_signal: String,
    /// Seconds between that signal and `SIGKILL`; negative for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Shell of the instructions `RUN`, `CMD` and `ENTRYPOINT` in their text form.
    #[serde(deserialize_with = "string_or_list", skip_serializing_if = "omit::list")]
    pub shell: Option<Vec<String>>,
}

/// How health is probed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthConfig {
    /// `[]` inherit, `["NONE"]` off, `["CMD", args...]`, `["CMD-SHELL", line]`.
    #[serde(skip_serializing_if = "omit::list")]
    pub test: Option<Vec<String>>,
    /// Nanoseconds between probes; 0 inherits.
    #[serde(skip_serializing_if = "omit::zero")]
    pub interval: i64,
    /// Nanoseconds that a probe may take; 0 inherits.
    #[serde(skip_serializing_if = "omit::zero")]
    pub timeout: i64,
    /// Nanoseconds after the start during which failures do not count; 0 inherits (API 1.29).
    #[serde(skip_serializing_if = "omit::zero")]
    pub start_period: i64,
    /// Nanoseconds between probes in that period; 0 inherits (API 1.44).
    #[serde(skip_serializing_if = "omit::zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy; 0 inherits.
    #[serde(skip_serializing_if = "omit::zero")]
    pub retries: i64,
}
