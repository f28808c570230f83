//! A container's record as an OCI runtime spec: what Docker's daemon would hand to runc.
//!
//! Pure: everything that must be looked up (paths, namespaces of other containers, the host's devices) comes in
//! as [`Inputs`]; who the user is inside the image is found out later, by the monitor.

mod devices;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod security;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use oci::runtime::{Linux, Root, Spec, VERSION};

use crate::Error;
use crate::filters::Filter;
use crate::mounts::clean;
use crate::record::Record;
use crate::settings::Settings;

/// What the names of the containers' units begin with.
const UNIT_PREFIX: &str = "dhow";

pub(crate) use devices::{Device, all_of_host, mapped};
pub(crate) use mounts::{Generated, Resolved, lasting_mounts};
pub(crate) use namespaces::Joined;
pub(crate) use process::{
    apparmor_profile, capabilities, environment, frame as process_frame, seccomp_choice, set as set_variable,
};
pub(crate) use resources::{limits, memory_nodes, validate};
pub(crate) use security::{AppArmor, SeccompChoice, SecurityOptions};

/// What a spec depends on beside the record.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) record: &'a Record,
    pub(crate) settings: &'a Settings,
    /// The user's mounts with paths on the host.
    pub(crate) mounts: &'a [Resolved],
    /// Files that the engine writes for the container.
    pub(crate) generated: &'a Generated,
    pub(crate) joined: &'a Joined,
    /// Variables that tell of linked containers.
    pub(crate) linked: &'a [String],
    /// The devices that the container gets beyond the default ones.
    pub(crate) devices: &'a [Device],
    /// The system call filter; one that is compiled is not part of the spec.
    pub(crate) filter: &'a Filter,
    /// What AppArmor can do.
    pub(crate) apparmor: AppArmor,
}

/// Builds the spec.
///
/// # Errors
/// [`Error::Invalid`] names the option that makes no sense.
pub(crate) fn build(inputs: &Inputs<'_>) -> Result<Spec, Error> {
    let record = inputs.record;
    let host = &record.host_config;
    let options = SecurityOptions::parse(host.security_opt.as_deref().unwrap_or_default())?;
    let hidden = !host.privileged && !options.systempaths_unconfined;
    let paths = |given: &Option<Vec<String>>, usual: &[&str]| match given {
        Some(paths) => paths.clone(),
        None if hidden => usual.iter().map(|path| (*path).to_owned()).collect(),
        None => Vec::new(),
    };
    let mut sysctl: BTreeMap<String, String> = host.sysctls.clone().unwrap_or_default();
    default_sysctls(record, &mut sysctl);
    let linux = Linux {
        sysctl,
        resources: Some(resources::build(inputs)?),
        cgroups_path: cgroup_path(record, inputs.settings),
        namespaces: namespaces::build(inputs),
        devices: inputs.devices.iter().map(Device::node).collect(),
        seccomp: inputs.filter.description(),
        rootfs_propagation: mounts::root_propagation(inputs.mounts),
        masked_paths: paths(&host.masked_paths, security::MASKED),
        readonly_paths: paths(&host.readonly_paths, security::READONLY),
        ..Linux::default()
    };
    Ok(Spec {
        oci_version: VERSION.into(),
        process: Some(process::build(inputs)?),
        root: Some(Root {
            path: String::new(),
            readonly: host.readonly_rootfs,
        }),
        hostname: if host.uts_mode == "host" {
            String::new()
        } else {
            record.hostname().to_owned()
        },
        domainname: if host.uts_mode == "host" {
            String::new()
        } else {
            record.config.domainname.clone()
        },
        mounts: mounts::build(inputs),
        hooks: None,
        annotations: annotations(inputs),
        linux: Some(linux),
    })
}

fn annotations(inputs: &Inputs<'_>) -> BTreeMap<String, String> {
    let mut all = inputs.record.host_config.annotations.clone().unwrap_or_default();
    if let Some(namespace) = &inputs.joined.shared_memory {
        all.insert(::runtime::SHARED_MEMORY.to_owned(), namespace.clone());
    }
    all
}

/// The cgroup of a container, as [`cgroup_below`] says it.
pub(crate) fn cgroup_path(record: &Record, settings: &Settings) -> String {
    let parent = match record.host_config.cgroup_parent.as_str() {
        "" => settings.cgroup_parent.as_str(),
        own => own,
    };
    cgroup_below(parent, &record.id, settings)
}

/// The cgroup of a container: a path below every hierarchy, or `slice:prefix:name` where systemd makes it.
pub(crate) fn cgroup_below(parent: &str, id: &str, settings: &Settings) -> String {
    if settings.systemd_cgroups {
        return format!("{parent}:{UNIT_PREFIX}:{id}");
    }
    // A parent never leads above the root of a hierarchy, as with docker.
    clean(Path::new(&format!("/{parent}/{id}")))
}

/// Whether a parent is one that systemd can have (`--cgroup-parent`).
#[must_use]
pub fn is_slice(parent: &str) -> bool {
    cgroups::systemd::Scope::parse(&format!("{parent}:{UNIT_PREFIX}:x")).is_ok()
}

/// Docker lets every container with a network namespace of its own open low ports and ping without privilege.
fn default_sysctls(record: &Record, sysctl: &mut BTreeMap<String, String>) {
    let host = &record.host_config;
    if matches!(host.network_mode.as_str(), "host") || host.network_mode.starts_with("container:") {
        return;
    }
    if !host.userns_mode.is_empty() && host.userns_mode != "host" {
        return;
    }
    sysctl
        .entry("net.ipv4.ip_unprivileged_port_start".into())
        .or_insert_with(|| "0".into());
    sysctl
        .entry("net.ipv4.ping_group_range".into())
        .or_insert_with(|| "0 2147483647".into());
}
