//! One measurement of a container, from its cgroup and its network namespace.

use std::collections::BTreeMap;

use api_types::container::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, Throttling,
};
use log_drivers::Timestamp;

use crate::Error;
use crate::cell::View;
use crate::house::House;

/// Measures; blocks for some reads of small kernel files. A container without a process has only its name.
///
/// # Errors
/// The cgroup cannot be read.
pub(crate) fn measure(house: &House, view: &View) -> Result<Stats, Error> {
    let record = &view.record;
    let mut stats = Stats {
        name: format!("/{}", record.name),
        id: record.id.clone(),
        os_type: "linux".into(),
        read: "0001-01-01T00:00:00Z".into(),
        preread: "0001-01-01T00:00:00Z".into(),
        ..Stats::default()
    };
    if !view.phase.has_process() {
        return Ok(stats);
    }
    let measured = house
        .cgroup(record)
        .and_then(|cgroup| cgroup.stats())
        .map_err(Error::part)?;
    stats.read = Timestamp::now().to_string();
    stats.pids_stats = PidsStats {
        current: measured.pids.current,
        limit: measured.pids.limit.unwrap_or(u64::MAX),
    };
    stats.cpu_stats = CpuStats {
        cpu_usage: CpuUsage {
            total_usage: measured.cpu.total,
            percpu_usage: (!measured.cpu.per_cpu.is_empty()).then(|| measured.cpu.per_cpu.clone()),
            usage_in_kernelmode: measured.cpu.system,
            usage_in_usermode: measured.cpu.user,
        },
        system_cpu_usage: system_time(),
        online_cpus: u32::try_from(house.cpus).unwrap_or(1),
        throttling_data: Throttling {
            periods: measured.cpu.periods,
            throttled_periods: measured.cpu.throttled_periods,
            throttled_time: measured.cpu.throttled_time,
        },
    };
    stats.memory_stats = MemoryStats {
        usage: measured.memory.usage,
        max_usage: measured.memory.max_usage.unwrap_or(0),
        stats: Some(measured.memory.stat),
        failcnt: measured.memory.failures,
        limit: measured
            .memory
            .limit
            .unwrap_or_else(machine_memory)
            .min(machine_memory()),
    };
    let entries = |list: &[cgroups::BlockIoEntry]| {
        Some(
            list.iter()
                .map(|entry| BlkioEntry {
                    major: entry.major,
                    minor: entry.minor,
                    op: entry.op.clone(),
                    value: entry.value,
                })
                .collect(),
        )
    };
    stats.blkio_stats = BlkioStats {
        io_service_bytes_recursive: entries(&measured.block_io.service_bytes),
        io_serviced_recursive: entries(&measured.block_io.serviced),
        ..BlkioStats::default()
    };
    // The host's counters are not the container's.
    if record.host_config.network_mode != "host" {
        stats.networks = Some(network(record.run.pid));
    }
    Ok(stats)
}

/// Time that all processors have spent, in nanoseconds: the first line of `/proc/stat`, proc(5).
fn system_time() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: u64 = text
        .lines()
        .next()
        .map(|line| {
            line.split_whitespace()
                .skip(1)
                .take(8)
                .filter_map(|number| number.parse::<u64>().ok())
                .sum()
        })
        .unwrap_or(0);
    // USER_HZ is 100 on every architecture that Linux containers run on.
    ticks.saturating_mul(10_000_000)
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// Counters of the interfaces in a process's network namespace: `/proc/PID/net/dev`, proc_net_dev(5).
fn network(pid: i32) -> BTreeMap<String, NetworkStats> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let interfaces = text.lines().skip(2).filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let name = name.trim();
        let n: Vec<u64> = numbers
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        let stats = NetworkStats {
            rx_bytes: *n.first()?,
            rx_packets: *n.get(1)?,
            rx_errors: *n.get(2)?,
            rx_dropped: *n.get(3)?,
            tx_bytes: *n.get(8)?,
            tx_packets: *n.get(9)?,
            tx_errors: *n.get(10)?,
            tx_dropped: *n.get(11)?,
        };
        (name != "lo").then(|| (name.to_owned(), stats))
    });
    interfaces.collect()
}
