//! What the daemon's configuration says about containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_types::container::Ulimit;
use api_types::system::Runtime;

/// The part of the configuration that containers depend on. Fixed while the daemon runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Durable files: `containers/<id>/` with the log, `hosts` and so on.
    pub data_root: PathBuf,
    /// Volatile files: `containers/<id>/` with the monitor's socket, records of this boot.
    pub exec_root: PathBuf,
    /// The cgroup below which every container gets its own, as an absolute path in the hierarchies.
    pub cgroup_parent: String,
    /// systemd makes the cgroups (`native.cgroupdriver=systemd`); their parent is then a slice, `system.slice` if empty.
    pub systemd_cgroups: bool,
    /// `default-ulimits`.
    pub default_ulimits: Vec<Ulimit>,
    /// `default-shm-size`, in bytes.
    pub default_shm_size: i64,
    /// `default-cgroupns-mode`: `private`, `host`, or empty for Docker's rule (private on v2, host on v1).
    pub default_cgroupns_mode: String,
    /// `default-ipc-mode`: `private` or `shareable`.
    pub default_ipc_mode: String,
    /// `init`: run an init in every container that does not say otherwise.
    pub init: bool,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// `seccomp-profile`: `None` for the built-in one, `Some("unconfined")`, or the text of a profile.
    pub seccomp_profile: Option<String>,
    /// `log-driver`.
    pub log_driver: String,
    /// `log-opts`.
    pub log_options: BTreeMap<String, String>,
    /// `default-stop-timeout`, in seconds.
    pub stop_timeout: i64,
    /// The program that is PID 1 of a container with `--init`: `dhow-runtime` itself.
    pub init_path: PathBuf,
    /// `runtimes`: other OCI runtimes by name.
    pub runtimes: BTreeMap<String, Runtime>,
    /// `default-runtime`: one of them, or the built-in one.
    pub default_runtime: String,
    /// `proxies` and `http-proxy`, ... : variables that every container gets unless it sets them itself.
    pub proxy_environment: Vec<String>,
}

impl Settings {
    /// Docker's defaults for the given roots; `init_path` is where `dhow-runtime` is.
    pub fn new(data_root: PathBuf, exec_root: PathBuf, init_path: PathBuf, cgroup_parent: &str) -> Self {
        Self {
            data_root,
            exec_root,
            cgroup_parent: cgroup_parent.to_owned(),
            systemd_cgroups: false,
            default_ulimits: Vec::new(),
            default_shm_size: 64 << 20,
            default_cgroupns_mode: String::new(),
            default_ipc_mode: "private".into(),
            init: false,
            no_new_privileges: false,
            seccomp_profile: None,
            log_driver: "json-file".into(),
            log_options: BTreeMap::new(),
            stop_timeout: 10,
            init_path,
            runtimes: BTreeMap::new(),
            default_runtime: BUILT_IN_RUNTIME.into(),
            proxy_environment: Vec::new(),
        }
    }
}

/// The name of the runtime inside the monitor.
pub const BUILT_IN_RUNTIME: &str = "dhow-runtime";
