//! The configuration with types.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use api_types::ApiVersion;
use api_types::container::Ulimit;
use api_types::decode;
use api_types::size::parse_size;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ConfigError;

/// One of `default-address-pools`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Pool {
    /// CIDR.
    pub(crate) base: String,
    /// Prefix length of the subnets cut from it.
    pub(crate) size: u8,
}

/// One of `runtimes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RuntimeProgram {
    /// Path, or a name that is looked for in PATH.
    pub(crate) path: String,
    /// Arguments before the verb.
    pub(crate) runtime_args: Vec<String>,
    /// A shim of containerd: there is none here.
    pub(crate) runtime_type: String,
}

/// `image-gc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ImageGc {
    /// Go's way to write a duration; `1h` without it.
    pub(crate) interval: String,
    /// Go's way to write a duration.
    pub(crate) unused_for: String,
    /// A size.
    pub(crate) min_free: String,
    pub(crate) keep_last: usize,
}

/// One of `signature-policy`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum SignatureDemand {
    /// `accept` or `reject`.
    Word(String),
    /// A signature by one of these.
    Signed {
        /// Files with public keys.
        keys: Vec<PathBuf>,
    },
}

/// The values of `exec-opts`: who makes cgroups.
const CGROUPFS: &str = "native.cgroupdriver=cgroupfs";
const SYSTEMD: &str = "native.cgroupdriver=systemd";

/// Every key that is obeyed; see `keys.rs` for what they mean.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Settings {
    pub(crate) bip: String,
    pub(crate) blocked_registries: Vec<String>,
    pub(crate) bridge: String,
    pub(crate) cgroup_parent: String,
    pub(crate) data_root: PathBuf,
    pub(crate) debug: bool,
    pub(crate) default_address_pools: Vec<Pool>,
    pub(crate) default_cgroupns_mode: String,
    pub(crate) default_gateway: Option<Ipv4Addr>,
    pub(crate) default_gateway_v6: Option<Ipv6Addr>,
    pub(crate) default_ipc_mode: String,
    pub(crate) default_runtime: String,
    pub(crate) default_shm_size: Option<Value>,
    pub(crate) default_stop_timeout: Option<i64>,
    pub(crate) default_ulimits: BTreeMap<String, Ulimit>,
    pub(crate) dns: Vec<String>,
    pub(crate) dns_opts: Vec<String>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) exec_opts: Vec<String>,
    pub(crate) exec_root: PathBuf,
    pub(crate) fixed_cidr: String,
    pub(crate) fixed_cidr_v6: String,
    pub(crate) group: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) http_proxy: String,
    pub(crate) https_proxy: String,
    pub(crate) icc: Option<bool>,
    pub(crate) image_gc: Option<ImageGc>,
    pub(crate) init: bool,
    pub(crate) insecure_registries: Vec<String>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) ip_forward: Option<bool>,
    pub(crate) ip_masq: Option<bool>,
    pub(crate) iptables: Option<bool>,
    pub(crate) labels: Vec<String>,
    pub(crate) live_restore: Option<bool>,
    pub(crate) log_driver: String,
    pub(crate) log_format: String,
    pub(crate) log_level: String,
    pub(crate) log_opts: BTreeMap<String, String>,
    pub(crate) max_concurrent_downloads: Option<i64>,
    pub(crate) max_concurrent_uploads: Option<i64>,
    pub(crate) max_download_attempts: Option<i64>,
    pub(crate) min_api_version: String,
    pub(crate) mtu: i64,
    pub(crate) no_new_privileges: bool,
    pub(crate) no_proxy: String,
    pub(crate) pidfile: Option<PathBuf>,
    pub(crate) proxies: BTreeMap<String, String>,
    pub(crate) registry_mirror_prefixes: BTreeMap<String, Vec<String>>,
    pub(crate) registry_mirrors: Vec<String>,
    pub(crate) resolv_conf: Option<PathBuf>,
    pub(crate) runtimes: BTreeMap<String, RuntimeProgram>,
    pub(crate) seccomp_profile: String,
    pub(crate) shutdown_timeout: Option<i64>,
    pub(crate) signature_policy: BTreeMap<String, SignatureDemand>,
    pub(crate) storage_driver: String,
    pub(crate) storage_opts: Vec<String>,
}

impl Settings {
    /// Gives the map types, fills in defaults and checks values.
    pub(crate) fn from_map(map: Map<String, Value>) -> Result<Self, ConfigError> {
        // One by one, so that the message can name the key.
        for (key, value) in &map {
            let alone = Map::from_iter([(key.clone(), value.clone())]);
            if let Err(error) = decode::from_value::<Self>(Value::Object(alone)) {
                return Err(ConfigError::Invalid(format!(
                    "invalid value for \"{key}\": {error}"
                )));
            }
        }
        let mut settings: Self = decode::from_value(Value::Object(map))
            .map_err(|error| ConfigError::Invalid(format!("invalid configuration: {error}")))?;
        settings.fill_in();
        settings.check()?;
        Ok(settings)
    }

    fn fill_in(&mut self) {
        let default = |text: &mut String, value: &str| {
            if text.is_empty() {
                value.clone_into(text);
            }
        };
        default(&mut self.log_driver, "json-file");
        default(&mut self.log_format, "text");
        default(&mut self.log_level, "info");
        default(&mut self.default_ipc_mode, "private");
        default(&mut self.default_runtime, containers::BUILT_IN_RUNTIME);
        // Docker has it without being told; here it is there when the host has it.
        if !self.runtimes.contains_key("runc") && containers::find_program("runc").is_some() {
            let path = "runc".to_owned();
            self.runtimes.insert(
                path.clone(),
                RuntimeProgram {
                    path,
                    ..RuntimeProgram::default()
                },
            );
        }
        if self.data_root.as_os_str().is_empty() {
            self.data_root = "/var/lib/dhow".into();
        }
        if self.exec_root.as_os_str().is_empty() {
            self.exec_root = "/run/dhow".into();
        }
        if self.hosts.is_empty() {
            self.hosts.push("unix:///run/dhow.sock".to_owned());
        }
        for (name, limit) in &mut self.default_ulimits {
            if limit.name.is_empty() {
                limit.name.clone_from(name);
            }
        }
    }

    /// Whether systemd makes the containers' cgroups.
    pub(crate) fn systemd_cgroups(&self) -> bool {
        self.exec_opts.last().is_some_and(|option| option == SYSTEMD)
    }

    fn check_cgroups(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        if let Some(bad) = self
            .exec_opts
            .iter()
            .find(|option| ![CGROUPFS, SYSTEMD].contains(&option.as_str()))
        {
            return invalid(format!("invalid exec-opt {bad:?} (one of {CGROUPFS}, {SYSTEMD})"));
        }
        if self.systemd_cgroups()
            && !self.cgroup_parent.is_empty()
            && !containers::is_slice(&self.cgroup_parent)
        {
            let parent = &self.cgroup_parent;
            return invalid(format!(
                "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\", not {parent:?}"
            ));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let one_of = |what: &str, value: &str, allowed: &[&str]| {
            let text = || format!("invalid {what}: {value:?} (one of {})", allowed.join(", "));
            if value.is_empty() || allowed.contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Invalid(text()))
            }
        };
        one_of(
            "logging level",
            &self.log_level,
            &["trace", "debug", "info", "warn", "error", "fatal"],
        )?;
        one_of("log-format", &self.log_format, &["text", "json"])?;
        one_of(
            "default-ipc-mode",
            &self.default_ipc_mode,
            &["private", "shareable"],
        )?;
        one_of(
            "default-cgroupns-mode",
            &self.default_cgroupns_mode,
            &["private", "host"],
        )?;
        self.check_cgroups()?;
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        if let Some(bad) = self
            .labels
            .iter()
            .find(|l| !l.contains('=') || l.starts_with('='))
        {
            return invalid(format!("bad attribute format: {bad}"));
        }
        let mut labels = BTreeMap::new();
        for (key, value) in self.labels.iter().filter_map(|l| l.split_once('=')) {
            if let Some(old) = labels.insert(key, value).filter(|old| *old != value) {
                return invalid(format!("conflict labels for {key}={value} and {key}={old}"));
            }
        }
        if let Some(bad) = self.dns.iter().find(|d| d.parse::<IpAddr>().is_err()) {
            return invalid(format!("{bad} is not an ip address"));
        }
        if !(0..=65_535).contains(&self.mtu) {
            return invalid(format!("invalid default MTU: {}", self.mtu));
        }
        if !self.data_root.is_absolute() || !self.exec_root.is_absolute() {
            return invalid("data-root and exec-root must be absolute paths".to_owned());
        }
        self.check_runtimes()?;
        let default = self.default_runtime.as_str();
        if default != containers::BUILT_IN_RUNTIME && !self.runtimes.contains_key(default) {
            return invalid(format!(
                "specified default runtime '{}' does not exist",
                self.default_runtime
            ));
        }
        self.shm_size()?;
        crate::registries::check(self)?;
        self.api_floor().map(drop)
    }

    fn check_runtimes(&self) -> Result<(), ConfigError> {
        for (name, runtime) in &self.runtimes {
            let invalid = |why: &str| Err(ConfigError::Invalid(format!("runtime '{name}': {why}")));
            if name == containers::BUILT_IN_RUNTIME {
                return Err(ConfigError::Invalid(format!("runtime name '{name}' is reserved")));
            }
            if !runtime.runtime_type.is_empty() {
                return invalid(
                    "runtimeType names a shim of containerd, which dhow does not use: configure a path",
                );
            }
            if runtime.path.is_empty() {
                return invalid("a path must be configured");
            }
            if runtime.path.contains('/') && !runtime.path.starts_with('/') {
                return invalid("path must be absolute, or a name that is looked for in PATH");
            }
        }
        Ok(())
    }

    /// `default-shm-size` in bytes: a number, or a text such as `64m`.
    pub(crate) fn shm_size(&self) -> Result<i64, ConfigError> {
        let invalid = |v: &Value| ConfigError::Invalid(format!("invalid default-shm-size: {v}"));
        match &self.default_shm_size {
            None => Ok(64 << 20),
            Some(Value::String(text)) => {
                parse_size(text).ok_or_else(|| invalid(&Value::String(text.clone())))
            }
            Some(value) => value.as_i64().filter(|n| *n > 0).ok_or_else(|| invalid(value)),
        }
    }

    /// `min-api-version`, or the oldest that is served.
    pub(crate) fn api_floor(&self) -> Result<ApiVersion, ConfigError> {
        if self.min_api_version.is_empty() {
            return Ok(ApiVersion::MIN);
        }
        let version = self.min_api_version.parse().ok();
        version
            .filter(|v| (ApiVersion::MIN..=ApiVersion::MAX).contains(v))
            .ok_or_else(|| {
                let (min, max) = (ApiVersion::MIN, ApiVersion::MAX);
                let given = &self.min_api_version;
                ConfigError::Invalid(format!(
                    "min-api-version {given:?} is not between {min} and {max}"
                ))
            })
    }
}
