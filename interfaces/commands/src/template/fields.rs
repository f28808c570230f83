//! Fields that Go's structs have and JSON leaves out.
//!
//! Docker's `inspect` first tries the template on Go structs, where every field exists; only then on the JSON itself,
//! where an unknown key is an error. Here there is JSON alone, so this table says what a missing key stood for.

use super::Value;

/// Maps of free keys: a key that is not there prints as `<no value>`.
const MAPS: &[&str] = &[
    "Labels",
    "Ports",
    "Networks",
    "Options",
    "Opts",
    "DriverOpts",
    "Sysctls",
    "Annotations",
    "StorageOpt",
    "Tmpfs",
    "PortBindings",
    "ExposedPorts",
    "Volumes",
    "Containers",
    "Data",
    "Status",
    "AuxiliaryAddresses",
    "Attributes",
];

/// Texts that are left out when empty.
const TEXTS: &[&str] = &[
    "MacAddress",
    "StopSignal",
    "Runtime",
    "Message",
    "GwPriority",
    "Comment",
    "Container",
    "Variant",
    "OsVersion",
];

/// Everything else that is left out when it is nothing.
const NOTHING: &[&str] = &[
    "Health",
    "Healthcheck",
    "StopTimeout",
    "Shell",
    "OnBuild",
    "ExposedPorts",
    "Mounts",
    "Annotations",
    "Sysctls",
    "Tmpfs",
    "StorageOpt",
    "Init",
    "SizeRw",
    "SizeRootFs",
    "Labels",
    "Volumes",
    "ImageManifestDescriptor",
    "Descriptor",
    "GraphDriver",
    "UsageData",
    "ClusterVolume",
    "Peers",
    "Services",
    "KernelMemory",
    "KernelMemoryTCP",
    "ContainerConfig",
    "Manifests",
    "Status",
];

/// What `parent.name` is in Go when JSON does not have it; `None` if there is no such field.
pub(super) fn left_out(parent: &str, name: &str) -> Option<Value> {
    if TEXTS.contains(&name) {
        Some(Value::from(""))
    } else if name == "VirtualSize" {
        Some(Value::from(0_i64))
    } else if name == "NetworkDisabled" || name == "ArgsEscaped" {
        Some(Value::Bool(false))
    } else if NOTHING.contains(&name) || MAPS.contains(&parent) {
        Some(Value::Nil)
    } else {
        None
    }
}

/// Lists that are null when there is nothing in them.
const LISTS: &[&str] = &[
    "Aliases",
    "Args",
    "Binds",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "Manifests",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];

/// Pointers.
const POINTERS: &[&str] = &[
    "Health",
    "Healthcheck",
    "IPAMConfig",
    "Init",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
    "StopTimeout",
];

/// What a null at the end of this chain of names prints as.
pub(super) fn null(names: &[String]) -> &'static str {
    let (name, parent) = match names {
        [.., parent, name] => (name.as_str(), parent.as_str()),
        [name] => (name.as_str(), ""),
        [] => return "<no value>",
    };
    if MAPS.contains(&parent) {
        "<no value>"
    } else if LISTS.contains(&name) {
        "[]"
    } else if MAPS.contains(&name) {
        "map[]"
    } else if POINTERS.contains(&name) {
        "<nil>"
    } else {
        "<no value>"
    }
}
