//! The configuration in the words of each service.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use api_types::system::Runtime;
use durable::InstanceTag;
use networks::{AddressPool, DefaultBridge, Dns};

use crate::config::{RuntimeProgram, Settings};

/// What the networks are told.
pub(crate) fn networks(settings: &Settings, tag: &InstanceTag) -> Result<networks::Config> {
    let mut config = networks::Config::new(tag.as_str());
    config.bridge = match settings.bridge.as_str() {
        "none" => None,
        name => Some(bridge(settings, name)?),
    };
    config.pools = settings
        .default_address_pools
        .iter()
        .map(pool)
        .collect::<Result<_>>()?;
    config.ip_forward = settings.ip_forward.unwrap_or(true);
    config.firewall = settings.iptables.unwrap_or(true);
    config.default_bind = settings.ip.filter(|ip| !ip.is_unspecified());
    config.dns = Dns {
        servers: settings.dns.iter().filter_map(|d| d.parse().ok()).collect(),
        options: settings.dns_opts.clone(),
        search: settings.dns_search.clone(),
    };
    if let Some(path) = &settings.resolv_conf {
        config.resolv_conf.clone_from(path);
    }
    Ok(config)
}

fn bridge(settings: &Settings, name: &str) -> Result<DefaultBridge> {
    let mut bridge = DefaultBridge::default();
    if !name.is_empty() {
        name.clone_into(&mut bridge.name);
    }
    bridge.bip = parse("bip", &settings.bip)?;
    bridge.fixed_cidr = parse("fixed-cidr", &settings.fixed_cidr)?;
    bridge.fixed_cidr_v6 = parse("fixed-cidr-v6", &settings.fixed_cidr_v6)?;
    bridge.default_gateway = settings.default_gateway;
    bridge.default_gateway_v6 = settings.default_gateway_v6;
    bridge.mtu = u32::try_from(settings.mtu).unwrap_or(0);
    bridge.icc = settings.icc.unwrap_or(true);
    bridge.masquerade = settings.ip_masq.unwrap_or(true);
    Ok(bridge)
}

fn pool(pool: &crate::config::Pool) -> Result<AddressPool> {
    let base = pool
        .base
        .parse()
        .with_context(|| format!("default-address-pools: {:?} is no network", pool.base))?;
    Ok(AddressPool {
        base,
        size: pool.size,
    })
}

fn parse<T: std::str::FromStr>(key: &str, text: &str) -> Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .with_context(|| format!("invalid value for {key:?}: {text:?}"))
}

/// What the containers are told.
pub(crate) fn containers(
    settings: &Settings,
    tag: &InstanceTag,
    runtime: &Path,
) -> Result<containers::Settings> {
    // One parent for each instance, so that a sweep never meets another daemon's groups.
    let parent = match settings.cgroup_parent.as_str() {
        "" if settings.systemd_cgroups() => String::new(),
        "" => format!("dhow-{}", tag.as_str()),
        parent => parent.to_owned(),
    };
    let mut out = containers::Settings::new(
        settings.data_root.clone(),
        settings.exec_root.clone(),
        runtime.to_owned(),
        &parent,
    );
    out.systemd_cgroups = settings.systemd_cgroups();
    out.default_ulimits = settings.default_ulimits.values().cloned().collect();
    out.default_shm_size = settings.shm_size()?;
    out.default_cgroupns_mode
        .clone_from(&settings.default_cgroupns_mode);
    out.default_ipc_mode.clone_from(&settings.default_ipc_mode);
    out.init = settings.init;
    out.no_new_privileges = settings.no_new_privileges;
    out.seccomp_profile = seccomp(&settings.seccomp_profile)?;
    out.runtimes = runtimes(settings);
    out.default_runtime.clone_from(&settings.default_runtime);
    out.log_driver.clone_from(&settings.log_driver);
    out.log_options.clone_from(&settings.log_opts);
    if let Some(seconds) = settings.default_stop_timeout {
        out.stop_timeout = seconds;
    }
    Ok(out)
}

/// The runtimes that are programs of their own.
pub(crate) fn runtimes(settings: &Settings) -> BTreeMap<String, Runtime> {
    let runtime = |program: &RuntimeProgram| Runtime {
        path: program.path.clone(),
        runtime_args: (!program.runtime_args.is_empty()).then(|| program.runtime_args.clone()),
        ..Runtime::default()
    };
    let named = settings.runtimes.iter();
    named
        .map(|(name, program)| (name.clone(), runtime(program)))
        .collect()
}

fn seccomp(profile: &str) -> Result<Option<String>> {
    match profile {
        "" | "builtin" => Ok(None),
        "unconfined" => Ok(Some("unconfined".to_owned())),
        path => {
            let text = std::fs::read_to_string(Path::new(path))
                .with_context(|| format!("opening seccomp profile ({path}) failed"))?;
            Ok(Some(text))
        }
    }
}
