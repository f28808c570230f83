//! What is refused at create, and the defaults that `inspect` shows afterwards.

use api_types::container::{Config, HostConfig};

use crate::house::House;
use crate::record::NetworkMode;
use crate::settings::BUILT_IN_RUNTIME;
use crate::{Error, health, runtime, spec};

fn invalid<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(text.into()))
}

/// Fills in the defaults that docker writes into the host configuration.
pub(super) fn fill(house: &House, config: &mut Config, host: &mut HostConfig, id: &str) -> Result<(), Error> {
    let settings = &house.settings;
    let text = |value: &mut String, usual: &str| {
        if value.is_empty() {
            usual.clone_into(value);
        }
    };
    if matches!(host.network_mode.as_str(), "" | "default") {
        let mode = if config.network_disabled { "none" } else { "bridge" };
        host.network_mode = mode.into();
    }
    text(&mut host.ipc_mode, &settings.default_ipc_mode);
    let usual = match settings.default_cgroupns_mode.as_str() {
        "" if house.layout.mode() == cgroups::Mode::V2 => "private",
        "" => "host",
        given => given,
    };
    // A privileged container sees the host's tree on v1, as docker has it.
    text(
        &mut host.cgroupns_mode,
        if host.privileged && house.layout.mode() != cgroups::Mode::V2 {
            "host"
        } else {
            usual
        },
    );
    text(&mut host.runtime, &settings.default_runtime);
    // What the command sends for «not given»; docker shows neither.
    host.memory_swappiness = host.memory_swappiness.filter(|value| *value != -1);
    config.volumes = config.volumes.take().filter(|volumes| !volumes.is_empty());
    if host.shm_size == 0 {
        host.shm_size = settings.default_shm_size;
    }
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = host.memory.saturating_mul(2);
    }
    if host.oom_kill_disable.is_none() && house.layout.mode() != cgroups::Mode::V2 {
        host.oom_kill_disable = Some(false);
    }
    text(&mut host.restart_policy.name, "no");
    if host.log_config.kind.is_empty() {
        host.log_config.kind.clone_from(&settings.log_driver);
    }
    if host.log_config.kind == settings.log_driver {
        let options = host.log_config.config.get_or_insert_default();
        for (key, value) in &settings.log_options {
            options.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if !host.privileged && !unconfined_paths(host) {
        let usual = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
        // An empty list is an answer, too: nothing is hidden.
        if host.masked_paths.is_none() {
            host.masked_paths = usual(security::paths::MASKED);
        }
        if host.readonly_paths.is_none() {
            host.readonly_paths = usual(security::paths::READONLY);
        }
    }
    hostname(house, config, host, id)
}

fn unconfined_paths(host: &HostConfig) -> bool {
    host.security_opt
        .iter()
        .flatten()
        .any(|option| option == "systempaths=unconfined")
}

/// The host name: the user's, the host's, that of the container whose network is shared, or the short id.
fn hostname(house: &House, config: &mut Config, host: &HostConfig, id: &str) -> Result<(), Error> {
    let shares = NetworkMode::parse(&host.network_mode);
    let given = !config.hostname.is_empty() || !config.domainname.is_empty();
    if host.uts_mode == "host" && given {
        return invalid("conflicting options: hostname and the UTS mode");
    }
    match shares {
        NetworkMode::Container(_) if given => {
            return invalid("conflicting options: hostname and the network mode");
        }
        NetworkMode::Container(other) => match house.find(other) {
            Ok(other) => config.hostname.clone_from(&other.view().record.config.hostname),
            // It may be made before the start.
            Err(_) => id[..12].clone_into(&mut config.hostname),
        },
        NetworkMode::Host if config.hostname.is_empty() => {
            config.hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        }
        _ if host.uts_mode == "host" => {
            config.hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        }
        _ if config.hostname.is_empty() => id[..12].clone_into(&mut config.hostname),
        _ => {}
    }
    Ok(())
}

/// Refuses what makes no sense, in docker's words.
pub(super) fn check(house: &House, config: &Config, host: &HostConfig) -> Result<(), Error> {
    spec::validate(host, house.cpus, &house.memory_nodes)?;
    modes(host)?;
    policy(host)?;
    runtime::check(host, &house.settings)?;
    let parent = host.cgroup_parent.as_str();
    if house.settings.systemd_cgroups && !parent.is_empty() && !spec::is_slice(parent) {
        return invalid("cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"");
    }
    not_available(host)?;
    health::check(config.healthcheck.as_ref())?;
    // The kernel's bound (uname(2)); docker has no other, but a line break would forge lines of /etc/hosts.
    if config.hostname.len() > 64 || config.hostname.contains(char::is_control) {
        return invalid(format!("invalid hostname format: {:?}", config.hostname));
    }
    let words = [&config.cmd, &config.entrypoint];
    if words
        .into_iter()
        .flatten()
        .flatten()
        .any(|word| word.contains('\0'))
    {
        return invalid("invalid command: an argument contains a NUL byte");
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    for entry in config.env.iter().flatten() {
        if entry.is_empty() || entry.starts_with('=') {
            return invalid(format!("invalid environment variable: {entry}"));
        }
        if entry.contains('\0') {
            return invalid("invalid environment variable: it contains a NUL byte");
        }
    }
    if !config.stop_signal.is_empty() && linux::signal::parse(&config.stop_signal).is_none() {
        return invalid(format!("invalid signal: {}", config.stop_signal));
    }
    if let NetworkMode::Container(_) = NetworkMode::parse(&host.network_mode) {
        container_network(config, host)?;
    }
    if host.network_mode == "host" && !config.mac_address.is_empty() {
        return invalid("conflicting options: mac-address and the network mode");
    }
    Ok(())
}

fn container_network(config: &Config, host: &HostConfig) -> Result<(), Error> {
    let filled = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let published = host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty());
    for (conflict, what) in [
        (
            published || host.publish_all_ports,
            "port publishing and the container type network mode",
        ),
        (filled(&host.dns), "dns and the network mode"),
        (
            filled(&host.extra_hosts),
            "custom host-to-IP mapping and the network mode",
        ),
        (!config.mac_address.is_empty(), "mac-address and the network mode"),
        (
            config
                .exposed_ports
                .as_ref()
                .is_some_and(|ports| !ports.is_empty()),
            "port exposing and the container type network mode",
        ),
    ] {
        if conflict {
            return invalid(format!("conflicting options: {what}"));
        }
    }
    Ok(())
}

fn modes(host: &HostConfig) -> Result<(), Error> {
    let container = |mode: &str| {
        mode.strip_prefix("container:")
            .is_some_and(|name| !name.is_empty())
    };
    if !matches!(host.pid_mode.as_str(), "" | "host") && !container(&host.pid_mode) {
        return invalid(format!("invalid PID mode: {}", host.pid_mode));
    }
    let known = ["", "none", "private", "shareable", "host"];
    if !known.contains(&host.ipc_mode.as_str()) && !container(&host.ipc_mode) {
        return invalid(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return invalid(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "host" | "private") {
        return invalid(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return invalid(format!("invalid isolation '{}' on linux", host.isolation));
    }
    if matches!(host.network_mode.as_str(), "container" | "container:") {
        return invalid("invalid container format container:<name|id>");
    }
    Ok(())
}

pub(crate) fn policy(host: &HostConfig) -> Result<(), Error> {
    let policy = &host.restart_policy;
    match policy.name.as_str() {
        "no" | "always" | "unless-stopped" if policy.maximum_retry_count != 0 => invalid(format!(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'{}",
            if policy.maximum_retry_count < 0 {
                " and cannot be negative"
            } else {
                ""
            }
        )),
        "on-failure" if policy.maximum_retry_count < 0 => {
            invalid("invalid restart policy: maximum retry count cannot be negative")
        }
        "no" | "always" | "unless-stopped" | "on-failure" => {
            if host.auto_remove && policy.name != "no" {
                return Err(Error::Invalid(
                    "can't create 'AutoRemove' container with restart policy".into(),
                ));
            }
            Ok(())
        }
        other => invalid(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        )),
    }
}

/// How large the container's file system may grow (`--storage-opt size=`), in bytes.
///
/// # Errors
/// For other options, and for what is no size.
pub(super) fn layer_size(host: &HostConfig) -> Result<Option<u64>, Error> {
    let mut size = None;
    for (key, value) in host.storage_opt.iter().flatten() {
        if !key.eq_ignore_ascii_case("size") {
            return Err(Error::Invalid(format!("Unknown option {key}")));
        }
        let bytes = api_types::size::parse_size(value).and_then(|bytes| u64::try_from(bytes).ok());
        let invalid = || Error::Invalid(format!("invalid size: '{value}'"));
        size = Some(bytes.filter(|bytes| *bytes > 0).ok_or_else(invalid)?);
    }
    Ok(size)
}

/// What docker has and this version does not: refused by name, never ignored.
fn not_available(host: &HostConfig) -> Result<(), Error> {
    let missing = |what: &str| Err(Error::NotAvailable(what.to_owned()));
    if host
        .device_requests
        .as_ref()
        .is_some_and(|requests| !requests.is_empty())
    {
        return missing("selecting devices by capability (--gpus)");
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return missing(&format!(
            "a user namespace of its own (--userns={})",
            host.userns_mode
        ));
    }
    if host.ipc_mode.starts_with("container:") && host.runtime != BUILT_IN_RUNTIME {
        return missing("the IPC namespace of another container (--ipc container:) with another runtime");
    }
    if !matches!(host.volume_driver.as_str(), "" | "local") {
        return missing("a volume plugin (--volume-driver)");
    }
    if !host.cgroup.is_empty() {
        return missing("the cgroup of another container");
    }
    Ok(())
}
