//! What replies look like in older versions of the API, field by field (`CHANGELOG.md` of the API names them).
//!
//! The services fill in everything that any version shows; here it is taken away again, or put into the old shape.

use api_types::ApiVersion;
use api_types::container::{GraphDriver, Inspect, Summary, UpdateRequest};
use api_types::image;
use api_types::network::EndpointSettings;
use api_types::system::{BuildCache, Info};
use serde_json::{Map, Value, json};

/// Fields of `NetworkSettings` that describe the default bridge: gone since 1.52.
const BRIDGE_FIELDS: [&str; 14] = [
    "Bridge",
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "HairpinMode",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "LinkLocalIPv6Address",
    "LinkLocalIPv6PrefixLen",
    "MacAddress",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
];

/// The state of a container that is being removed, and what was said of it before 1.25.
const REMOVING: &str = "removing";
const EXITED: &str = "exited";

fn endpoint(version: ApiVersion, short_id: &str, endpoint: &mut EndpointSettings) {
    if version.before(45) && !short_id.is_empty() {
        // The short id counted as an alias then.
        let aliases = endpoint.aliases.get_or_insert_default();
        if !aliases.iter().any(|a| a == short_id) {
            aliases.push(short_id.to_owned());
        }
    }
    if version.before(44) {
        endpoint.dns_names = None;
    }
    if version.before(48) {
        endpoint.gw_priority = None;
    } else {
        endpoint.gw_priority.get_or_insert_default();
    }
}

fn is_user_defined(network: &str) -> bool {
    !matches!(network, "bridge" | "host" | "none")
}

/// `GET /containers/{id}/json`.
pub(crate) fn container_inspect(version: ApiVersion, mut found: Inspect) -> Value {
    let short_id: String = found.id.chars().take(12).collect();
    for (name, settings) in &mut found.network_settings.networks {
        endpoint(
            version,
            if is_user_defined(name) { &short_id } else { "" },
            settings,
        );
    }
    if version.before(48) {
        found.image_manifest_descriptor = None;
    }
    if version.before(52) {
        found.storage = None;
        // Old clients read its name.
        let driver = GraphDriver {
            name: found.driver.clone(),
            data: None,
        };
        found.graph_driver.get_or_insert(driver);
    } else {
        found.graph_driver = None;
    }
    if version.before(44) {
        found
            .config
            .mac_address
            .clone_from(&found.network_settings.mac_address);
    }
    if version.before(43) {
        found.host_config.annotations = None;
    }
    if version.before(25) && found.state.status == REMOVING {
        EXITED.clone_into(&mut found.state.status);
    }
    let mut value = to_value(&found);
    if version.before(42)
        && let Some(host) = member(&mut value, "HostConfig")
    {
        host.entry("KernelMemory").or_insert(json!(0));
        if version.at_least(40) {
            host.entry("KernelMemoryTCP").or_insert(json!(0));
        }
    }
    if version.at_least(52) {
        if let Some(settings) = member(&mut value, "NetworkSettings") {
            settings.retain(|name, _| !BRIDGE_FIELDS.contains(&name.as_str()));
        }
        if let Some(host) = member(&mut value, "HostConfig") {
            host.remove("KernelMemoryTCP");
        }
        if let Some(config) = member(&mut value, "Config") {
            omit_empty(config, &["OnBuild"]);
        }
    }
    value
}

/// One element of `GET /containers/json`.
pub(crate) fn container_summary(version: ApiVersion, summary: &mut Summary) {
    for settings in summary.network_settings.networks.values_mut() {
        endpoint(version, "", settings);
    }
    if version.before(25) && summary.state == REMOVING {
        EXITED.clone_into(&mut summary.state);
    }
    if version.before(46) {
        summary.host_config.annotations = None;
    }
    if version.before(48) {
        summary.image_manifest_descriptor = None;
    }
    if version.before(52) {
        summary.health = None;
    }
}

/// `POST /containers/{id}/update`: what came later is ignored.
pub(crate) fn update_request(version: ApiVersion, request: &mut UpdateRequest) {
    if version.before(28) {
        request.nano_cpus = 0;
    }
    if version.before(40) {
        request.pids_limit = None;
    }
    if version.at_least(42) {
        request.kernel_memory = 0;
    }
    if version.at_least(52) {
        request.kernel_memory_tcp = 0;
    }
    if version.before(55) {
        request.blkio_weight_device = None;
        request.blkio_device_read_bps = None;
        request.blkio_device_write_bps = None;
        request.blkio_device_read_iops = None;
        request.blkio_device_write_iops = None;
    }
}

/// One element of `GET /images/json`.
pub(crate) fn image_summary(version: ApiVersion, summary: &mut image::Summary) {
    summary.virtual_size = if version.before(44) { summary.size } else { 0 };
    if version.before(43) && summary.repo_tags.is_empty() && summary.repo_digests.is_empty() {
        summary.repo_tags.push("<none>:<none>".to_owned());
        summary.repo_digests.push("<none>@<none>".to_owned());
    }
    if version.before(48) {
        summary.descriptor = None;
    }
    if version.before(51) {
        summary.containers = -1;
    }
}

/// One record of the build cache in `GET /system/df`.
pub(crate) fn build_cache(version: ApiVersion, record: &mut BuildCache) {
    if version.before(42) {
        record.parents = None;
    }
}

/// `GET /images/{name}/json`.
pub(crate) fn image_inspect(version: ApiVersion, mut found: image::Inspect) -> Value {
    found.virtual_size = if version.before(44) { found.size } else { 0 };
    if version.before(44) && found.created.is_empty() {
        found.created = "0001-01-01T00:00:00Z".to_owned();
    }
    if version.before(48) {
        found.descriptor = None;
    }
    if version.at_least(45) {
        (found.container, found.container_config) = (String::new(), None);
    }
    let mut value = to_value(&found);
    let Some(image) = value.as_object_mut() else {
        return value;
    };
    if version.before(45) {
        image.entry("Container").or_insert(json!(""));
        image
            .entry("ContainerConfig")
            .or_insert_with(|| to_value(&api_types::container::Config::default()));
    }
    if found.created.is_empty() {
        image.remove("Created");
    }
    if version.at_least(52) {
        omit_empty(image, &["Parent", "Comment", "DockerVersion", "Author"]);
    }
    if let Some(config) = image.get_mut("Config").and_then(Value::as_object_mut) {
        if version.before(50) {
            image_config_extras(config);
        }
        if version.at_least(52) {
            omit_empty(
                config,
                &[
                    "Cmd",
                    "Entrypoint",
                    "Env",
                    "Labels",
                    "OnBuild",
                    "User",
                    "Volumes",
                    "WorkingDir",
                ],
            );
        }
    }
    value
}

/// Up to 1.49 an image's settings had the members of a container's, always empty.
fn image_config_extras(config: &mut Map<String, Value>) {
    for name in ["Hostname", "Domainname", "Image"] {
        config.insert(name.to_owned(), json!(""));
    }
    for name in [
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
    ] {
        config.insert(name.to_owned(), json!(false));
    }
}

/// `GET /info`.
pub(crate) fn info(version: ApiVersion, mut info: Info) -> Value {
    if version.before(25) {
        // Only the names: `seccomp` for `name=seccomp,profile=builtin`.
        for option in &mut info.security_options {
            let name = option.split(',').next().unwrap_or_default();
            *option = name.strip_prefix("name=").unwrap_or(name).to_owned();
        }
    }
    if version.before(39) {
        for text in [&mut info.kernel_version, &mut info.operating_system] {
            if text.is_empty() {
                *text = "<unknown>".to_owned();
            }
        }
        info.product_license.clear();
    }
    if version.before(41) {
        info.cgroup_version.clear();
        info.default_address_pools = None;
    }
    if version.before(44) {
        info.runtimes.values_mut().for_each(|r| r.status = None);
        info.cdi_spec_dirs = None;
    }
    if version.before(49) {
        info.firewall_backend = None;
        for commit in [
            &mut info.containerd_commit,
            &mut info.runc_commit,
            &mut info.init_commit,
        ] {
            commit.expected.clone_from(&commit.id);
        }
    }
    if version.before(50) {
        (info.bridge_nf_iptables, info.bridge_nf_ip6tables) = (Some(false), Some(false));
    }
    let mut value = to_value(&info);
    if version.at_least(49)
        && let Some(registry) = member(&mut value, "RegistryConfig")
    {
        registry.retain(|name, _| !name.starts_with("AllowNondistributable"));
    }
    if let Some(all) = value.as_object_mut() {
        if version.before(25) {
            all.remove("Isolation");
        }
        if version.before(39) {
            all.remove("Warnings");
        }
        if version.before(40) {
            all.remove("PidsLimit");
        }
        if version.before(42) {
            all.insert("KernelMemory".to_owned(), json!(false));
        }
        if version.at_least(40) && version.before(42) {
            all.insert("KernelMemoryTCP".to_owned(), json!(false));
        }
        if version.at_least(50) {
            all.insert("DiscoveredDevices".to_owned(), json!([]));
        }
    }
    value
}

/// The structs have keys of text only, so that this cannot fail.
fn to_value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn member<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Map<String, Value>> {
    value.get_mut(name)?.as_object_mut()
}

/// Takes those of the members away that are `null`, `""`, `[]` or `{}`.
fn omit_empty(object: &mut Map<String, Value>, names: &[&str]) {
    object.retain(|name, value| {
        let empty = match value {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
            _ => false,
        };
        !(empty && names.contains(&name.as_str()))
    });
}

#[cfg(test)]
mod tests;
