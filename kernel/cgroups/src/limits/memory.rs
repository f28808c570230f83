//! Memory and swap.

use oci::runtime::Memory;

use super::{convert, need};
use crate::cgroup::Seat;
use crate::dir::Dir;
use crate::{Cgroup, Error, Result};

const LIMIT: &str = "memory.limit_in_bytes";
const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

pub(super) fn apply(group: &Cgroup, memory: &Memory) -> Result<()> {
    if *memory == Memory::default() {
        return Ok(());
    }
    for (what, value) in [
        ("memory.limit", memory.limit),
        ("memory.swap", memory.swap),
        ("memory.reservation", memory.reservation),
        ("memory.kernelTCP", memory.kernel_tcp),
    ] {
        if value.is_some_and(|v| v < -1) {
            return Err(Error::InvalidLimit {
                what,
                why: format!("{} is negative", value.unwrap_or(0)),
            });
        }
    }
    match need(group, "memory", "memory")? {
        Seat::V1(dir) => v1(dir, memory),
        Seat::V2(dir) => v2(dir, memory),
    }
}

fn v1(dir: &Dir, memory: &Memory) -> Result<()> {
    let limit = memory.limit.filter(|v| *v != 0);
    // Without a limit of memory there is none of memory plus swap, unless it is given.
    let swap = match (memory.swap.filter(|v| *v != 0), limit) {
        (None, Some(-1)) if dir.has(WITH_SWAP) => Some(-1),
        (swap, _) => swap,
    };
    if swap.is_some() && !dir.has(WITH_SWAP) {
        return Err(Error::NoController {
            what: "memory.swap",
            controller: "memory (swap accounting)",
        });
    }
    // At every moment memory must not exceed memory plus swap: the roof is raised first, and lowered last.
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            let now: u64 = dir.read(WITH_SWAP)?.parse().unwrap_or(u64::MAX);
            if swap < 0 || swap.unsigned_abs() > now {
                dir.write(WITH_SWAP, &swap.to_string())?;
                dir.write(LIMIT, &limit.to_string())?;
            } else {
                dir.write(LIMIT, &limit.to_string())?;
                dir.write(WITH_SWAP, &swap.to_string())?;
            }
        }
        (Some(limit), None) => dir.write(LIMIT, &limit.to_string())?,
        (None, Some(swap)) => dir.write(WITH_SWAP, &swap.to_string())?,
        (None, None) => {}
    }
    if let Some(value) = memory.reservation.filter(|v| *v != 0) {
        dir.write("memory.soft_limit_in_bytes", &value.to_string())?;
    }
    // `memory.kernel` is not written: the kernel has ignored it since 5.11, and runc since 1.0.
    if let Some(value) = memory.kernel_tcp.filter(|v| *v != 0) {
        dir.write("memory.kmem.tcp.limit_in_bytes", &value.to_string())?;
    }
    if let Some(value) = memory.swappiness {
        if value > 100 {
            let why = format!("{value} (valid range is 0-100)");
            return Err(Error::InvalidLimit {
                what: "memory.swappiness",
                why,
            });
        }
        dir.write("memory.swappiness", &value.to_string())?;
    }
    if let Some(disable) = memory.disable_oom_killer {
        // Writing 0 to a fresh group would be a needless call; the file may not be there when there is nothing to do.
        if disable || dir.read("memory.oom_control")?.contains("oom_kill_disable 1") {
            dir.write("memory.oom_control", if disable { "1" } else { "0" })?;
        }
    }
    Ok(())
}

/// Swappiness and the pausing of the killer do not exist in version 2; Docker warns of them and goes on.
fn v2(dir: &Dir, memory: &Memory) -> Result<()> {
    let limit = memory.limit.filter(|v| *v != 0);
    if memory.check_before_update == Some(true)
        && let Some(limit) = limit.filter(|v| *v > 0)
    {
        let used: u64 = dir.read("memory.current")?.parse().unwrap_or(0);
        if used > limit.unsigned_abs() {
            let why = format!("{limit} is below the present use of {used}");
            return Err(Error::InvalidLimit {
                what: "memory.limit",
                why,
            });
        }
    }
    if let Some(swap) = convert::swap(memory)? {
        // Where swap is not counted, no swap and unlimited swap come to the same.
        if dir.has("memory.swap.max") {
            dir.write("memory.swap.max", &swap)?;
        } else if swap != "0" && swap != "max" {
            return Err(Error::NoController {
                what: "memory.swap",
                controller: "memory (swap accounting)",
            });
        }
    }
    if let Some(limit) = limit {
        dir.write("memory.max", &convert::or_max(limit))?;
    }
    if let Some(value) = memory.reservation.filter(|v| *v != 0) {
        dir.write("memory.low", &convert::or_max(value))?;
    }
    Ok(())
}
