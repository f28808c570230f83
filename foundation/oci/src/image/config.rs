//! The image configuration: the image-spec's and what Docker adds to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::null_is_empty;
use crate::digest::Digest;
use crate::platform::Platform;

/// The configuration of an image (image-spec, "Image Configuration").
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// When it was made, RFC 3339, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Go's name of the processor architecture.
    #[serde(deserialize_with = "null_is_empty")]
    pub architecture: String,
    /// A variant of the architecture.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Go's name of the operating system.
    #[serde(deserialize_with = "null_is_empty")]
    pub os: String,
    /// The version of the operating system.
    #[serde(
        rename = "os.version",
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Features that the operating system must have.
    #[serde(
        rename = "os.features",
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// How its containers run.
    #[serde(deserialize_with = "null_is_empty")]
    pub config: RunConfig,
    /// The container it was committed from (Docker).
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// How the container it was committed from ran (Docker, legacy).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<RunConfig>,
    /// The version of the program that made it (Docker).
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// A note (Docker).
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The steps that made it, the oldest first.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Its layers.
    #[serde(deserialize_with = "null_is_empty")]
    pub rootfs: RootFs,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ImageConfig {
    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: some(&self.os_version),
            os_features: self.os_features.clone(),
            variant: some(&self.variant),
        }
    }
}

/// The layers of an image, the lowest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", deserialize_with = "null_is_empty")]
    pub kind: String,
    /// The digests of the uncompressed layer tars.
    #[serde(deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
            extra: Map::new(),
        }
    }
}

/// One step in the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// By which command.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// A note.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// `{}`: the value in JSON objects that are used as sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// How containers of an image run: the object `config` with Docker's additions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// User and group, by name or number: `user[:group]`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that the program listens on: `80/tcp`.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value` lines.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program that always runs; `None` when there is none.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The default arguments, or the default program.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Whether `cmd` is one escaped command line (Windows; Docker).
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub args_escaped: bool,
    /// Directories that want a volume.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the program starts.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end: `SIGTERM`, `15`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds until the stop signal is followed by SIGKILL (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to see whether the program is well (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for builds on top of this image (Docker).
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell for commands in shell form (Docker).
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Fields that are not known here, such as those that describe one container.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How to see whether a container is well; times are nanoseconds, 0 means «as the image or the default says».
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `[]` inherits, `["NONE"]` disables, `["CMD", …]` runs, `["CMD-SHELL", line]` runs with the shell.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between two probes.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// How long a probe may take.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// How long failures do not count after the start.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between two probes during the start period.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// How many failures in a row make a container unhealthy.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Reads a list of words, or the single string that very old images hold instead.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        Many(Vec<String>),
        One(String),
    }
    Ok(match Option::<Words>::deserialize(deserializer)? {
        None => None,
        Some(Words::Many(words)) => Some(words),
        Some(Words::One(word)) => Some(vec![word]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_of_docker_keeps_every_field_through_reading_and_writing() {
        let json = serde_json::json!({
            "architecture": "amd64", "os": "linux", "created": "2024-05-01T10:00:00.123456789Z",
            "config": {
                "Env": ["PATH=/bin"], "Cmd": ["sh"], "Entrypoint": [], "WorkingDir": "/w", "User": "1:2",
                "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "Labels": {"a": "b"},
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000_i64, "Retries": 3},
                "OnBuild": ["RUN x"], "Shell": ["/bin/sh", "-c"], "ArgsEscaped": true, "StopTimeout": 3,
                "StopSignal": "SIGINT", "Hostname": "abc", "AttachStdin": false,
            },
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) x"]},
            "docker_version": "20.10", "moby.buildkit.buildinfo.v1": "eA==", "variant": "v2",
            "history": [{"created_by": "x", "empty_layer": true, "strange": 1}],
            "rootfs": {"type": "layers", "diff_ids": [Digest::sha256("a").to_string()]},
        });
        let config: ImageConfig = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(config.config.entrypoint, Some(vec![]));
        assert_eq!(config.platform().to_string(), "linux/amd64/v2");
        assert_eq!(serde_json::to_value(&config).unwrap(), json);
    }

    #[test]
    fn null_is_read_as_empty_and_a_string_as_one_word() {
        let json = r#"{"config":{"Env":null,"Labels":null,"Volumes":null,"Cmd":"sh","Entrypoint":null,
            "OnBuild":null,"Healthcheck":null},"history":null,"rootfs":{"type":"layers","diff_ids":null}}"#;
        let config: ImageConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config.config.cmd, Some(vec!["sh".to_owned()]));
        assert!(config.config.env.is_empty() && config.rootfs.diff_ids.is_empty());
        serde_json::from_str::<ImageConfig>(r#"{"config":null,"rootfs":null}"#).unwrap();
    }
}
