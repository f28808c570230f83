//! The daemon itself: version, info, disk usage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{container, image, omit, volume};

/// Reply of `GET /version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Version {
    /// Name of the product.
    pub platform: PlatformName,
    /// The parts with their versions (API 1.35).
    pub components: Vec<Component>,
    /// Version of the engine.
    pub version: String,
    /// Newest API version served.
    pub api_version: String,
    /// Oldest API version served.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// Commit that it was built from.
    pub git_commit: String,
    /// Compiler; the field's name is Docker's.
    pub go_version: String,
    /// `linux`.
    pub os: String,
    /// CPU architecture in Go's words.
    pub arch: String,
    /// Release of the kernel.
    pub kernel_version: String,
    /// Experimental features are on.
    #[serde(skip_serializing_if = "omit::zero")]
    pub experimental: bool,
    /// RFC 3339 with nanoseconds.
    pub build_time: String,
}

/// Name of the product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PlatformName {
    /// The name.
    pub name: String,
}

/// One part of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Component {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Further facts.
    #[serde(skip_serializing_if = "omit::map")]
    pub details: Option<BTreeMap<String, String>>,
}

/// Reply of `GET /info`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Info {
    /// Id of the daemon (a UUID).
    #[serde(rename = "ID")]
    pub id: String,
    /// All containers.
    pub containers: i64,
    /// Those that run.
    pub containers_running: i64,
    /// Those that are paused.
    pub containers_paused: i64,
    /// Those that are stopped.
    pub containers_stopped: i64,
    /// Images.
    pub images: i64,
    /// Storage driver.
    pub driver: String,
    /// Facts about it, as pairs.
    pub driver_status: Vec<[String; 2]>,
    /// Plugins by kind.
    pub plugins: Plugins,
    /// Memory can be limited.
    pub memory_limit: bool,
    /// Swap can be limited.
    pub swap_limit: bool,
    /// CFS period can be set.
    pub cpu_cfs_period: bool,
    /// CFS quota can be set.
    pub cpu_cfs_quota: bool,
    /// CPU weights can be set.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// CPU sets can be set.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// Tasks can be limited.
    pub pids_limit: bool,
    /// The host forwards IPv4.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Only in replies below API 1.50: always false.
    #[serde(rename = "BridgeNfIptables", skip_serializing_if = "Option::is_none")]
    pub bridge_nf_iptables: Option<bool>,
    /// Only in replies below API 1.50: always false.
    #[serde(rename = "BridgeNfIp6tables", skip_serializing_if = "Option::is_none")]
    pub bridge_nf_ip6tables: Option<bool>,
    /// Debug mode.
    pub debug: bool,
    /// Open files of the daemon.
    pub n_fd: i64,
    /// The OOM killer can be switched off.
    pub oom_kill_disable: bool,
    /// Tasks of the daemon; the field's name is Docker's.
    pub n_goroutines: i64,
    /// RFC 3339 with nanoseconds.
    pub system_time: String,
    /// Default log driver.
    pub logging_driver: String,
    /// `cgroupfs`, `systemd` or `none`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    #[serde(skip_serializing_if = "omit::zero")]
    pub cgroup_version: String,
    /// Clients that listen to events.
    pub n_events_listener: i64,
    /// Release of the kernel.
    pub kernel_version: String,
    /// Name of the distribution.
    pub operating_system: String,
    /// Its version.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// Architecture in the kernel's words (`x86_64`).
    pub architecture: String,
    /// Address of the default registry's index.
    pub index_server_address: String,
    /// Registries.
    pub registry_config: RegistryConfig,
    /// CPUs.
    #[serde(rename = "NCPU")]
    pub ncpu: i64,
    /// Bytes of memory.
    pub mem_total: i64,
    /// Swarm's generic resources; null.
    pub generic_resources: Option<Vec<Value>>,
    /// Data root.
    pub docker_root_dir: String,
    /// Proxy for http.
    pub http_proxy: String,
    /// Proxy for https.
    pub https_proxy: String,
    /// Hosts reached without a proxy.
    pub no_proxy: String,
    /// Host name.
    pub name: String,
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// Experimental features are on.
    pub experimental_build: bool,
    /// Version of the engine.
    pub server_version: String,
    /// OCI runtimes by name.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The one used unless said otherwise.
    pub default_runtime: String,
    /// Swarm.
    pub swarm: Swarm,
    /// Containers outlive the daemon.
    pub live_restore_enabled: bool,
    /// Isolation (Windows).
    pub isolation: String,
    /// Name of the init binary.
    pub init_binary: String,
    /// The field's name is Docker's.
    pub containerd_commit: Commit,
    /// The field's name is Docker's.
    pub runc_commit: Commit,
    /// Of the init binary.
    pub init_commit: Commit,
    /// `name=seccomp,profile=builtin` and the like.
    pub security_options: Vec<String>,
    /// Licence of the product.
    #[serde(skip_serializing_if = "omit::zero")]
    pub product_license: String,
    /// Pools from which networks get their subnets.
    #[serde(skip_serializing_if = "omit::list")]
    pub default_address_pools: Option<Vec<AddressPool>>,
    /// The firewall in use (API 1.49).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall_backend: Option<FirewallInfo>,
    /// Directories with CDI specifications (API 1.44).
    #[serde(rename = "CDISpecDirs", skip_serializing_if = "Option::is_none")]
    pub cdi_spec_dirs: Option<Vec<String>>,
    /// What an administrator should know; null for nothing.
    pub warnings: Option<Vec<String>>,
}

/// Plugins by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Plugins {
    /// Volume drivers.
    pub volume: Vec<String>,
    /// Network drivers.
    pub network: Vec<String>,
    /// Authorization plugins; null for none.
    pub authorization: Option<Vec<String>>,
    /// Log drivers.
    pub log: Vec<String>,
}

/// Registries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RegistryConfig {
    /// Only in replies below API 1.49: null.
    #[serde(rename = "AllowNondistributableArtifactsCIDRs")]
    pub allow_nondistributable_artifacts_cidrs: Option<Vec<String>>,
    /// Only in replies below API 1.49: null.
    pub allow_nondistributable_artifacts_hostnames: Option<Vec<String>>,
    /// Networks whose registries may speak plain http.
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: Vec<String>,
    /// Registries by name.
    pub index_configs: BTreeMap<String, IndexInfo>,
    /// Mirrors of the default registry.
    pub mirrors: Option<Vec<String>>,
}

/// One registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IndexInfo {
    /// Name.
    pub name: String,
    /// Mirrors.
    pub mirrors: Vec<String>,
    /// Speaks https only.
    pub secure: bool,
    /// It is the default one.
    pub official: bool,
}

/// An OCI runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// Path of the program.
    #[serde(skip_serializing_if = "omit::zero")]
    pub path: String,
    /// Further arguments.
    #[serde(rename = "runtimeArgs", skip_serializing_if = "omit::list")]
    pub runtime_args: Option<Vec<String>>,
    /// Facts (API 1.44), among them its OCI features.
    #[serde(skip_serializing_if = "omit::map")]
    pub status: Option<BTreeMap<String, String>>,
}

/// Swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Swarm {
    /// Id of this node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Address of this node.
    #[serde(rename = "NodeAddr")]
    pub node_addr: String,
    /// `inactive` outside a swarm.
    #[serde(rename = "LocalNodeState")]
    pub local_node_state: String,
    /// This node is a manager.
    #[serde(rename = "ControlAvailable")]
    pub control_available: bool,
    /// Why it is not well.
    #[serde(rename = "Error")]
    pub error: String,
    /// Other managers; null outside a swarm.
    #[serde(rename = "RemoteManagers")]
    pub remote_managers: Option<Vec<Value>>,
}

/// A commit that something was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The one expected; only in replies below API 1.49.
    #[serde(rename = "Expected", skip_serializing_if = "omit::zero")]
    pub expected: String,
}

/// A pool from which networks get their subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AddressPool {
    /// CIDR of the pool.
    pub base: String,
    /// Length of the prefix of each subnet.
    pub size: i64,
}

/// The firewall in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FirewallInfo {
    /// `nftables`, `iptables`, ...
    pub driver: String,
    /// Facts about it, as pairs.
    #[serde(skip_serializing_if = "omit::list")]
    pub info: Option<Vec<[String; 2]>>,
}

/// Reply of `GET /system/df` in the shape of all versions together; `http-api` picks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUsage {
    /// Bytes of all layers (below 1.53).
    pub layers_size: i64,
    /// Images (below 1.53); null when not asked for.
    pub images: Option<Vec<image::Summary>>,
    /// Containers (below 1.53); null when not asked for.
    pub containers: Option<Vec<container::Summary>>,
    /// Volumes (below 1.53); null when not asked for.
    pub volumes: Option<Vec<volume::Volume>>,
    /// Build cache (below 1.53); null when not asked for.
    pub build_cache: Option<Vec<BuildCache>>,
    /// Images (since 1.52).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_usage: Option<Usage<image::Summary>>,
    /// Containers (since 1.52).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_usage: Option<Usage<container::Summary>>,
    /// Volumes (since 1.52).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_usage: Option<Usage<volume::Volume>>,
    /// Build cache (since 1.52).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cache_usage: Option<Usage<BuildCache>>,
}

/// Disk usage of one kind of object (API 1.52).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Usage<T> {
    /// Objects in use.
    #[serde(skip_serializing_if = "omit::zero")]
    pub active_count: i64,
    /// All objects.
    #[serde(skip_serializing_if = "omit::zero")]
    pub total_count: i64,
    /// Bytes that prune would free.
    #[serde(skip_serializing_if = "omit::zero")]
    pub reclaimable: i64,
    /// Bytes of all objects.
    #[serde(skip_serializing_if = "omit::zero")]
    pub total_size: i64,
    /// The objects; only when asked for verbosely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<T>>,
}

impl<T> Default for Usage<T> {
    fn default() -> Self {
        Self {
            active_count: 0,
            total_count: 0,
            reclaimable: 0,
            total_size: 0,
            items: None,
        }
    }
}

/// One record of the build cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BuildCache {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Records it builds on.
    #[serde(skip_serializing_if = "omit::list")]
    pub parents: Option<Vec<String>>,
    /// Kind.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What made it.
    pub description: String,
    /// A build uses it.
    pub in_use: bool,
    /// Several builds share it.
    pub shared: bool,
    /// Bytes.
    pub size: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; null for never.
    pub last_used_at: Option<String>,
    /// How often it was used.
    pub usage_count: i64,
}
