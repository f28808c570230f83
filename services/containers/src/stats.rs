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
        stats: Some(told(&measured.memory.stat)),
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

/// What Docker tells of `memory.stat` where memory has a hierarchy of version 1: each of these, and again as
/// `total_…`, of the group with all below it.
const V1: [&str; 15] = [
    "cache",
    "rss",
    "rss_huge",
    "mapped_file",
    "dirty",
    "writeback",
    "pgpgin",
    "pgpgout",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
];

/// The rest of it, which is of the whole already.
const V1_LIMITS: [&str; 2] = ["hierarchical_memory_limit", "hierarchical_memsw_limit"];

/// The same of version 2.
const V2: [&str; 31] = [
    "anon",
    "file",
    "kernel_stack",
    "slab",
    "sock",
    "shmem",
    "file_mapped",
    "file_dirty",
    "file_writeback",
    "anon_thp",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "pgfault",
    "pgmajfault",
    "workingset_refault",
    "workingset_activate",
    "workingset_nodereclaim",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pglazyfreed",
    "thp_fault_alloc",
    "thp_collapse_alloc",
];

/// The lines of `memory.stat` under the names that Docker has, whatever this kernel has: clients know these names, some
/// insist on each of them and refuse any other.
fn told(kernel: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let value = |name: &str| kernel.get(name).copied().unwrap_or_default();
    if !kernel.contains_key("hierarchical_memory_limit") {
        return V2.map(|name| (name.to_owned(), value(name))).into();
    }
    let totals = V1.map(|name| format!("total_{name}"));
    let names = V1.into_iter().chain(V1_LIMITS).map(str::to_owned).chain(totals);
    names.map(|name| (name.clone(), value(&name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(text: &str) -> BTreeMap<String, u64> {
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        text.lines().map(pair).collect()
    }

    #[test]
    fn memory_has_the_names_of_docker_whatever_the_kernel_tells() {
        let v1 = told(&stat(
            "cache 1\nswapcached 2\nworkingset_refault_anon 3\nhierarchical_memory_limit 4\ntotal_cache 5\ntotal_swap 6",
        ));
        assert_eq!(v1.len(), 32);
        assert_eq!((v1["cache"], v1["total_cache"], v1["total_rss"]), (1, 5, 0));
        assert_eq!(v1["hierarchical_memory_limit"], 4);
        assert!(!v1.contains_key("swapcached") && !v1.contains_key("total_swap"));
        let v2 = told(&stat("anon 1\nfile_thp 2\nworkingset_refault_file 3\npgsteal 4"));
        assert_eq!(v2.len(), 31);
        assert_eq!((v2["anon"], v2["pgsteal"], v2["workingset_refault"]), (1, 4, 0));
        assert!(!v2.contains_key("file_thp"));
    }
}
