//! Processor time and processor sets.

use oci::runtime::Cpu;

use super::{Setting, convert, need, write_interdependent};
use crate::cgroup::Seat;
use crate::{Cgroup, Result};

pub(super) fn apply(group: &Cgroup, cpu: &Cpu) -> Result<()> {
    let time = [
        cpu.quota.is_some(),
        cpu.period.is_some(),
        cpu.shares.is_some(),
        cpu.burst.is_some(),
    ];
    let realtime = cpu.realtime_period.is_some() || cpu.realtime_runtime.is_some();
    if time.contains(&true) || realtime || cpu.idle.is_some() {
        match need(group, "cpu", "cpu")? {
            Seat::V1(dir) => write_interdependent(dir, v1(cpu))?,
            Seat::V2(dir) => {
                let max = dir.read_if_there("cpu.max")?.unwrap_or_default();
                write_interdependent(dir, v2(cpu, &max))?;
            }
        }
    }
    for (value, file) in [(&cpu.cpus, "cpuset.cpus"), (&cpu.mems, "cpuset.mems")] {
        if !value.is_empty() {
            let (Seat::V1(dir) | Seat::V2(dir)) = need(group, "cpuset", "cpu.cpus")?;
            dir.write(file, value)?;
        }
    }
    Ok(())
}

fn v1(cpu: &Cpu) -> Vec<Setting> {
    let mut out = Vec::new();
    let mut put = |file, value: Option<String>| out.extend(value.map(|value| Setting { file, value }));
    // Shares of an idle group cannot be set, hence this order.
    put("cpu.idle", cpu.idle.map(|v| v.to_string()));
    if cpu.idle.unwrap_or(0) == 0 {
        put(
            "cpu.shares",
            cpu.shares.filter(|v| *v != 0).map(|v| v.to_string()),
        );
    }
    put(
        "cpu.cfs_period_us",
        cpu.period.filter(|v| *v != 0).map(|v| v.to_string()),
    );
    put(
        "cpu.cfs_quota_us",
        cpu.quota.filter(|v| *v != 0).map(|v| v.max(-1).to_string()),
    );
    put("cpu.cfs_burst_us", cpu.burst.map(|v| v.to_string()));
    put(
        "cpu.rt_period_us",
        cpu.realtime_period.filter(|v| *v != 0).map(|v| v.to_string()),
    );
    put(
        "cpu.rt_runtime_us",
        cpu.realtime_runtime.filter(|v| *v != 0).map(|v| v.to_string()),
    );
    out
}

/// `max`: what `cpu.max` holds now. Real-time scheduling has no limits in version 2.
fn v2(cpu: &Cpu, max: &str) -> Vec<Setting> {
    let mut out = Vec::new();
    let mut put = |file, value: Option<String>| out.extend(value.map(|value| Setting { file, value }));
    put("cpu.idle", cpu.idle.map(|v| v.to_string()));
    if cpu.idle.unwrap_or(0) == 0 {
        put(
            "cpu.weight",
            cpu.shares
                .filter(|v| *v != 0)
                .map(|v| convert::shares_to_weight(v).to_string()),
        );
    }
    let (quota, period) = (cpu.quota.filter(|v| *v != 0), cpu.period.filter(|v| *v != 0));
    if quota.is_some() || period.is_some() {
        let mut now = max.split_whitespace();
        let now_quota = now.next().unwrap_or("max").to_owned();
        let now_period = now.next().unwrap_or("100000").to_owned();
        let quota = quota.map_or(now_quota, convert::or_max);
        let period = period.map_or(now_period, |v| v.to_string());
        put("cpu.max", Some(format!("{quota} {period}")));
    }
    put("cpu.max.burst", cpu.burst.map(|v| v.to_string()));
    out
}
