use super::*;
use crate::container::run::COMMAND;
use crate::flags;

fn body(words: &str) -> Result<serde_json::Value, String> {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let parsed = flags::parse(COMMAND.flags, &words, true)?;
    request(&parsed).map(|r| serde_json::to_value(r).unwrap())
}

/// Flags, the place in the body that they change, and what then stands there.
fn check(cases: &[(&str, &str, serde_json::Value)]) {
    for (words, pointer, expect) in cases {
        let body = body(&format!("{words} img cmd arg")).unwrap();
        assert_eq!(body.pointer(pointer), Some(expect), "{words}");
        assert_eq!(body["Image"], "img", "{words}");
        assert_eq!(body["Cmd"], serde_json::json!(["cmd", "arg"]), "{words}");
    }
}

#[test]
fn flags_reach_their_place_in_the_body() {
    use serde_json::json;
    check(&[
        ("-it", "/OpenStdin", json!(true)),
        ("-it", "/StdinOnce", json!(true)),
        ("-d -i", "/AttachStdin", json!(false)),
        ("-d", "/AttachStdout", json!(false)),
        ("-a stderr", "/AttachStdout", json!(false)),
        ("-e A=b -e C=", "/Env", json!(["A=b", "C="])),
        ("-w /x -u me:you -h box", "/WorkingDir", json!("/x")),
        ("--entrypoint sh", "/Entrypoint", json!(["sh"])),
        ("-l a=b --label c", "/Labels", json!({"a":"b","c":""})),
        (
            "-v /a:/b:ro -v vol:/c -v /anon",
            "/HostConfig/Binds",
            json!(["/a:/b:ro", "vol:/c"]),
        ),
        ("-v /anon/", "/Volumes", json!({"/anon":{}})),
        ("--tmpfs /t:size=1m", "/HostConfig/Tmpfs", json!({"/t":"size=1m"})),
        (
            "-p 8080:80 -p 127.0.0.1:53:53/udp",
            "/HostConfig/PortBindings",
            json!({"80/tcp":[{"HostIp":"","HostPort":"8080"}],"53/udp":[{"HostIp":"127.0.0.1","HostPort":"53"}]}),
        ),
        (
            "-p 9000-9001:80-81",
            "/ExposedPorts",
            json!({"80/tcp":{},"81/tcp":{}}),
        ),
        (
            "-p [::1]:1:2",
            "/HostConfig/PortBindings/2~1tcp/0/HostIp",
            json!("::1"),
        ),
        (
            "-p 8000-8010:80",
            "/HostConfig/PortBindings/80~1tcp/0/HostPort",
            json!("8000-8010"),
        ),
        (
            "--expose 5-6/udp",
            "/ExposedPorts",
            json!({"5/udp":{},"6/udp":{}}),
        ),
        ("-m 64m --memory-swap -1", "/HostConfig/MemorySwap", json!(-1)),
        ("--cpus 1.5", "/HostConfig/NanoCpus", json!(1_500_000_000_i64)),
        (
            "--ulimit nofile=1:2",
            "/HostConfig/Ulimits",
            json!([{"Name":"nofile","Soft":1,"Hard":2}]),
        ),
        ("--pids-limit 9", "/HostConfig/PidsLimit", json!(9)),
        (
            "--cap-add NET_ADMIN --cap-drop ALL",
            "/HostConfig/CapDrop",
            json!(["ALL"]),
        ),
        (
            "--security-opt no-new-privileges",
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges"]),
        ),
        (
            "--security-opt systempaths=unconfined",
            "/HostConfig/MaskedPaths",
            json!([]),
        ),
        (
            "--restart on-failure:3",
            "/HostConfig/RestartPolicy",
            json!({"Name":"on-failure","MaximumRetryCount":3}),
        ),
        ("--network none", "/HostConfig/NetworkMode", json!("none")),
        (
            "--net mine --ip 10.0.0.9 --network-alias db",
            "/NetworkingConfig/EndpointsConfig/mine/Aliases",
            json!(["db"]),
        ),
        (
            "--add-host a:1.2.3.4 --add-host b=[::1]",
            "/HostConfig/ExtraHosts",
            json!(["a:1.2.3.4", "b:::1"]),
        ),
        (
            "--device /dev/null:/dev/x:r",
            "/HostConfig/Devices",
            json!([{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"r"}]),
        ),
        (
            "--device-read-bps /dev/sda:1mb",
            "/HostConfig/BlkioDeviceReadBps",
            json!([{"Path":"/dev/sda","Rate":1_048_576}]),
        ),
        (
            "--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rslave",
            "/HostConfig/Mounts",
            json!([{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}]),
        ),
        (
            "--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777",
            "/HostConfig/Mounts/0/TmpfsOptions",
            json!({"SizeBytes":1_048_576,"Mode":0o1777}),
        ),
        (
            "--mount src=v,dst=/d,volume-opt=a=b,volume-driver=x",
            "/HostConfig/Mounts/0/VolumeOptions/DriverConfig",
            json!({"Name":"x","Options":{"a":"b"}}),
        ),
        (
            "--health-cmd true --health-interval 5s",
            "/Healthcheck",
            json!({"Test":["CMD-SHELL","true"],"Interval":5_000_000_000_i64}),
        ),
        ("--no-healthcheck", "/Healthcheck", json!({"Test":["NONE"]})),
        (
            "--log-driver json-file --log-opt max-size=1m",
            "/HostConfig/LogConfig",
            json!({"Type":"json-file","Config":{"max-size":"1m"}}),
        ),
        ("--stop-signal SIGUSR1 --stop-timeout 3", "/StopTimeout", json!(3)),
        ("--init", "/HostConfig/Init", json!(true)),
        (
            "--shm-size 1g --sysctl net.a=1",
            "/HostConfig/Sysctls",
            json!({"net.a":"1"}),
        ),
        ("--gpus all", "/HostConfig/DeviceRequests/0/Count", json!(-1)),
    ]);
}

#[test]
fn what_makes_no_sense_is_refused_with_dockers_words() {
    for (words, message) in [
        (
            "--rm --restart always",
            "conflicting options: cannot specify both --restart and --rm",
        ),
        (
            "--memory-swappiness 200",
            "invalid value: 200. Valid memory swappiness range is 0-100",
        ),
        ("-v a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        ("-v /", "invalid volume: path can't be '/'"),
        ("-p x:80", "invalid hostPort: x"),
        ("-p 99999", "invalid containerPort: 99999"),
        (
            "-p 1-2:3-5",
            "invalid ranges specified for container and host Ports: 3-5 and 1-2",
        ),
        (
            "--mount type=bind,foo=bar,dst=/x",
            "invalid argument \"type=bind,foo=bar,dst=/x\" for \"--mount\" flag: unknown option 'foo' in 'foo=bar'",
        ),
        (
            "--mount type=bind",
            "invalid argument \"type=bind\" for \"--mount\" flag: target is required",
        ),
        (
            "--network a --network bridge",
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        (
            "--ulimit foo=1",
            "invalid argument \"foo=1\" for \"--ulimit\" flag: invalid ulimit type: foo",
        ),
        ("--pid x", "--pid: invalid PID mode"),
        ("--uts x", "--uts: invalid UTS mode"),
        (
            "--use-api-socket",
            "flag --use-api-socket is not available in this version of dhow",
        ),
        (
            "--no-healthcheck --health-cmd x",
            "--no-healthcheck conflicts with --health-* options",
        ),
    ] {
        assert_eq!(body(&format!("{words} img")).unwrap_err(), message, "{words}");
    }
}
