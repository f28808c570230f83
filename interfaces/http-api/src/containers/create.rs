//! `POST /containers/create`, and what its body means in each version.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::containers::Containers;
use api_types::ApiVersion;
use api_types::container::{BindOptions, CreateRequest, Mount, PortBinding};
use api_types::network::EndpointSettings;
use hyper::StatusCode;
use serde::de::IgnoredAny;

use crate::call::{Call, invalid_json};
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::reply::{self, Outcome};

/// `POST /containers/create`.
pub(crate) async fn create(containers: Arc<Containers>, daemon: Arc<Daemon>, mut call: Call) -> Outcome {
    let text = call.json_text().await?;
    if says_nothing(&text) {
        return Err(Failure::bad(
            "config cannot be empty in order to create a container",
        ));
    }
    let mut request = CreateRequest::from_slice(&text).map_err(|error| invalid_json(&text, &error))?;
    let warnings = normalise(call.version, daemon.unified_cgroups, &mut request)?;
    let name = call.query.get("name").filter(|n| !n.is_empty());
    let platform = call
        .query
        .get("platform")
        .filter(|p| !p.is_empty() && call.version.at_least(41));
    let mut response = containers.create(name, platform, request).await?;
    response.warnings.extend(warnings);
    reply::json(StatusCode::CREATED, &response)
}

/// Whether a body has nothing of the container's own settings.
fn says_nothing(text: &[u8]) -> bool {
    let object = serde_json::from_slice::<Option<BTreeMap<String, IgnoredAny>>>(text);
    let is_beside = |key: &String| key == "HostConfig" || key == "NetworkingConfig";
    object.is_ok_and(|object| object.iter().flat_map(BTreeMap::keys).all(is_beside))
}

/// Makes of a request what the newest version would have said for it; the result is warnings.
fn normalise(
    version: ApiVersion,
    unified: bool,
    request: &mut CreateRequest,
) -> Result<Vec<String>, Failure> {
    let host = &mut request.host_config;
    if version.before(25) {
        host.auto_remove = false;
    }
    if version.before(40) {
        host.kernel_memory_tcp = 0;
        if host.ipc_mode.is_empty() {
            host.ipc_mode = "shareable".to_owned();
        }
    }
    if version.before(41) && !unified && host.cgroupns_mode.is_empty() {
        host.cgroupns_mode = "host".to_owned();
    }
    if version.before(42) {
        host.console_size = [0, 0];
    } else {
        host.kernel_memory = 0;
    }
    if version.before(43) {
        host.annotations = None;
    }
    if version.at_least(52) {
        host.kernel_memory_tcp = 0;
        request.config.mac_address.clear();
    }
    if version.before(44)
        && let Some(health) = &mut request.config.healthcheck
    {
        health.start_interval = 0;
    }
    if host.pids_limit.is_some_and(|limit| limit <= 0) {
        host.pids_limit = None;
    }
    for mount in host.mounts.iter_mut().flatten() {
        normalise_mount(version, mount)?;
    }
    endpoints(version, request)?;
    let mut warnings = mac_address(version, request)?;
    warnings.extend(interface_sysctls(version, request)?);
    warnings.extend(empty_port_bindings(version, request));
    let host = &request.host_config;
    if !host.volume_driver.is_empty() && host.mounts.iter().flatten().any(|m| m.kind == "volume") {
        warnings.push(
            "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. \
             Use '--mount type=volume,volume-driver=...' instead"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// A port without bindings was published on a port of the host's choice up to 1.52, and is not published since.
fn empty_port_bindings(version: ApiVersion, request: &mut CreateRequest) -> Option<String> {
    let ports = request.host_config.port_bindings.as_mut()?;
    let is_empty = |list: &Option<Vec<_>>| list.as_ref().is_none_or(Vec::is_empty);
    if version.at_least(53) {
        ports.retain(|_, list| !is_empty(list));
        return None;
    }
    let mut found = Vec::new();
    for (port, list) in ports.iter_mut().filter(|(_, list)| is_empty(list)) {
        found.push(port.as_str());
        *list = Some(vec![PortBinding::default()]);
    }
    (version.at_least(52) && !found.is_empty()).then(|| {
        format!(
            "Following container port(s) have an empty list of port-bindings: {}. \
             Starting with API 1.53, such bindings will be discarded.",
            found.join(", ")
        )
    })
}

/// Driver option of an endpoint with the kernel parameters of its interface.
const ENDPOINT_SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// Kernel parameters of `eth0` among the container's: up to 1.47 they move to the endpoint of the main network, whose
/// interface that was; since they have to be given there.
fn interface_sysctls(version: ApiVersion, request: &mut CreateRequest) -> Result<Option<String>, Failure> {
    let host = &mut request.host_config;
    let Some(mode) = main_network(&host.network_mode) else {
        return Ok(None);
    };
    let Some(all) = &mut host.sysctls else {
        return Ok(None);
    };
    let of_interface = |name: &str| {
        let (family, rest) = name.strip_prefix("net.")?.split_once('.')?;
        let (kind, rest) = rest.split_once('.')?;
        let parameter = rest.strip_prefix("eth0.")?;
        Some(format!("net.{family}.{kind}.IFNAME.{parameter}"))
    };
    let mut moved = Vec::new();
    let mut refused = None;
    all.retain(|name, value| match of_interface(name) {
        Some(_) if version.at_least(48) => {
            refused.get_or_insert_with(|| name.clone());
            true
        }
        Some(own) => {
            moved.push(format!("{own}={value}"));
            false
        }
        None => true,
    });
    if let Some(name) = refused {
        return Err(Failure::bad(format!(
            "interface specific sysctl setting {name:?} must be supplied using driver option '{ENDPOINT_SYSCTLS}'"
        )));
    }
    if moved.is_empty() {
        return Ok(None);
    }
    let text = moved.join(",");
    let options = main_endpoint(mode, request).driver_opts.get_or_insert_default();
    let given = options.entry(ENDPOINT_SYSCTLS.to_owned()).or_default();
    *given = match given.as_str() {
        "" => text.clone(),
        // What was said of the endpoint itself comes last, and wins.
        own => format!("{text},{own}"),
    };
    let warning = format!("Migrated sysctl \"{text}\" to DriverOpts{{\"{ENDPOINT_SYSCTLS}\":\"{given}\"}}.");
    Ok(version.at_least(46).then_some(warning))
}

/// The name by which the container's main network is asked for, if it has interfaces of its own.
fn main_network(mode: &str) -> Option<String> {
    match mode {
        "" | "default" => Some("bridge".to_owned()),
        "host" | "none" => None,
        mode if mode.starts_with("container:") => None,
        mode => Some(mode.to_owned()),
    }
}

/// The endpoint of the main network; made if nothing was said of it.
fn main_endpoint(mode: String, request: &mut CreateRequest) -> &mut EndpointSettings {
    let endpoints = &mut request.networking_config.endpoints_config;
    // A client may name the network by its id here and by its name there.
    let key = match endpoints.keys().next() {
        Some(only) if endpoints.len() == 1 => only.clone(),
        _ => mode,
    };
    endpoints
        .entry(key)
        .or_default()
        .get_or_insert_with(EndpointSettings::default)
}

fn normalise_mount(version: ApiVersion, mount: &mut Mount) -> Result<(), Failure> {
    let bind = mount.kind == "bind";
    if version.before(42) {
        // Options of another type of mount were ignored then.
        mount.bind_options.take_if(|_| !bind);
        mount.volume_options.take_if(|_| mount.kind != "volume");
        mount.tmpfs_options.take_if(|_| mount.kind != "tmpfs");
    }
    let given = [
        ("BindOptions", "bind", mount.bind_options.is_some()),
        ("VolumeOptions", "volume", mount.volume_options.is_some()),
        ("TmpfsOptions", "tmpfs", mount.tmpfs_options.is_some()),
        ("ImageOptions", "image", mount.image_options.is_some()),
    ];
    if let Some((name, ..)) = given
        .iter()
        .find(|(_, kind, given)| *given && mount.kind != *kind)
    {
        return Err(Failure::bad(format!(
            "{name} must not be specified on mount type {:?}",
            mount.kind
        )));
    }
    if version.before(48) && mount.kind == "image" {
        return Err(Failure::bad("mount type \"image\" needs API version 1.48"));
    }
    if let Some(options) = &mut mount.bind_options {
        options.non_recursive &= version.at_least(40);
        options.create_mountpoint &= version.at_least(42);
        options.read_only_force_recursive &= version.at_least(44);
    }
    if version.before(44) && bind && mount.read_only {
        // Read-only was not recursive before.
        mount
            .bind_options
            .get_or_insert_with(BindOptions::default)
            .read_only_non_recursive = true;
    }
    if version.before(45)
        && let Some(options) = &mut mount.volume_options
    {
        options.subpath.clear();
    }
    if version.before(46)
        && let Some(options) = &mut mount.tmpfs_options
    {
        options.options = None;
    }
    Ok(())
}

fn endpoints(version: ApiVersion, request: &mut CreateRequest) -> Result<(), Failure> {
    let endpoints = &mut request.networking_config.endpoints_config;
    if version.before(44) && endpoints.len() > 1 {
        let names: Vec<_> = endpoints.keys().map(String::as_str).collect();
        return Err(Failure::bad(format!(
            "Container cannot be created with multiple network endpoints: {}",
            names.join(", ")
        )));
    }
    if version.before(48) {
        endpoints
            .values_mut()
            .flatten()
            .for_each(|e| e.gw_priority = None);
    }
    Ok(())
}

/// Moves the container-wide MAC address to the endpoint of the container's main network.
fn mac_address(version: ApiVersion, request: &mut CreateRequest) -> Result<Vec<String>, Failure> {
    let endpoints = &mut request.networking_config.endpoints_config;
    let wide = std::mem::take(&mut request.config.mac_address);
    if wide.is_empty() {
        if version.before(44) {
            endpoints
                .values_mut()
                .flatten()
                .for_each(|e| e.mac_address.clear());
        }
        return Ok(Vec::new());
    }
    let main = main_network(&request.host_config.network_mode);
    if main.is_none() && version.before(44) {
        return Err(Failure::bad(
            "conflicting options: mac-address and the network mode",
        ));
    }
    if let Some(mode) = main {
        let endpoint = main_endpoint(mode, request);
        if version.at_least(44) && !endpoint.mac_address.is_empty() && endpoint.mac_address != wide {
            return Err(Failure::bad(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
            ));
        }
        endpoint.mac_address = wide;
    }
    let warning = "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
    Ok(if version.at_least(44) {
        vec![warning.to_owned()]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests;
