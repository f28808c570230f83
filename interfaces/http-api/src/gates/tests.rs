//! A case for every field that depends on the version: the last version without and the first with the change.

use api_types::container::{Config, HostConfig, NetworkSettings, SummaryHealth};
use api_types::descriptor::Descriptor;
use api_types::system::{Commit, FirewallInfo, Runtime};

use super::*;

fn v(minor: u16) -> ApiVersion {
    ApiVersion::new(1, minor)
}

/// Checks whether `path` (with `/`) is in the reply just before `minor` and from then on.
fn check(
    show: &dyn Fn(ApiVersion) -> Value,
    path: &str,
    minor: u16,
    before: Option<Value>,
    since: Option<Value>,
) {
    let pointer = format!("/{path}");
    assert_eq!(
        show(v(minor - 1)).pointer(&pointer),
        before.as_ref(),
        "{path} in 1.{}",
        minor - 1
    );
    assert_eq!(
        show(v(minor)).pointer(&pointer),
        since.as_ref(),
        "{path} in 1.{minor}"
    );
}

fn container() -> Inspect {
    let endpoint = EndpointSettings {
        aliases: Some(vec!["db".into()]),
        dns_names: Some(vec!["web".into(), "0123456789ab".into()]),
        gw_priority: Some(7),
        ..EndpointSettings::default()
    };
    Inspect {
        id: "0123456789abcdef".repeat(4),
        driver: "overlay".into(),
        config: Config {
            on_build: Some(Vec::new()),
            ..Config::default()
        },
        host_config: HostConfig {
            annotations: Some([("a".into(), "b".into())].into()),
            kernel_memory_tcp: 5,
            ..HostConfig::default()
        },
        network_settings: NetworkSettings {
            mac_address: "02:42:ac:11:00:02".into(),
            ip_address: "172.17.0.2".into(),
            networks: [("mine".into(), endpoint.clone()), ("bridge".into(), endpoint)].into(),
            ..NetworkSettings::default()
        },
        image_manifest_descriptor: Some(Descriptor::default()),
        ..Inspect::default()
    }
}

#[test]
fn container_inspect_changes_with_the_version() {
    let show = |version| container_inspect(version, container());
    let mac = json!("02:42:ac:11:00:02");
    let removing = |version| {
        let mut found = container();
        found.state.status = "removing".into();
        container_inspect(version, found)
    };
    check(
        &removing,
        "State/Status",
        25,
        Some(json!("exited")),
        Some(json!("removing")),
    );
    check(&show, "HostConfig/KernelMemory", 42, Some(json!(0)), None);
    check(&show, "HostConfig/Annotations", 43, None, Some(json!({"a": "b"})));
    check(&show, "Config/MacAddress", 44, Some(mac.clone()), None);
    check(
        &show,
        "NetworkSettings/Networks/mine/DNSNames",
        44,
        Some(Value::Null),
        Some(json!(["web", "0123456789ab"])),
    );
    check(
        &show,
        "NetworkSettings/Networks/mine/Aliases",
        45,
        Some(json!(["db", "0123456789ab"])),
        Some(json!(["db"])),
    );
    check(
        &show,
        "NetworkSettings/Networks/bridge/Aliases",
        45,
        Some(json!(["db"])),
        Some(json!(["db"])),
    );
    check(
        &show,
        "NetworkSettings/Networks/mine/GwPriority",
        48,
        None,
        Some(json!(7)),
    );
    assert!(
        show(v(47)).get("ImageManifestDescriptor").is_none()
            && show(v(48)).get("ImageManifestDescriptor").is_some()
    );
    check(&show, "GraphDriver/Name", 52, Some(json!("overlay")), None);
    check(
        &show,
        "NetworkSettings/IPAddress",
        52,
        Some(json!("172.17.0.2")),
        None,
    );
    check(&show, "NetworkSettings/MacAddress", 52, Some(mac), None);
    check(
        &show,
        "NetworkSettings/SecondaryIPAddresses",
        52,
        Some(Value::Null),
        None,
    );
    check(&show, "HostConfig/KernelMemoryTCP", 52, Some(json!(5)), None);
    check(&show, "Config/OnBuild", 52, Some(json!([])), None);
    assert_eq!(show(v(56))["NetworkSettings"].as_object().unwrap().len(), 4);
}

#[test]
fn container_lists_change_with_the_version() {
    let show = |version| {
        let mut summary = Summary {
            state: "removing".into(),
            health: Some(SummaryHealth::default()),
            ..Summary::default()
        };
        summary.host_config.annotations = Some([("a".into(), "b".into())].into());
        summary.image_manifest_descriptor = Some(Descriptor::default());
        summary
            .network_settings
            .networks
            .insert("n".into(), EndpointSettings::default());
        container_summary(version, &mut summary);
        to_value(&summary)
    };
    check(&show, "State", 25, Some(json!("exited")), Some(json!("removing")));
    check(&show, "HostConfig/Annotations", 46, None, Some(json!({"a": "b"})));
    check(
        &show,
        "NetworkSettings/Networks/n/GwPriority",
        48,
        None,
        Some(json!(0)),
    );
    check(&show, "Health", 52, None, Some(json!({})));
    assert!(
        show(v(47)).get("ImageManifestDescriptor").is_none()
            && show(v(48)).get("ImageManifestDescriptor").is_some()
    );
}

#[test]
fn image_lists_change_with_the_version() {
    let show = |version| {
        let mut summary = image::Summary {
            size: 9,
            containers: 2,
            descriptor: Some(Descriptor::default()),
            ..image::Summary::default()
        };
        image_summary(version, &mut summary);
        to_value(&summary)
    };
    check(
        &show,
        "RepoTags",
        43,
        Some(json!(["<none>:<none>"])),
        Some(json!([])),
    );
    check(
        &show,
        "RepoDigests",
        43,
        Some(json!(["<none>@<none>"])),
        Some(json!([])),
    );
    check(&show, "VirtualSize", 44, Some(json!(9)), None);
    assert!(show(v(47)).get("Descriptor").is_none() && show(v(48)).get("Descriptor").is_some());
    check(&show, "Containers", 51, Some(json!(-1)), Some(json!(2)));
}

#[test]
fn image_inspect_changes_with_the_version() {
    let show = |version| {
        image_inspect(
            version,
            image::Inspect {
                size: 9,
                descriptor: Some(Descriptor::default()),
                ..image::Inspect::default()
            },
        )
    };
    check(&show, "VirtualSize", 44, Some(json!(9)), None);
    check(&show, "Created", 44, Some(json!("0001-01-01T00:00:00Z")), None);
    check(&show, "Container", 45, Some(json!("")), None);
    check(&show, "ContainerConfig/Tty", 45, Some(json!(false)), None);
    assert!(show(v(47)).get("Descriptor").is_none() && show(v(48)).get("Descriptor").is_some());
    for name in ["Hostname", "Domainname", "Image"] {
        check(&show, &format!("Config/{name}"), 50, Some(json!("")), None);
    }
    for name in [
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
    ] {
        check(&show, &format!("Config/{name}"), 50, Some(json!(false)), None);
    }
    for name in ["NetworkDisabled", "MacAddress", "StopTimeout", "DockerVersion"] {
        check(&show, &format!("Config/{name}"), 50, None, None);
    }
    for name in [
        "Parent",
        "Comment",
        "DockerVersion",
        "Author",
        "Config/User",
        "Config/WorkingDir",
    ] {
        check(&show, name, 52, Some(json!("")), None);
    }
    for name in ["Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Volumes"] {
        check(&show, &format!("Config/{name}"), 52, Some(Value::Null), None);
    }
}

#[test]
fn info_changes_with_the_version() {
    let show = |version| {
        let runtime = Runtime {
            status: Some([("a".into(), "b".into())].into()),
            ..Runtime::default()
        };
        let full = Info {
            security_options: vec!["name=seccomp,profile=builtin".into(), "name=cgroupns".into()],
            cgroup_version: "2".into(),
            default_address_pools: Some(vec![Default::default()]),
            cdi_spec_dirs: Some(Vec::new()),
            firewall_backend: Some(FirewallInfo::default()),
            runc_commit: Commit {
                id: "x".into(),
                expected: String::new(),
            },
            product_license: "free".into(),
            runtimes: [("r".into(), runtime)].into(),
            ..Info::default()
        };
        info(version, full)
    };
    check(
        &show,
        "SecurityOptions/0",
        25,
        Some(json!("seccomp")),
        Some(json!("name=seccomp,profile=builtin")),
    );
    check(&show, "Isolation", 25, None, Some(json!("")));
    check(&show, "Warnings", 39, None, Some(Value::Null));
    check(
        &show,
        "KernelVersion",
        39,
        Some(json!("<unknown>")),
        Some(json!("")),
    );
    check(&show, "ProductLicense", 39, None, Some(json!("free")));
    check(&show, "PidsLimit", 40, None, Some(json!(false)));
    check(&show, "KernelMemoryTCP", 40, None, Some(json!(false)));
    check(&show, "CgroupVersion", 41, None, Some(json!("2")));
    check(
        &show,
        "DefaultAddressPools",
        41,
        None,
        Some(json!([{"Base": "", "Size": 0}])),
    );
    check(&show, "KernelMemory", 42, Some(json!(false)), None);
    check(&show, "KernelMemoryTCP", 42, Some(json!(false)), None);
    check(&show, "Runtimes/r/status", 44, None, Some(json!({"a": "b"})));
    check(&show, "CDISpecDirs", 44, None, Some(json!([])));
    check(&show, "RuncCommit/Expected", 49, Some(json!("x")), None);
    check(
        &show,
        "RegistryConfig/AllowNondistributableArtifactsCIDRs",
        49,
        Some(Value::Null),
        None,
    );
    check(&show, "FirewallBackend", 49, None, Some(json!({"Driver": ""})));
    check(&show, "BridgeNfIptables", 50, Some(json!(false)), None);
    check(&show, "BridgeNfIp6tables", 50, Some(json!(false)), None);
    for gone in [
        "ClusterStore",
        "ClusterAdvertise",
        "SystemStatus",
        "ExecutionDriver",
    ] {
        check(&show, gone, 25, None, None);
    }
    check(&show, "DiscoveredDevices", 50, None, Some(json!([])));
}

#[test]
fn updates_ignore_what_came_after_the_clients_version() {
    let request = |minor| {
        let mut request = UpdateRequest {
            nano_cpus: 1,
            pids_limit: Some(5),
            kernel_memory: 2,
            kernel_memory_tcp: 3,
            blkio_device_read_bps: Some(Vec::new()),
            ..UpdateRequest::default()
        };
        update_request(v(minor), &mut request);
        request
    };
    assert_eq!((request(27).nano_cpus, request(28).nano_cpus), (0, 1));
    assert_eq!((request(39).pids_limit, request(40).pids_limit), (None, Some(5)));
    assert_eq!((request(41).kernel_memory, request(42).kernel_memory), (2, 0));
    assert_eq!(
        (request(51).kernel_memory_tcp, request(52).kernel_memory_tcp),
        (3, 0)
    );
    assert_eq!(
        (
            request(54).blkio_device_read_bps,
            request(55).blkio_device_read_bps
        ),
        (None, Some(Vec::new()))
    );
}
