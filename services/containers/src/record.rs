//! What is known of one container: the part that is fixed at create, and the part that changes.

use api_types::container::{Config, HostConfig, MountPoint};
use api_types::network::EndpointSettings;
use log_drivers::Timestamp;
use networks::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::health::Health;
use crate::links::Link;

/// A container as it is written down. Every change replaces the whole row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Without slash.
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// `sha256:…` of the image's configuration.
    pub(crate) image_id: String,
    /// With the image's settings merged in.
    pub(crate) config: Config,
    /// With defaults filled in.
    pub(crate) host_config: HostConfig,
    /// The networks to join, by the name that was asked for.
    pub(crate) networks: BTreeMap<String, EndpointSettings>,
    pub(crate) mounts: Vec<MountSpec>,
    pub(crate) layer: Option<images::ContainerLayer>,
    /// The program and its arguments: entrypoint and command.
    pub(crate) args: Vec<String>,
    pub(crate) platform: String,
    pub(crate) storage_driver: String,
    /// How the last run ended, or how it stands.
    pub(crate) run: Run,
    pub(crate) restart_count: u32,
    pub(crate) manually_stopped: bool,
    /// A removal failed half way.
    #[serde(default)]
    pub(crate) dead: bool,
    /// A removal that takes the anonymous volumes along has been asked for.
    #[serde(default)]
    pub(crate) remove_volumes: bool,
    /// The network of `--network` was left (`network disconnect`).
    #[serde(default)]
    pub(crate) left_first: bool,
    /// Containers of the default bridge that this one knows by an alias.
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

impl durable::Row for Record {
    const TABLE: &'static str = "containers";
    const VERSION: u32 = 1;
}

/// The present or the last run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    /// Says that the process was let go and that nobody has seen its end.
    pub(crate) running: bool,
    pub(crate) paused: bool,
    pub(crate) pid: i32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) exit_code: i32,
    pub(crate) oom_killed: bool,
    /// Why the last start failed, or why the engine ended the container.
    pub(crate) error: String,
    /// The endpoints of the present run.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Only of a container with a health check.
    pub(crate) health: Option<Health>,
}

/// One mount that the user or the image asked for, resolved as far as it can be at create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountSpec {
    /// `bind`, `volume`, `tmpfs` or `image`.
    pub(crate) kind: String,
    /// The volume's name.
    pub(crate) name: String,
    /// The path on the host for a bind; for an image its name.
    pub(crate) source: String,
    pub(crate) destination: String,
    /// The volume driver.
    pub(crate) driver: String,
    /// As the user wrote it.
    pub(crate) mode: String,
    pub(crate) read_only: bool,
    pub(crate) propagation: String,
    /// Nobody asked for this propagation: where the host cannot do it, it is left out.
    pub(crate) propagation_is_ours: bool,
    pub(crate) no_copy: bool,
    pub(crate) subpath: String,
    pub(crate) non_recursive: bool,
    pub(crate) read_only_non_recursive: bool,
    pub(crate) read_only_force_recursive: bool,
    /// Make the host path if it does not exist: `-v`, and `--mount` with `bind-create-src`.
    pub(crate) make_source: bool,
    /// Mount options of a tmpfs.
    pub(crate) options: Vec<String>,
    /// Driver options and labels of a volume that is yet to be made.
    #[serde(skip)]
    pub(crate) volume_options: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) volume_labels: BTreeMap<String, String>,
    /// The volume was made for this container and goes with it when `rm -v` says so.
    pub(crate) anonymous: bool,
}

impl MountSpec {
    /// As `inspect` and `ps` show it; `volume_path` is where a volume's files are.
    pub(crate) fn shown(&self, volume_path: Option<String>) -> MountPoint {
        let is_volume = self.kind == "volume";
        MountPoint {
            kind: self.kind.clone(),
            name: self.name.clone(),
            source: volume_path.unwrap_or_else(|| self.source.clone()),
            destination: self.destination.clone(),
            driver: if is_volume {
                self.driver.clone()
            } else {
                String::new()
            },
            mode: if is_volume && self.mode.is_empty() && self.anonymous {
                String::new()
            } else {
                self.mode.clone()
            },
            rw: !self.read_only,
            propagation: self.propagation.clone(),
        }
    }
}

impl Record {
    /// The stop signal of the container: its own, or SIGTERM.
    pub(crate) fn stop_signal(&self) -> &str {
        if self.config.stop_signal.is_empty() {
            "SIGTERM"
        } else {
            &self.config.stop_signal
        }
    }

    /// The host name of the container, empty when it shares the host's.
    pub(crate) fn hostname(&self) -> &str {
        &self.config.hostname
    }

    /// The network mode without its container: `bridge`, `host`, `none`, `container` or the name of a network.
    pub(crate) fn network(&self) -> NetworkMode<'_> {
        NetworkMode::parse(&self.host_config.network_mode)
    }
}

/// `--network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkMode<'a> {
    Host,
    None,
    /// The namespace of another container, by name or id.
    Container(&'a str),
    /// A network by name or id.
    Network(&'a str),
}

impl<'a> NetworkMode<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        match text {
            "host" => Self::Host,
            "none" => Self::None,
            "" | "default" => Self::Network("bridge"),
            other => match other.strip_prefix("container:") {
                Some(container) => Self::Container(container),
                None => Self::Network(other),
            },
        }
    }
}
