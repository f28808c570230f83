//! What `inspect` and `ps` show of a container.

use std::collections::BTreeMap;

use api_types::container::{
    GraphDriver, Inspect, MountPoint, NetworkSettings, Port, PortBinding, PortMap, State, Summary,
    SummaryHealth, SummaryHostConfig, SummaryNetworkSettings,
};
use api_types::network::EndpointSettings;
use images::ContainerSize;
use linux::mount::recipe::Recipe;
use log_drivers::Timestamp;
use networks::{Endpoint, Protocol};
use volumes::Source;

use crate::cell::View;
use crate::health::Health;
use crate::house::House;
use crate::links;
use crate::machine::Phase;
use crate::record::{MountSpec, NetworkMode, Record};
use crate::spec::SecurityOptions;

/// Go's zero time, which docker shows where nothing has happened yet.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| at.to_string())
}

/// `GET /containers/{id}/json`.
pub(crate) fn inspect(house: &House, view: &View, size: Option<ContainerSize>) -> Inspect {
    let record = &*view.record;
    let data = house.data_dir(&record.id);
    let file = |name: &str| data.join(name).to_string_lossy().into_owned();
    let log = crate::launch::log_config(house, record)
        .map(|config| config.path)
        .unwrap_or_default();
    let bytes = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let options = SecurityOptions::parse(record.host_config.security_opt.as_deref().unwrap_or_default());
    let execs = house.execs.of_container(&record.id);
    Inspect {
        id: record.id.clone(),
        created: record.created.to_string(),
        path: record.args.first().cloned().unwrap_or_default(),
        args: record.args.get(1..).unwrap_or_default().to_vec(),
        state: state(view),
        image: record.image_id.clone(),
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: log.to_string_lossy().into_owned(),
        name: format!("/{}", record.name),
        restart_count: record.restart_count.into(),
        driver: record.storage_driver.clone(),
        platform: record.platform.clone(),
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: options
            .map(|options| options.apparmor_profile(house.apparmor, record.host_config.privileged))
            .unwrap_or_default(),
        exec_ids: (!execs.is_empty()).then_some(execs),
        host_config: api_types::container::HostConfig {
            links: links::shown(house, record),
            ..record.host_config.clone()
        },
        graph_driver: Some(graph_driver(house, record)),
        storage: None,
        size_rw: size.map(|size| bytes(size.writable)),
        size_root_fs: size.map(|size| bytes(size.total)),
        mounts: mounts(house, record),
        config: record.config.clone(),
        network_settings: network_settings(house, record),
        image_manifest_descriptor: None,
    }
}

/// Where the layers are, in the words of docker's overlay2. Nothing is mounted on the host: the merged tree is seen
/// through the process while there is one.
fn graph_driver(house: &House, record: &Record) -> GraphDriver {
    let shown = |path: &std::path::Path| path.display().to_string();
    let data = match house.parts.images.container_recipe(&record.id) {
        Ok(Recipe::Overlay {
            lowers, upper, work, ..
        }) => {
            let lowers: Vec<String> = lowers.iter().map(|path| shown(path)).collect();
            let mut data = BTreeMap::from([("LowerDir".to_owned(), lowers.join(":"))]);
            data.extend(upper.map(|path| ("UpperDir".to_owned(), shown(&path))));
            data.extend(work.map(|path| ("WorkDir".to_owned(), shown(&path))));
            if record.run.running {
                data.insert("MergedDir".into(), format!("/proc/{}/root", record.run.pid));
            }
            Some(data)
        }
        _ => None,
    };
    GraphDriver {
        name: record.storage_driver.clone(),
        data,
    }
}

fn state(view: &View) -> State {
    let run = &view.record.run;
    State {
        status: view.status().to_owned(),
        // Docker's word for a container that will go on.
        running: view.phase.has_process() || view.restarting,
        paused: view.phase == Phase::Paused,
        restarting: view.restarting,
        oom_killed: run.oom_killed,
        dead: view.phase == Phase::Dead,
        pid: run.pid.into(),
        exit_code: run.exit_code.into(),
        error: run.error.clone(),
        started_at: time(run.started),
        finished_at: time(run.finished),
        health: run.health.as_ref().map(Health::shown),
    }
}

fn mounts(house: &House, record: &Record) -> Vec<MountPoint> {
    let shown = |spec: &MountSpec| {
        let path = match spec.kind.as_str() {
            "volume" => house
                .parts
                .volumes
                .source(&spec.name)
                .ok()
                .map(|source| match source {
                    Source::Bind { path, .. } => path.to_string_lossy().into_owned(),
                    Source::FileSystem { device, .. } => device,
                }),
            _ => None,
        };
        spec.shown(path)
    };
    // A tmpfs of `--tmpfs` is in the host configuration; only one of `--mount` is shown here.
    let listed = |spec: &&MountSpec| {
        spec.kind != "tmpfs"
            || !record
                .host_config
                .tmpfs
                .iter()
                .flatten()
                .any(|(path, _)| *path == spec.destination)
    };
    record.mounts.iter().filter(listed).map(shown).collect()
}

fn network_settings(house: &House, record: &Record) -> NetworkSettings {
    let networks = endpoint_settings(house, record);
    let mut settings = NetworkSettings {
        ports: ports(record),
        networks,
        ..NetworkSettings::default()
    };
    if record.run.running {
        settings.sandbox_id.clone_from(&record.id);
        settings.sandbox_key = format!("/proc/{}/ns/net", record.run.pid);
    }
    // The fields of the oldest versions describe the default bridge only.
    if let Some(bridge) = settings.networks.get("bridge").cloned() {
        settings.endpoint_id = bridge.endpoint_id;
        settings.gateway = bridge.gateway;
        settings.ip_address = bridge.ip_address;
        settings.ip_prefix_len = bridge.ip_prefix_len;
        settings.ipv6_gateway = bridge.ipv6_gateway;
        settings.global_ipv6_address = bridge.global_ipv6_address;
        settings.global_ipv6_prefix_len = bridge.global_ipv6_prefix_len;
        settings.mac_address = bridge.mac_address;
    }
    settings
}

/// The networks that a container is in, or will be in when it runs.
fn endpoint_settings(house: &House, record: &Record) -> BTreeMap<String, EndpointSettings> {
    let mut all: BTreeMap<String, EndpointSettings> = record.networks.clone();
    match record.network() {
        NetworkMode::Container(_) => {}
        _ if record.left_first => {}
        NetworkMode::Host => drop(all.entry("host".into()).or_default()),
        NetworkMode::None => drop(all.entry("none".into()).or_default()),
        NetworkMode::Network(name) => drop(all.entry(name.into()).or_default()),
    }
    for endpoint in &record.run.endpoints {
        let by_name = all.contains_key(&endpoint.network_name);
        let key = if by_name || !all.contains_key(&endpoint.network_id) {
            &endpoint.network_name
        } else {
            &endpoint.network_id
        };
        fill(all.entry(key.clone()).or_default(), endpoint);
    }
    // One that has run says which networks it was in.
    for (name, settings) in all.iter_mut().filter(|_| record.run.started.is_some()) {
        if settings.network_id.is_empty()
            && let Ok(network) = house.parts.networks.resolve(name)
        {
            settings.network_id = network.id;
        }
    }
    all
}

fn fill(settings: &mut EndpointSettings, endpoint: &Endpoint) {
    settings.network_id.clone_from(&endpoint.network_id);
    settings.endpoint_id.clone_from(&endpoint.id);
    settings.gateway = endpoint
        .gateway
        .map(|address| address.to_string())
        .unwrap_or_default();
    settings.ipv6_gateway = endpoint
        .gateway6
        .map(|address| address.to_string())
        .unwrap_or_default();
    if let Some(net) = endpoint.ipv4 {
        settings.ip_address = net.addr().to_string();
        settings.ip_prefix_len = net.prefix_len().into();
    }
    if let Some(net) = endpoint.ipv6 {
        settings.global_ipv6_address = net.addr().to_string();
        settings.global_ipv6_prefix_len = net.prefix_len().into();
    }
    settings.mac_address = match endpoint.mac {
        [0, 0, 0, 0, 0, 0] => String::new(),
        [a, b, c, d, e, f] => format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
    };
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// The published ports of a running container, and the exposed ones without a binding.
fn ports(record: &Record) -> PortMap {
    let mut ports = PortMap::new();
    for endpoint in &record.run.endpoints {
        for (port, kind) in &endpoint.exposed {
            ports.entry(format!("{port}/{}", protocol(*kind))).or_default();
        }
        for binding in &endpoint.ports {
            let key = format!("{}/{}", binding.container_port, protocol(binding.protocol));
            ports
                .entry(key)
                .or_default()
                .get_or_insert_default()
                .push(PortBinding {
                    host_ip: binding.host_ip.to_string(),
                    host_port: binding.host_port.to_string(),
                });
        }
    }
    ports
}

/// One row of `ps`; `now` is the moment that «Up 2 minutes» counts from.
pub(crate) fn summary(house: &House, view: &View, size: Option<ContainerSize>, now: Timestamp) -> Summary {
    let record = &*view.record;
    let bytes = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Summary {
        id: record.id.clone(),
        names: vec![format!("/{}", record.name)],
        image: image_name(house, record),
        image_id: record.image_id.clone(),
        command: command(&record.args),
        created: record.created.as_nanos() / 1_000_000_000,
        ports: summary_ports(record),
        size_rw: size.map(|size| bytes(size.writable)).filter(|size| *size != 0),
        size_root_fs: size.map(|size| bytes(size.total)),
        labels: record.config.labels.clone().unwrap_or_default(),
        state: view.status().to_owned(),
        status: status(view, now),
        host_config: SummaryHostConfig {
            network_mode: record.host_config.network_mode.clone(),
            annotations: record.host_config.annotations.clone(),
        },
        network_settings: SummaryNetworkSettings {
            networks: endpoint_settings(house, record),
        },
        mounts: mounts(house, record),
        health: Some(
            record
                .run
                .health
                .as_ref()
                .map_or_else(no_health, |health| SummaryHealth {
                    status: health.status.as_str().into(),
                    failing_streak: health.failing_streak.into(),
                }),
        ),
        image_manifest_descriptor: None,
    }
}

fn no_health() -> SummaryHealth {
    SummaryHealth {
        status: "none".into(),
        failing_streak: 0,
    }
}

/// The image as it was named, or its id when the name means another image by now.
fn image_name(house: &House, record: &Record) -> String {
    let asked = &record.config.image;
    match house.parts.images.resolve(asked) {
        Ok(image) if image.id.to_string() == record.image_id => asked.clone(),
        _ => record.image_id.clone(),
    }
}

/// The command as docker shows it: words with blanks in quotes.
fn command(args: &[String]) -> String {
    let words = args.iter().map(|word| {
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn summary_ports(record: &Record) -> Vec<Port> {
    let mut list = Vec::new();
    for endpoint in &record.run.endpoints {
        for binding in &endpoint.ports {
            list.push(Port {
                ip: binding.host_ip.to_string(),
                private_port: binding.container_port,
                public_port: binding.host_port,
                kind: protocol(binding.protocol).to_owned(),
            });
        }
        for (port, kind) in &endpoint.exposed {
            let published = |binding: &&networks::PortBinding| {
                binding.container_port == *port && binding.protocol == *kind
            };
            if endpoint.ports.iter().find(published).is_none() {
                list.push(Port {
                    private_port: *port,
                    kind: protocol(*kind).to_owned(),
                    ..Port::default()
                });
            }
        }
    }
    list
}

/// `Up 2 minutes`, `Exited (0) 3 hours ago`.
fn status(view: &View, now: Timestamp) -> String {
    let run = &view.record.run;
    let since = |at: Option<Timestamp>| {
        let nanos = now.as_nanos() - at.unwrap_or(now).as_nanos();
        crate::duration::human(u64::try_from(nanos / 1_000_000_000).unwrap_or(0))
    };
    match view.status() {
        "created" => "Created".into(),
        "running" => {
            let health = run.health.as_ref().map_or("", |health| health.status.suffix());
            format!("Up {}{health}", since(run.started))
        }
        "paused" => format!("Up {} (Paused)", since(run.started)),
        "restarting" => format!("Restarting ({}) {} ago", run.exit_code, since(run.finished)),
        "removing" => "Removal In Progress".into(),
        "dead" => "Dead".into(),
        _ => format!("Exited ({}) {} ago", run.exit_code, since(run.finished)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_blanks_are_quoted() {
        let words = ["sh".to_owned(), "-c".to_owned(), "sleep 1".to_owned()];
        assert_eq!(command(&words), "sh -c 'sleep 1'");
    }
}
