//! Limits that the machine's kernel does not have: taken off again, with docker's warnings.

use api_types::container::HostConfig;
use cgroups::Features;

use crate::Error;

/// Whether `host` asks for anything that a kernel may not have; only then is it worth looking.
pub(crate) fn asks(host: &HostConfig) -> bool {
    // A machine that has nothing would warn of it.
    discard(&mut host.clone(), &Features::default()).map_or(true, |warnings| !warnings.is_empty())
}

/// Takes off what `features` lack; answers the warnings for whoever asked.
///
/// # Errors
/// A limit without which docker does not make the container: real-time scheduling, `--cpus`.
pub(crate) fn discard(host: &mut HostConfig, features: &Features) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let mut lacks = |what: &str| warnings.push(format!("Your kernel does not support {what}"));
    if host.memory > 0 && !features.memory {
        lacks("memory limit capabilities or the cgroup is not mounted. Limitation discarded.");
        (host.memory, host.memory_swap) = (0, -1);
    }
    if host.memory > 0 && host.memory_swap != -1 && !features.swap {
        lacks("swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
        host.memory_swap = -1;
    }
    if host.memory_swappiness.is_some_and(|value| value != -1) && !features.swappiness {
        lacks("memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.");
        host.memory_swappiness = None;
    }
    if host.memory_reservation > 0 && !features.memory_reservation {
        lacks("memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.");
        host.memory_reservation = 0;
    }
    if host.oom_kill_disable == Some(true) && !features.oom_kill_disable {
        lacks("OomKillDisable. OomKillDisable discarded.");
        host.oom_kill_disable = None;
    }
    if host.pids_limit.is_some_and(|limit| limit > 0) && !features.pids {
        lacks("PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
        host.pids_limit = None;
    }
    if host.cpu_shares > 0 && !features.cpu_shares {
        lacks("CPU shares or the cgroup is not mounted. Shares discarded.");
        host.cpu_shares = 0;
    }
    if (host.cpu_period != 0 || host.cpu_quota != 0) && !features.cpu_cfs {
        lacks("CPU CFS scheduler. CPU period/quota discarded.");
        (host.cpu_period, host.cpu_quota) = (0, 0);
    }
    if (!host.cpuset_cpus.is_empty() || !host.cpuset_mems.is_empty()) && !features.cpuset {
        lacks("cpuset or the cgroup is not mounted. CPUset discarded.");
        host.cpuset_cpus.clear();
        host.cpuset_mems.clear();
    }
    if host.blkio_weight > 0 && !features.blkio_weight {
        lacks("Block I/O weight or the cgroup is not mounted. Weight discarded.");
        host.blkio_weight = 0;
    }
    if is_filled(&host.blkio_weight_device) && !features.blkio_weight {
        lacks("Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.");
        host.blkio_weight_device = None;
    }
    for (what, devices) in [
        ("BPS Block I/O read", &mut host.blkio_device_read_bps),
        ("BPS Block I/O write", &mut host.blkio_device_write_bps),
        ("IOPS Block read", &mut host.blkio_device_read_iops),
        ("IOPS Block write", &mut host.blkio_device_write_iops),
    ] {
        if is_filled(devices) && !features.blkio_throttle {
            let short = what
                .replace("BPS Block I/O", "Block I/O BPS")
                .replace("IOPS Block", "Block I/O IOPS");
            lacks(&format!(
                "{what} limit or the cgroup is not mounted. {short} limit discarded."
            ));
            *devices = None;
        }
    }
    if host.oom_kill_disable == Some(true) && host.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system \
             running out of resources."
                .into(),
        );
    }
    refuse(host, features)?;
    Ok(warnings)
}

fn refuse(host: &HostConfig, features: &Features) -> Result<(), Error> {
    let refused = |text: &str| Err(Error::Invalid(text.into()));
    if host.nano_cpus > 0 && !features.cpu_cfs {
        return refused(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
        );
    }
    if (host.cpu_realtime_period != 0 || host.cpu_realtime_runtime != 0) && !features.cpu_realtime {
        return refused("kernel does not support CPU real-time scheduler");
    }
    if host.cpu_realtime_period != 0 && host.cpu_realtime_runtime > host.cpu_realtime_period {
        return refused("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    Ok(())
}

fn is_filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_taken_off_with_a_warning() {
        let mut host = HostConfig {
            blkio_weight: 300,
            cpu_shares: 10,
            ..HostConfig::default()
        };
        assert!(asks(&host));
        let features = Features {
            cpu_shares: true,
            ..Features::default()
        };
        let warnings = discard(&mut host, &features).expect("only warnings");
        assert_eq!(
            warnings,
            ["Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."]
        );
        assert_eq!((host.blkio_weight, host.cpu_shares), (0, 10));
    }

    #[test]
    fn a_container_without_limits_asks_for_nothing() {
        assert!(!asks(&HostConfig::default()));
        let unlimited = HostConfig {
            pids_limit: Some(-1),
            memory_swappiness: Some(-1),
            oom_kill_disable: Some(false),
            ..HostConfig::default()
        };
        assert!(!asks(&unlimited));
    }

    #[test]
    fn real_time_scheduling_is_refused_without_its_kernel_and_beyond_its_period() {
        let mut host = HostConfig {
            cpu_realtime_period: 1000,
            cpu_realtime_runtime: 2000,
            ..HostConfig::default()
        };
        assert!(discard(&mut host, &Features::default()).is_err());
        let features = Features {
            cpu_realtime: true,
            ..Features::default()
        };
        let error = discard(&mut host, &features).expect_err("more than all of the time");
        assert_eq!(
            error.to_string(),
            "cpu real-time runtime cannot be higher than cpu real-time period"
        );
    }
}
