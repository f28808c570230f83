//! `GET /containers/{id}/stats`, in the shape that Linux daemons send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit;

/// One sample with the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Name with a leading slash.
    #[serde(skip_serializing_if = "omit::zero")]
    pub name: String,
    /// 64 hex digits.
    #[serde(skip_serializing_if = "omit::zero")]
    pub id: String,
    /// `linux`; only in replies since API 1.52.
    #[serde(skip_serializing_if = "omit::zero")]
    pub os_type: String,
    /// When it was taken: RFC 3339, or `0001-01-01T00:00:00Z` for a container that does not run.
    pub read: String,
    /// When the one before was taken.
    pub preread: String,
    /// Tasks.
    pub pids_stats: PidsStats,
    /// Block I/O.
    pub blkio_stats: BlkioStats,
    /// Processes (Windows; 0).
    pub num_procs: u32,
    /// Storage (Windows; empty).
    pub storage_stats: StorageStats,
    /// CPU.
    pub cpu_stats: CpuStats,
    /// CPU of the sample before.
    pub precpu_stats: CpuStats,
    /// Memory.
    pub memory_stats: MemoryStats,
    /// By interface; left out without a network.
    #[serde(skip_serializing_if = "omit::map")]
    pub networks: Option<BTreeMap<String, NetworkStats>>,
}

/// Tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// Now.
    #[serde(skip_serializing_if = "omit::zero")]
    pub current: u64,
    /// At most; `u64::MAX` for no limit.
    #[serde(skip_serializing_if = "omit::zero")]
    pub limit: u64,
}

/// Block I/O counters by device and operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes.
    pub io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
    /// Operations.
    pub io_serviced_recursive: Option<Vec<BlkioEntry>>,
    /// Waiting operations (CFQ).
    pub io_queue_recursive: Option<Vec<BlkioEntry>>,
    /// Service time in nanoseconds (CFQ).
    pub io_service_time_recursive: Option<Vec<BlkioEntry>>,
    /// Waiting time in nanoseconds (CFQ).
    pub io_wait_time_recursive: Option<Vec<BlkioEntry>>,
    /// Merged operations (CFQ).
    pub io_merged_recursive: Option<Vec<BlkioEntry>>,
    /// Disk time in milliseconds (CFQ).
    pub io_time_recursive: Option<Vec<BlkioEntry>>,
    /// Sectors (CFQ).
    pub sectors_recursive: Option<Vec<BlkioEntry>>,
}

/// One block I/O counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Major number of the device.
    pub major: u64,
    /// Minor number of the device.
    pub minor: u64,
    /// `read`, `write`, `sync`, `async`, `discard`, `total`.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Storage (Windows).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageStats {}

/// CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Of the container.
    pub cpu_usage: CpuUsage,
    /// Of the whole host, in nanoseconds.
    #[serde(skip_serializing_if = "omit::zero")]
    pub system_cpu_usage: u64,
    /// CPUs of the host.
    #[serde(skip_serializing_if = "omit::zero")]
    pub online_cpus: u32,
    /// How often the limit was hit.
    pub throttling_data: Throttling,
}

/// CPU time of a container in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All.
    pub total_usage: u64,
    /// By CPU (cgroup v1).
    #[serde(skip_serializing_if = "omit::list")]
    pub percpu_usage: Option<Vec<u64>>,
    /// In the kernel.
    pub usage_in_kernelmode: u64,
    /// In user space.
    pub usage_in_usermode: u64,
}

/// How often the CPU limit was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttling {
    /// Periods with a limit.
    pub periods: u64,
    /// Periods in which it was hit.
    pub throttled_periods: u64,
    /// Nanoseconds spent waiting.
    pub throttled_time: u64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Bytes in use.
    #[serde(skip_serializing_if = "omit::zero")]
    pub usage: u64,
    /// Most bytes ever in use (cgroup v1).
    #[serde(skip_serializing_if = "omit::zero")]
    pub max_usage: u64,
    /// The kernel's `memory.stat`.
    #[serde(skip_serializing_if = "omit::map")]
    pub stats: Option<BTreeMap<String, u64>>,
    /// How often the limit was hit (cgroup v1).
    #[serde(skip_serializing_if = "omit::zero")]
    pub failcnt: u64,
    /// Limit in bytes; the host's memory if there is none.
    #[serde(skip_serializing_if = "omit::zero")]
    pub limit: u64,
}

/// Counters of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// Bytes in.
    pub rx_bytes: u64,
    /// Packets in.
    pub rx_packets: u64,
    /// Errors in.
    pub rx_errors: u64,
    /// Dropped in.
    pub rx_dropped: u64,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Errors out.
    pub tx_errors: u64,
    /// Dropped out.
    pub tx_dropped: u64,
}
