//! Counters of version 1.

use super::{BlockIoEntry, BlockIoStats, CpuStats, MemoryStats, field, fields, number};
use crate::Result;
use crate::dir::Dir;

/// Nanoseconds of one tick of USER_HZ, which is 100 on every architecture that the house builds for.
const TICK: u64 = 10_000_000;
/// "No limit" is the largest multiple of the page size; anything in its neighbourhood is meant as none.
const NO_LIMIT: u64 = i64::MAX as u64 - (1 << 16);

pub(super) fn processor_time(dir: &Dir, cpu: &mut CpuStats) -> Result<()> {
    cpu.total = number(dir, "cpuacct.usage")?.unwrap_or(0);
    match (
        number(dir, "cpuacct.usage_user")?,
        number(dir, "cpuacct.usage_sys")?,
    ) {
        (Some(user), Some(system)) => (cpu.user, cpu.system) = (user, system),
        _ => {
            let text = dir.read_if_there("cpuacct.stat")?.unwrap_or_default();
            cpu.user = field(&text, "user").unwrap_or(0) * TICK;
            cpu.system = field(&text, "system").unwrap_or(0) * TICK;
        }
    }
    let each = dir.read_if_there("cpuacct.usage_percpu")?.unwrap_or_default();
    cpu.per_cpu = each.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    Ok(())
}

pub(super) fn throttling(dir: &Dir, cpu: &mut CpuStats) -> Result<()> {
    let text = dir.read_if_there("cpu.stat")?.unwrap_or_default();
    cpu.periods = field(&text, "nr_periods").unwrap_or(0);
    cpu.throttled_periods = field(&text, "nr_throttled").unwrap_or(0);
    cpu.throttled_time = field(&text, "throttled_time").unwrap_or(0);
    Ok(())
}

pub(super) fn memory(dir: &Dir) -> Result<MemoryStats> {
    let usage = number(dir, "memory.usage_in_bytes")?.unwrap_or(0);
    let limit = number(dir, "memory.limit_in_bytes")?.filter(|limit| *limit < NO_LIMIT);
    let with_swap = number(dir, "memory.memsw.limit_in_bytes")?.filter(|limit| *limit < NO_LIMIT);
    let events = dir.read_if_there("memory.oom_control")?.unwrap_or_default();
    Ok(MemoryStats {
        usage,
        max_usage: number(dir, "memory.max_usage_in_bytes")?,
        limit,
        swap_usage: number(dir, "memory.memsw.usage_in_bytes")?.map(|both| both.saturating_sub(usage)),
        swap_limit: with_swap.and_then(|both| Some(both.saturating_sub(limit?))),
        failures: number(dir, "memory.failcnt")?.unwrap_or(0),
        oom_kills: field(&events, "oom_kill").unwrap_or(0),
        stat: fields(&dir.read_if_there("memory.stat")?.unwrap_or_default()),
    })
}

pub(super) fn block_io(dir: &Dir) -> Result<BlockIoStats> {
    let read = |names: [&str; 2]| -> Result<Vec<BlockIoEntry>> {
        for name in names {
            let entries = entries(&dir.read_if_there(name)?.unwrap_or_default());
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    };
    // The scheduler's own files say more where it is BFQ; otherwise they are missing or empty.
    Ok(BlockIoStats {
        service_bytes: read([
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
        ])?,
        serviced: read([
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
        ])?,
    })
}

/// Lines `8:0 Read 123`; the line `Total 123` at the end has no device and is left out.
pub(super) fn entries(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let op = words.next()?.to_owned();
        Some(BlockIoEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op,
            value: words.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}
