//! `HostConfig`: what depends on the host, and the resources that `update` may change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mount::Mount;
use crate::decode::string_or_list;
use crate::omit;

/// Published ports: `80/tcp` -> host addresses and ports.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// Declares a struct with the fields given and Docker's `Resources`. (`serde(flatten)` is no way here; see `decode`.)
macro_rules! with_resources {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        pub struct $name {
            $($own)*
            /// CPU weight relative to other containers; 0 for the kernel's default.
            pub cpu_shares: i64,
            /// Memory limit in bytes; 0 for none.
            pub memory: i64,
            /// CPU limit in billionths of a CPU; 0 for none.
            pub nano_cpus: i64,
            /// Parent cgroup.
            pub cgroup_parent: String,
            /// Block I/O weight, 10 to 1000; 0 for the kernel's default.
            pub blkio_weight: u16,
            /// Block I/O weights by device.
            pub blkio_weight_device: Option<Vec<WeightDevice>>,
            /// Read limits in bytes per second.
            pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
            /// Write limits in bytes per second.
            pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
            /// Read limits in operations per second.
            #[serde(rename = "BlkioDeviceReadIOps")]
            pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
            /// Write limits in operations per second.
            #[serde(rename = "BlkioDeviceWriteIOps")]
            pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
            /// CFS period in microseconds.
            pub cpu_period: i64,
            /// CFS quota in microseconds per period.
            pub cpu_quota: i64,
            /// Real-time period in microseconds.
            pub cpu_realtime_period: i64,
            /// Real-time run time in microseconds per period.
            pub cpu_realtime_runtime: i64,
            /// CPUs such as `0-2,4`.
            pub cpuset_cpus: String,
            /// Memory nodes such as `0,1`.
            pub cpuset_mems: String,
            /// Host devices to lend.
            pub devices: Option<Vec<DeviceMapping>>,
            /// Further device rules such as `c 13:* rwm`.
            pub device_cgroup_rules: Option<Vec<String>>,
            /// Devices asked from device drivers (GPUs, CDI).
            pub device_requests: Option<Vec<DeviceRequest>>,
            /// Kernel memory in bytes; ignored since 1.42.
            #[serde(skip_serializing_if = "omit::zero")]
            pub kernel_memory: i64,
            /// Kernel TCP memory in bytes; gone since 1.52.
            #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "omit::zero")]
            pub kernel_memory_tcp: i64,
            /// Soft memory limit in bytes.
            pub memory_reservation: i64,
            /// Memory and swap together in bytes; -1 unlimited, 0 twice the memory.
            pub memory_swap: i64,
            /// 0 to 100; null or -1 for the kernel's default.
            pub memory_swappiness: Option<i64>,
            /// Never kill for lack of memory.
            pub oom_kill_disable: Option<bool>,
            /// Number of tasks; null, 0 or negative for no limit.
            pub pids_limit: Option<i64>,
            /// Resource limits of the processes.
            pub ulimits: Option<Vec<Ulimit>>,
            /// CPUs (Windows).
            pub cpu_count: i64,
            /// CPU share in percent (Windows).
            pub cpu_percent: i64,
            /// I/O limit of the system drive (Windows).
            #[serde(rename = "IOMaximumIOps")]
            pub io_maximum_iops: u64,
            /// I/O limit of the system drive in bytes per second (Windows).
            #[serde(rename = "IOMaximumBandwidth")]
            pub io_maximum_bandwidth: u64,
        }
    };
}

with_resources! {
    /// The part of a container's settings that depends on the host it runs on.
    pub struct HostConfig {
        /// Mounts in the short form `source:target[:options]`.
        pub binds: Option<Vec<String>>,
        /// File into which the client wrote the id.
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        /// Where the output goes.
        pub log_config: LogConfig,
        /// `bridge`, `host`, `none`, `container:X`, a network's name, or `default`.
        pub network_mode: String,
        /// Published ports.
        pub port_bindings: Option<PortMap>,
        /// What happens when the process ends.
        pub restart_policy: RestartPolicy,
        /// Remove the container when it has stopped.
        pub auto_remove: bool,
        /// Driver of the volumes made for this container.
        pub volume_driver: String,
        /// Containers whose volumes are mounted too: `name[:ro|rw]`.
        pub volumes_from: Option<Vec<String>>,
        /// Initial size of the terminal: height, width.
        pub console_size: [u32; 2],
        /// Annotations for the runtime (API 1.43).
        #[serde(skip_serializing_if = "omit::map")]
        pub annotations: Option<BTreeMap<String, String>>,
        /// Capabilities beyond the default ones.
        #[serde(deserialize_with = "string_or_list")]
        pub cap_add: Option<Vec<String>>,
        /// Capabilities taken from the default ones.
        #[serde(deserialize_with = "string_or_list")]
        pub cap_drop: Option<Vec<String>>,
        /// `private`, `host`, or empty for the daemon's default (API 1.41).
        pub cgroupns_mode: String,
        /// Name servers.
        pub dns: Option<Vec<String>>,
        /// Options of the resolver.
        pub dns_options: Option<Vec<String>>,
        /// Search domains.
        pub dns_search: Option<Vec<String>>,
        /// `name:address` lines of `/etc/hosts`.
        pub extra_hosts: Option<Vec<String>>,
        /// Further groups, by name or number.
        pub group_add: Option<Vec<String>>,
        /// `none`, `private`, `shareable`, `host`, `container:X`, or empty for the daemon's default.
        pub ipc_mode: String,
        /// Cgroup to join; always empty.
        pub cgroup: String,
        /// `container:alias`.
        pub links: Option<Vec<String>>,
        /// -1000 to 1000.
        pub oom_score_adj: i64,
        /// Empty, `host` or `container:X`.
        pub pid_mode: String,
        /// Every capability and device, no masks.
        pub privileged: bool,
        /// Publish every exposed port at a free host port.
        pub publish_all_ports: bool,
        /// The root filesystem is read-only.
        pub readonly_rootfs: bool,
        /// `seccomp=...`, `no-new-privileges`, `apparmor=...`, `label=...`, ...
        pub security_opt: Option<Vec<String>>,
        /// Options of the storage driver, such as `size`.
        #[serde(skip_serializing_if = "omit::map")]
        pub storage_opt: Option<BTreeMap<String, String>>,
        /// Path -> options of a tmpfs.
        #[serde(skip_serializing_if = "omit::map")]
        pub tmpfs: Option<BTreeMap<String, String>>,
        /// Empty or `host`.
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        /// Empty or `host`.
        pub userns_mode: String,
        /// Size of `/dev/shm` in bytes; 0 for the daemon's default.
        pub shm_size: i64,
        /// Kernel parameters of the namespaces.
        #[serde(skip_serializing_if = "omit::map")]
        pub sysctls: Option<BTreeMap<String, String>>,
        /// Name of an OCI runtime; empty for the daemon's default.
        #[serde(skip_serializing_if = "omit::zero")]
        pub runtime: String,
        /// Isolation (Windows).
        pub isolation: String,
        /// Mounts in the long form.
        #[serde(skip_serializing_if = "omit::list")]
        pub mounts: Option<Vec<Mount>>,
        /// Paths that are hidden; null for the default ones.
        pub masked_paths: Option<Vec<String>>,
        /// Paths that are read-only; null for the default ones.
        pub readonly_paths: Option<Vec<String>>,
        /// Run an init as process 1; null for the daemon's default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
    }
}

with_resources! {
    /// Body of `POST /containers/{id}/update`: zero and null leave a value as it is.
    pub struct UpdateRequest {
        /// New restart policy, if its name is not empty.
        pub restart_policy: RestartPolicy,
    }
}

/// Where the output of a container goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LogConfig {
    /// Name of the log driver; empty for the daemon's default.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Its options.
    pub config: Option<BTreeMap<String, String>>,
}

/// What happens when the process ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// Empty or `no`, `always`, `unless-stopped`, `on-failure`.
    pub name: String,
    /// For `on-failure`: how often at most; 0 for ever.
    pub maximum_retry_count: i64,
}

/// Where a published port listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortBinding {
    /// Address of the host; empty for all.
    pub host_ip: String,
    /// Port or range; empty or `0` for a free one.
    pub host_port: String,
}

/// Weight of one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WeightDevice {
    /// Path of the device on the host.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// Rate limit of one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ThrottleDevice {
    /// Path of the device on the host.
    pub path: String,
    /// Bytes or operations per second.
    pub rate: u64,
}

/// A host device lent to the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceMapping {
    /// Path on the host.
    pub path_on_host: String,
    /// Path in the container.
    pub path_in_container: String,
    /// Letters of `rwm`.
    pub cgroup_permissions: String,
}

/// Devices asked from a device driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceRequest {
    /// Name of the driver.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which ones.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    /// An OR list of AND lists.
    pub capabilities: Option<Vec<Vec<String>>>,
    /// Options for the driver.
    pub options: Option<BTreeMap<String, String>>,
}

/// One resource limit (setrlimit(2)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ulimit {
    /// Name such as `nofile`.
    pub name: String,
    /// The limit that may not be raised; -1 for infinity.
    pub hard: i64,
    /// The limit in force; -1 for infinity.
    pub soft: i64,
}
