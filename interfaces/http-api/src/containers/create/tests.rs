//! What a create request means in each version.

use api_types::container::{HealthConfig, HostConfig, TmpfsOptions, VolumeOptions};

use super::*;

fn v(minor: u16) -> ApiVersion {
    ApiVersion::new(1, minor)
}

fn request(json: &str) -> CreateRequest {
    CreateRequest::from_slice(json.as_bytes()).unwrap()
}

fn host(minor: u16, change: impl FnOnce(&mut HostConfig)) -> HostConfig {
    let mut request = CreateRequest::default();
    change(&mut request.host_config);
    normalise(v(minor), false, &mut request).unwrap();
    request.host_config
}

fn mount(minor: u16, mount: Mount) -> Result<Mount, String> {
    let mut mount = mount;
    normalise_mount(v(minor), &mut mount)
        .map(|()| mount)
        .map_err(|f| f.message)
}

#[test]
fn defaults_that_changed_are_those_of_the_clients_time() {
    assert_eq!(host(39, |_| ()).ipc_mode, "shareable");
    assert_eq!(host(40, |_| ()).ipc_mode, "");
    assert_eq!(host(40, |_| ()).cgroupns_mode, "host");
    assert_eq!(host(41, |_| ()).cgroupns_mode, "");
    let mut on_v2 = CreateRequest::default();
    normalise(v(40), true, &mut on_v2).unwrap();
    assert_eq!(on_v2.host_config.cgroupns_mode, "");
}

#[test]
fn fields_from_after_the_clients_time_are_ignored() {
    assert!(
        !host(24, |h| h.auto_remove = true).auto_remove && host(25, |h| h.auto_remove = true).auto_remove
    );
    assert_eq!(host(41, |h| h.console_size = [1, 2]).console_size, [0, 0]);
    assert_eq!(host(42, |h| h.console_size = [1, 2]).console_size, [1, 2]);
    let annotations = |h: &mut HostConfig| h.annotations = Some([("a".into(), "b".into())].into());
    assert!(host(42, annotations).annotations.is_none() && host(43, annotations).annotations.is_some());
    assert_eq!(
        (
            host(41, |h| h.kernel_memory = 1).kernel_memory,
            host(42, |h| h.kernel_memory = 1).kernel_memory
        ),
        (1, 0)
    );
    let tcp = |minor| host(minor, |h| h.kernel_memory_tcp = 1).kernel_memory_tcp;
    assert_eq!((tcp(39), tcp(40), tcp(51), tcp(52)), (0, 1, 1, 0));
    let start_interval = |minor| {
        let mut request = CreateRequest::default();
        request.config.healthcheck = Some(HealthConfig {
            start_interval: 5,
            ..HealthConfig::default()
        });
        normalise(v(minor), false, &mut request).unwrap();
        request.config.healthcheck.unwrap().start_interval
    };
    assert_eq!((start_interval(43), start_interval(44)), (0, 5));
}

#[test]
fn no_limit_of_tasks_is_written_as_null() {
    assert_eq!(host(50, |h| h.pids_limit = Some(-1)).pids_limit, None);
    assert_eq!(host(50, |h| h.pids_limit = Some(9)).pids_limit, Some(9));
}

#[test]
fn options_of_another_kind_of_mount_are_refused_since_1_42() {
    let wrong = Mount {
        kind: "bind".into(),
        volume_options: Some(VolumeOptions::default()),
        ..Mount::default()
    };
    assert!(mount(41, wrong.clone()).unwrap().volume_options.is_none());
    assert_eq!(
        mount(42, wrong).unwrap_err(),
        "VolumeOptions must not be specified on mount type \"bind\""
    );
}

#[test]
fn options_of_mounts_came_one_by_one() {
    let bind = Mount {
        kind: "bind".into(),
        read_only: true,
        bind_options: Some(BindOptions {
            non_recursive: true,
            create_mountpoint: true,
            read_only_force_recursive: true,
            ..BindOptions::default()
        }),
        ..Mount::default()
    };
    let options = |minor| mount(minor, bind.clone()).unwrap().bind_options.unwrap();
    assert!(!options(39).non_recursive && options(40).non_recursive);
    assert!(!options(41).create_mountpoint && options(42).create_mountpoint);
    assert!(!options(43).read_only_force_recursive && options(44).read_only_force_recursive);
    assert!(options(43).read_only_non_recursive && !options(44).read_only_non_recursive);
    let volume = Mount {
        kind: "volume".into(),
        volume_options: Some(VolumeOptions {
            subpath: "a".into(),
            ..VolumeOptions::default()
        }),
        ..Mount::default()
    };
    let subpath = |minor| {
        mount(minor, volume.clone())
            .unwrap()
            .volume_options
            .unwrap()
            .subpath
    };
    assert_eq!((subpath(44).as_str(), subpath(45).as_str()), ("", "a"));
    let tmpfs = Mount {
        kind: "tmpfs".into(),
        tmpfs_options: Some(TmpfsOptions {
            options: Some(vec![vec!["noexec".into()]]),
            ..TmpfsOptions::default()
        }),
        ..Mount::default()
    };
    let given = |minor| {
        mount(minor, tmpfs.clone())
            .unwrap()
            .tmpfs_options
            .unwrap()
            .options
            .is_some()
    };
    assert!(!given(45) && given(46));
    let image = Mount {
        kind: "image".into(),
        ..Mount::default()
    };
    assert!(mount(47, image.clone()).is_err() && mount(48, image).is_ok());
}

#[test]
fn several_endpoints_are_allowed_since_1_44_and_priorities_since_1_48() {
    let json = r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{"GwPriority":1},"b":null}}}"#;
    let error = normalise(v(43), false, &mut request(json)).unwrap_err();
    assert_eq!(
        error.message,
        "Container cannot be created with multiple network endpoints: a, b"
    );
    let priority = |minor| {
        let mut request = request(json);
        normalise(v(minor), false, &mut request).unwrap();
        request.networking_config.endpoints_config["a"]
            .as_ref()
            .unwrap()
            .gw_priority
    };
    assert_eq!((priority(47), priority(48)), (None, Some(1)));
}

#[test]
fn the_container_wide_mac_address_moves_to_the_main_endpoint() {
    let run = |minor, json: &str| {
        let mut request = request(json);
        let warnings = normalise(v(minor), false, &mut request).map_err(|f| f.message)?;
        let endpoint = request
            .networking_config
            .endpoints_config
            .into_values()
            .next()
            .flatten();
        Ok::<_, String>((endpoint.map(|e| e.mac_address), warnings.len()))
    };
    let wide = r#"{"MacAddress":"02:00:00:00:00:01","HostConfig":{"NetworkMode":"mine"}}"#;
    assert_eq!(run(43, wide), Ok((Some("02:00:00:00:00:01".into()), 0)));
    assert_eq!(run(44, wide), Ok((Some("02:00:00:00:00:01".into()), 1)));
    assert_eq!(run(52, wide), Ok((None, 0)));
    let clash = r#"{"MacAddress":"02:00:00:00:00:01","NetworkingConfig":{"EndpointsConfig":{"x":{"MacAddress":"02:00:00:00:00:02"}}}}"#;
    assert!(
        run(44, clash)
            .unwrap_err()
            .contains("must match the endpoint-specific")
    );
    let own = r#"{"NetworkingConfig":{"EndpointsConfig":{"x":{"MacAddress":"02:00:00:00:00:02"}}}}"#;
    assert_eq!(run(43, own), Ok((Some(String::new()), 0)));
    assert_eq!(run(44, own), Ok((Some("02:00:00:00:00:02".into()), 0)));
    let host = r#"{"MacAddress":"02:00:00:00:00:01","HostConfig":{"NetworkMode":"host"}}"#;
    assert_eq!(
        run(43, host).unwrap_err(),
        "conflicting options: mac-address and the network mode"
    );
}

#[test]
fn empty_port_bindings_publish_until_1_52_which_warns_and_nothing_since() {
    for json in [
        r#"{"HostConfig":{"PortBindings":{"80/tcp":[]}}}"#,
        r#"{"HostConfig":{"PortBindings":{"80/tcp":null}}}"#,
    ] {
        let heard = |minor| {
            let mut request = request(json);
            let warnings = normalise(v(minor), false, &mut request).unwrap();
            let ports = request.host_config.port_bindings.unwrap();
            (
                warnings.len(),
                ports.get("80/tcp").cloned().flatten().map(|p| p.len()),
            )
        };
        assert_eq!(heard(51), (0, Some(1)));
        assert_eq!(heard(52), (1, Some(1)));
        assert_eq!(heard(53), (0, None));
    }
}

#[test]
fn kernel_parameters_of_the_interface_move_to_the_endpoint_until_1_47() {
    let json = r#"{"HostConfig":{"NetworkMode":"mine","Sysctls":{"net.ipv4.conf.eth0.log_martians":"1","net.core.somaxconn":"9"}}}"#;
    let run = |minor, json: &str| {
        let mut request = request(json);
        let warnings = normalise(v(minor), false, &mut request).map_err(|f| f.message)?;
        let endpoints = request.networking_config.endpoints_config;
        let options = endpoints
            .get("mine")
            .cloned()
            .flatten()
            .and_then(|e| e.driver_opts);
        let own = options.and_then(|mut options| options.remove(ENDPOINT_SYSCTLS));
        Ok::<_, String>((own, request.host_config.sysctls.unwrap().len(), warnings.len()))
    };
    let moved = Some("net.ipv4.conf.IFNAME.log_martians=1".to_owned());
    assert_eq!(run(45, json), Ok((moved.clone(), 1, 0)));
    assert_eq!(run(47, json), Ok((moved, 1, 1)));
    assert!(
        run(48, json)
            .unwrap_err()
            .contains("must be supplied using driver option")
    );
    let other = json.replace("eth0.", "all.");
    assert_eq!(run(47, &other), Ok((None, 2, 0)));
    assert_eq!(run(48, &json.replace("mine", "host")), Ok((None, 2, 0)));
}

#[test]
fn a_volume_driver_that_mounts_ignore_is_warned_of() {
    let warnings = |kind: &str| {
        let json = format!(
            r#"{{"HostConfig":{{"VolumeDriver":"local","Mounts":[{{"Type":"{kind}","Target":"/a"}}]}}}}"#
        );
        normalise(v(50), false, &mut request(&json)).unwrap().len()
    };
    assert_eq!((warnings("volume"), warnings("tmpfs")), (1, 0));
}
