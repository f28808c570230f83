//! What the kernel counts for a group, in the same units for both versions.

mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cgroup::Seat;
use crate::dir::Dir;
use crate::{Cgroup, Result};

/// A measurement of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub block_io: BlockIoStats,
    /// Huge pages by page size (`2MB`).
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// Pressure of processor, memory and I/O, where the kernel offers it.
    pub pressure: Pressure,
}

/// Processor time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuStats {
    /// All time used.
    pub total: u64,
    /// Of it in user mode.
    pub user: u64,
    /// Of it in the kernel.
    pub system: u64,
    /// By processor (version 1 only; else empty).
    pub per_cpu: Vec<u64>,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Of them throttled.
    pub throttled_periods: u64,
    /// Time waited while throttled.
    pub throttled_time: u64,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// In use now, page cache included.
    pub usage: u64,
    /// Most ever in use.
    pub max_usage: Option<u64>,
    /// The hard limit; `None`: none.
    pub limit: Option<u64>,
    /// Swap in use.
    pub swap_usage: Option<u64>,
    /// Limit of swap alone; `None`: none or no swap accounting.
    pub swap_limit: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
    /// Tasks killed for want of memory.
    pub oom_kills: u64,
    /// The lines of `memory.stat`, with the kernel's names of the version in use.
    pub stat: BTreeMap<String, u64>,
}

/// Tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PidsStats {
    /// Tasks now.
    pub current: u64,
    /// Most tasks; `None`: no limit.
    pub limit: Option<u64>,
}

/// Block I/O.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockIoStats {
    /// Bytes.
    pub service_bytes: Vec<BlockIoEntry>,
    /// Requests.
    pub serviced: Vec<BlockIoEntry>,
}

/// One number of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIoEntry {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `Read`, `Write`, … on version 1, `read`, `write` on version 2, as Docker shows them.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugetlbStats {
    /// In use.
    pub usage: u64,
    /// Most ever in use.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failures: u64,
}

/// Pressure stall information; `None` where the kernel does not offer it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Processor.
    pub cpu: Option<PressureLine>,
    /// Memory.
    pub memory: Option<PressureLine>,
    /// I/O.
    pub io: Option<PressureLine>,
}

/// `some` and `full` of one resource: averages in percent and the total in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PressureLine {
    /// Averages over 10, 60 and 300 seconds of time in which some task waited.
    pub some: [f64; 3],
    /// Total of it.
    pub some_total: u64,
    /// Averages of time in which all tasks waited.
    pub full: [f64; 3],
    /// Total of it.
    pub full_total: u64,
}

/// Reads all counters of the group; a controller that is missing leaves its part at zero.
pub(crate) fn measure(group: &Cgroup) -> Result<Stats> {
    let mut stats = Stats::default();
    match group.seat("cpuacct") {
        Some(Seat::V1(dir)) => v1::processor_time(dir, &mut stats.cpu)?,
        Some(Seat::V2(dir)) => v2::processor_time(dir, &mut stats.cpu)?,
        None => {}
    }
    if let Some(Seat::V1(dir)) = group.seat("cpu") {
        v1::throttling(dir, &mut stats.cpu)?;
    }
    match group.seat("memory") {
        Some(Seat::V1(dir)) => stats.memory = v1::memory(dir)?,
        Some(Seat::V2(dir)) => stats.memory = v2::memory(dir)?,
        None => {}
    }
    match group.seat("blkio") {
        Some(Seat::V1(dir)) => stats.block_io = v1::block_io(dir)?,
        Some(Seat::V2(dir)) => stats.block_io = v2::block_io(dir)?,
        None => {}
    }
    if let Some(Seat::V1(dir) | Seat::V2(dir)) = group.seat("pids") {
        stats.pids.current = number(dir, "pids.current")?.unwrap_or(0);
        stats.pids.limit = number(dir, "pids.max")?;
    }
    if let Some(seat) = group.seat("hugetlb") {
        stats.hugetlb = hugetlb(seat)?;
    }
    if let Some(dir) = group.unified() {
        let read = |file| Ok(dir.read_if_there(file)?.and_then(|text| v2::pressure(&text)));
        stats.pressure = Pressure {
            cpu: read("cpu.pressure")?,
            memory: read("memory.pressure")?,
            io: read("io.pressure")?,
        };
    }
    Ok(stats)
}

/// Page sizes of this machine, by the kernel's own directory names (`hugepages-2048kB`).
fn hugetlb(seat: Seat<'_>) -> Result<BTreeMap<String, HugetlbStats>> {
    let mut out = BTreeMap::new();
    let Ok(list) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Ok(out);
    };
    for entry in list.flatten() {
        let name = entry.file_name();
        let kilobytes = name
            .to_str()
            .and_then(|n| n.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok());
        let Some(kilobytes) = kilobytes else { continue };
        let size = size_name(kilobytes);
        let file = |last: &str| format!("hugetlb.{size}.{last}");
        let stats = match seat {
            Seat::V1(dir) => HugetlbStats {
                usage: number(dir, &file("usage_in_bytes"))?.unwrap_or(0),
                max_usage: number(dir, &file("max_usage_in_bytes"))?.unwrap_or(0),
                failures: number(dir, &file("failcnt"))?.unwrap_or(0),
            },
            Seat::V2(dir) => HugetlbStats {
                usage: number(dir, &file("current"))?.unwrap_or(0),
                max_usage: 0,
                failures: dir
                    .read_if_there(&file("events"))?
                    .and_then(|t| field(&t, "max"))
                    .unwrap_or(0),
            },
        };
        out.insert(size, stats);
    }
    Ok(out)
}

/// A page size as it stands in the names of the controller's files.
fn size_name(kilobytes: u64) -> String {
    match kilobytes {
        k if k >= 1 << 20 => format!("{}GB", k >> 20),
        k if k >= 1 << 10 => format!("{}MB", k >> 10),
        k => format!("{k}KB"),
    }
}

/// The only number of a file; `None` where the file is missing or says `max`.
fn number(dir: &Dir, file: &str) -> Result<Option<u64>> {
    Ok(dir.read_if_there(file)?.and_then(|text| text.parse().ok()))
}

/// The value of a line `name value`.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.split_once(' ')
            .filter(|(n, _)| *n == name)?
            .1
            .trim()
            .parse()
            .ok()
    })
}

/// All lines `name value`.
fn fields(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        line.split_once(' ')
            .and_then(|(n, v)| Some((n.to_owned(), v.trim().parse().ok()?)))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests;
