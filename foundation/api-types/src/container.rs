//! Containers: what is asked for and what is shown.

mod config;
mod create;
mod host_config;
mod inspect;
mod mount;
mod operate;
mod stats;
mod summary;

pub use config::{Config, Empty, HealthConfig};
pub use create::{CreateRequest, CreateResponse, NetworkingConfig};
pub use host_config::{
    DeviceMapping, DeviceRequest, HostConfig, LogConfig, PortBinding, PortMap, RestartPolicy, ThrottleDevice,
    Ulimit, UpdateRequest, WeightDevice,
};
pub use inspect::{
    Address, GraphDriver, Health, HealthResult, Inspect, NetworkSettings, RootFsStorage, Snapshot, State,
    Storage,
};
pub use mount::{BindOptions, DriverConfig, ImageOptions, Mount, MountPoint, TmpfsOptions, VolumeOptions};
pub use operate::{Change, PathStat, PruneReport, Top, UpdateResponse, WaitError, WaitResponse};
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, StorageStats,
    Throttling,
};
pub use summary::{Port, Summary, SummaryHealth, SummaryHostConfig, SummaryNetworkSettings};
