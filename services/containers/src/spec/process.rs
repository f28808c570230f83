//! The process: arguments, environment, directory, capabilities, limits.

use oci::runtime::{Capabilities, ConsoleSize, Process, Rlimit};
use security::capabilities::{CapabilitySet, for_container};

use api_types::container::Ulimit;

use super::{AppArmor, Inputs, SeccompChoice, SecurityOptions};
use crate::Error;
use crate::record::Record;
use crate::settings::Settings;

/// What a process finds when nobody sets `PATH`.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The resources whose limits can be set, setrlimit(2).
const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub(super) fn build(inputs: &Inputs<'_>) -> Result<Process, Error> {
    let record = inputs.record;
    let [rows, columns] = record.host_config.console_size;
    let cwd = record.config.working_dir.as_str();
    Ok(Process {
        terminal: record.config.tty,
        console_size: (record.config.tty && rows > 0 && columns > 0).then(|| ConsoleSize {
            height: rows.into(),
            width: columns.into(),
        }),
        args: record.args.clone(),
        env: environment(record, inputs.settings, inputs.linked),
        cwd: if cwd.is_empty() { "/".into() } else { cwd.into() },
        ..frame(record, inputs.settings, inputs.apparmor)?
    })
}

/// What the container's process and its execs have in common: capabilities, limits, confinement.
///
/// # Errors
/// Options that make no sense.
pub(crate) fn frame(record: &Record, settings: &Settings, apparmor: AppArmor) -> Result<Process, Error> {
    let host = &record.host_config;
    let options = SecurityOptions::parse(host.security_opt.as_deref().unwrap_or_default())?;
    Ok(Process {
        capabilities: Some(sets(capabilities(record)?)),
        rlimits: rlimits(host.ulimits.as_deref().unwrap_or_default(), settings)?,
        no_new_privileges: options.no_new_privileges.unwrap_or(settings.no_new_privileges),
        apparmor_profile: profile(&options, apparmor, host.privileged)?,
        oom_score_adj: Some(i32::try_from(host.oom_score_adj).unwrap_or(0)),
        selinux_label: options.selinux_label(),
        ..Process::default()
    })
}

/// The AppArmor profile of a container, which is there afterwards if it is the default one.
///
/// # Errors
/// Options that make no sense, a profile that cannot be loaded.
pub(crate) fn apparmor_profile(record: &Record, apparmor: AppArmor) -> Result<String, Error> {
    let host = &record.host_config;
    let options = SecurityOptions::parse(host.security_opt.as_deref().unwrap_or_default())?;
    profile(&options, apparmor, host.privileged)
}

fn profile(options: &SecurityOptions, apparmor: AppArmor, privileged: bool) -> Result<String, Error> {
    let profile = options.apparmor_profile(apparmor, privileged);
    // A reload of all policies (an upgrade of some package) takes away what no file of the host names.
    if profile == security::apparmor::DEFAULT_PROFILE {
        security::apparmor::load_default().map_err(Error::part)?;
    }
    Ok(profile)
}

/// The capabilities of a container.
///
/// # Errors
/// An unknown name in `--cap-add` or `--cap-drop`.
pub(crate) fn capabilities(record: &Record) -> Result<CapabilitySet, Error> {
    let host = &record.host_config;
    for_container(
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
        host.privileged,
    )
    .map_err(Error::part)
}

/// The sets of a process that starts as root; the monitor empties the effective and the permitted one for
/// any other user, as an execve(2) would.
fn sets(capable: CapabilitySet) -> Capabilities {
    let names: Vec<String> = capable.names().into_iter().map(str::to_owned).collect();
    Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

/// What decides the system-call filter of a container, and of its execs.
///
/// # Errors
/// An option that is not known.
pub(crate) fn seccomp_choice(record: &Record, settings: &Settings) -> Result<SeccompChoice, Error> {
    let options = SecurityOptions::parse(record.host_config.security_opt.as_deref().unwrap_or_default())?;
    super::security::choice(record, settings, &options)
}

/// Docker's environment, in its order: the defaults, what links tell, then what image and user set, the later value in
/// the earlier one's place.
pub(crate) fn environment(record: &Record, settings: &Settings, linked: &[String]) -> Vec<String> {
    let mut environment = vec![
        DEFAULT_PATH.to_owned(),
        format!("HOSTNAME={}", record.config.hostname),
    ];
    if record.config.tty {
        environment.push("TERM=xterm".into());
    }
    environment.extend(settings.proxy_environment.iter().cloned());
    environment.extend(linked.iter().cloned());
    for entry in record.config.env.iter().flatten() {
        match entry.split_once('=') {
            Some((name, _)) => set(&mut environment, name, entry),
            // A name alone takes a variable away.
            None => environment.retain(|old| old.split('=').next() != Some(entry)),
        }
    }
    environment
}

/// Sets `entry` (`NAME=value`) in place of an older value, or appends it.
pub(crate) fn set(environment: &mut Vec<String>, name: &str, entry: &str) {
    match environment
        .iter_mut()
        .find(|old| old.split_once('=').is_some_and(|(have, _)| have == name))
    {
        Some(old) => *old = entry.to_owned(),
        None => environment.push(entry.to_owned()),
    }
}

fn rlimits(own: &[Ulimit], settings: &Settings) -> Result<Vec<Rlimit>, Error> {
    let defaults = settings
        .default_ulimits
        .iter()
        .filter(|limit| own.iter().all(|mine| mine.name != limit.name));
    own.iter().chain(defaults).map(rlimit).collect()
}

fn rlimit(limit: &Ulimit) -> Result<Rlimit, Error> {
    if !LIMITS.contains(&limit.name.as_str()) {
        return Err(Error::Invalid(format!("invalid ulimit type: {}", limit.name)));
    }
    let in_order = limit.hard == -1 || (limit.soft != -1 && limit.soft <= limit.hard);
    if !in_order {
        return Err(Error::Invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {} > {}",
            limit.soft, limit.hard
        )));
    }
    // -1 is «unlimited», which the kernel writes as all ones.
    let bytes = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    Ok(Rlimit {
        kind: format!("RLIMIT_{}", limit.name.to_uppercase()),
        hard: bytes(limit.hard),
        soft: bytes(limit.soft),
    })
}
