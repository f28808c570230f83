//! Limits: the checks that docker makes, and the OCI form.

use api_types::container::{HostConfig, ThrottleDevice as AskedThrottle};
use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources, ThrottleDevice, WeightDevice};

use super::{Inputs, devices};
use crate::Error;

/// Below this, a container cannot even start.
const LEAST_MEMORY: i64 = 6 << 20;
/// The period that `--cpus` is counted in, in microseconds.
const PERIOD: i64 = 100_000;

fn invalid<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(text.into()))
}

/// Refuses limits that make no sense, in docker's words; `cpus` is how many the machine has, `nodes` lists its
/// memory nodes.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn validate(host: &HostConfig, cpus: usize, nodes: &str) -> Result<(), Error> {
    memory(host)?;
    processors(host, cpus)?;
    memory_node(host, nodes)?;
    if host.blkio_weight != 0 && !(10..=1000).contains(&host.blkio_weight) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        devices::parse_rule(rule)?;
    }
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0");
    }
    for (what, asked) in [
        ("kernel memory", host.kernel_memory),
        ("kernel memory TCP", host.kernel_memory_tcp),
    ] {
        if asked != 0 {
            return Err(Error::NotAvailable(format!(
                "a limit of {what} (the kernel has deprecated it; --memory covers it)"
            )));
        }
    }
    if host.cpu_count != 0 || host.cpu_percent != 0 {
        return invalid("CPU count and CPU percent are limits of Windows containers");
    }
    if host.io_maximum_iops != 0 || host.io_maximum_bandwidth != 0 {
        return invalid("IO maximum limits are limits of Windows containers");
    }
    Ok(())
}

fn memory(host: &HostConfig) -> Result<(), Error> {
    let HostConfig {
        memory,
        memory_swap,
        memory_reservation,
        ..
    } = *host;
    if memory != 0 && memory < LEAST_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && memory_swap > 0 && memory_swap < memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && memory_swap > 0 {
        return invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if host
        .memory_swappiness
        .is_some_and(|value| !(-1..=100).contains(&value))
    {
        let value = host.memory_swappiness.unwrap_or_default();
        return invalid(format!(
            "Invalid value: {value}, valid memory swappiness range is 0-100"
        ));
    }
    if memory_reservation > 0 && memory_reservation < LEAST_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && memory_reservation > 0 && memory < memory_reservation {
        return invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    Ok(())
}

fn processors(host: &HostConfig, cpus: usize) -> Result<(), Error> {
    let HostConfig {
        nano_cpus,
        cpu_period,
        cpu_quota,
        ..
    } = *host;
    if nano_cpus > 0 && cpu_period > 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if nano_cpus > 0 && cpu_quota > 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    let most = i64::try_from(cpus)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000_000);
    if nano_cpus < 0 || nano_cpus > most {
        return invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    if cpu_period != 0 && !(1_000..=1_000_000).contains(&cpu_period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if cpu_quota > 0 && cpu_quota < 1_000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if host.cpu_shares < 0 {
        return invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares
        ));
    }
    // What the kernel would silently make another number of (sched/core.c, MIN_SHARES and MAX_SHARES).
    if host.cpu_shares == 1 {
        return invalid("the minimum allowed cpu-shares is 2");
    }
    if host.cpu_shares > 262_144 {
        return invalid("the maximum allowed cpu-shares is 262144");
    }
    let Some(asked) = parse_list(&host.cpuset_cpus) else {
        return invalid(format!("Invalid value {} for cpuset cpus", host.cpuset_cpus));
    };
    if asked.iter().any(|cpu| *cpu >= cpus) {
        return invalid(format!(
            "Requested CPUs are not available - requested {}, available: 0-{}",
            host.cpuset_cpus,
            cpus.saturating_sub(1)
        ));
    }
    Ok(())
}

/// The memory nodes of the machine; a kernel that does not list them has the first alone.
pub(crate) fn memory_nodes() -> String {
    let listed = std::fs::read_to_string("/sys/devices/system/node/has_memory");
    let listed = listed.or_else(|_| std::fs::read_to_string("/sys/devices/system/node/online"));
    match listed.as_deref().map(str::trim) {
        Ok(listed) if !listed.is_empty() => listed.to_owned(),
        _ => "0".to_owned(),
    }
}

fn memory_node(host: &HostConfig, nodes: &str) -> Result<(), Error> {
    let Some(asked) = parse_list(&host.cpuset_mems) else {
        return invalid(format!("Invalid value {} for cpuset mems", host.cpuset_mems));
    };
    let there = parse_list(nodes).unwrap_or_default();
    if asked.iter().any(|node| !there.contains(node)) {
        return invalid(format!(
            "Requested memory nodes are not available - requested {}, available: {nodes}",
            host.cpuset_mems
        ));
    }
    Ok(())
}

/// The numbers of a list such as `0-3,7`; `None` when it is malformed. At most 8192 numbers, as the kernel.
fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= 8192 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// The whole of a container's limits, devices included.
pub(super) fn build(inputs: &Inputs<'_>) -> Result<Resources, Error> {
    let host = &inputs.record.host_config;
    let rules = host.device_cgroup_rules.as_deref().unwrap_or_default();
    let mut resources = limits(host)?;
    resources.devices = devices::rules(host.privileged, inputs.devices, rules)?;
    Ok(resources)
}

/// The limits that `update` can change.
///
/// # Errors
/// A block device that does not exist.
pub(crate) fn limits(host: &HostConfig) -> Result<Resources, Error> {
    let some = |value: i64| (value != 0).then_some(value);
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let (quota, period) = if host.nano_cpus > 0 {
        // 1e9 nano-CPUs are one whole period.
        (
            Some(host.nano_cpus * PERIOD / 1_000_000_000),
            Some(PERIOD.unsigned_abs()),
        )
    } else {
        (some(host.cpu_quota), unsigned(host.cpu_period))
    };
    Ok(Resources {
        memory: Some(Memory {
            limit: some(host.memory),
            reservation: some(host.memory_reservation),
            swap: some(host.memory_swap),
            swappiness: host.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
            disable_oom_killer: host.oom_kill_disable.filter(|disable| *disable),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: unsigned(host.cpu_shares),
            quota,
            period,
            realtime_runtime: some(host.cpu_realtime_runtime),
            realtime_period: unsigned(host.cpu_realtime_period),
            cpus: host.cpuset_cpus.clone(),
            mems: host.cpuset_mems.clone(),
            ..Cpu::default()
        }),
        pids: host
            .pids_limit
            .filter(|limit| *limit != 0)
            .map(|limit| Pids { limit: Some(limit) }),
        block_io: Some(block_io(host)?),
        ..Resources::default()
    })
}

fn block_io(host: &HostConfig) -> Result<BlockIo, Error> {
    let weights = host.blkio_weight_device.iter().flatten().map(|device| {
        let (major, minor) = devices::block_numbers(&device.path)?;
        Ok(WeightDevice {
            major,
            minor,
            weight: Some(device.weight),
            leaf_weight: None,
        })
    });
    Ok(BlockIo {
        weight: (host.blkio_weight != 0).then_some(host.blkio_weight),
        leaf_weight: None,
        weight_device: weights.collect::<Result<_, Error>>()?,
        throttle_read_bps_device: throttles(&host.blkio_device_read_bps)?,
        throttle_write_bps_device: throttles(&host.blkio_device_write_bps)?,
        throttle_read_iops_device: throttles(&host.blkio_device_read_iops)?,
        throttle_write_iops_device: throttles(&host.blkio_device_write_iops)?,
    })
}

fn throttles(asked: &Option<Vec<AskedThrottle>>) -> Result<Vec<ThrottleDevice>, Error> {
    let devices = asked.iter().flatten().map(|device| {
        let (major, minor) = devices::block_numbers(&device.path)?;
        Ok(ThrottleDevice {
            major,
            minor,
            rate: device.rate,
        })
    });
    devices.collect()
}
