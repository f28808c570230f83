//! Flags and files, together and apart.

use std::io::Write;

use super::*;

/// Parses flags and a file's text together.
fn load_text(file: &str, flags: &[&str]) -> Result<Loaded, String> {
    let mut handle = tempfile::NamedTempFile::new().unwrap();
    handle.write_all(file.as_bytes()).unwrap();
    let path = handle.path().to_str().unwrap().to_owned();
    let arguments: Vec<_> = ["dhowd", "--config-file", &path]
        .iter()
        .chain(flags)
        .map(|s| (*s).to_owned())
        .collect();
    let flags = parse(arguments).map_err(|e| e.to_string())?;
    load(&flags).map_err(|e| e.to_string().replace(&path, "FILE"))
}

#[test]
fn every_key_stands_once_and_in_order() {
    let names = key_names();
    assert_eq!(names.len(), 107);
    assert!(names.is_sorted_by(|a, b| a < b));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = load_text("{}", &[]).unwrap().settings;
    assert_eq!(settings.data_root, PathBuf::from("/var/lib/dhow"));
    assert_eq!(settings.exec_root, PathBuf::from("/run/dhow"));
    assert_eq!(settings.hosts, ["unix:///run/dhow.sock"]);
    assert_eq!(
        (settings.log_driver.as_str(), settings.live_restore),
        ("json-file", None)
    );
    assert_eq!(settings.shm_size().unwrap(), 64 << 20);
}

#[test]
fn a_flag_and_a_line_of_the_file_say_the_same() {
    let file = r#"{"debug":true,"hosts":["unix:///a","tcp://127.0.0.1:1"],"log-opts":{"max-size":"1m"},"mtu":1400,
        "default-ulimits":{"nofile":{"Name":"nofile","Hard":2,"Soft":1}},"default-shm-size":"128M",
        "default-address-pools":[{"base":"10.0.0.0/8","size":24}],"labels":["a=b"],"ip":"127.0.0.1","live-restore":false,"group":"staff"}"#;
    let flags = [
        "-D",
        "-H",
        "unix:///a",
        "--host=tcp://127.0.0.1:1",
        "--log-opt",
        "max-size=1m",
        "--mtu=1400",
        "--default-ulimit",
        "nofile=1:2",
        "--default-shm-size",
        "128m",
        "--default-address-pool",
        "base=10.0.0.0/8,size=24",
        "--label",
        "a=b",
        "--ip",
        "127.0.0.1",
        "--live-restore=false",
        "-G",
        "staff",
    ];
    let (from_file, from_flags) = (
        load_text(file, &[]).unwrap().settings,
        load_text("{}", &flags).unwrap().settings,
    );
    assert_eq!(from_file.shm_size().unwrap(), from_flags.shm_size().unwrap());
    assert_eq!(
        Settings {
            default_shm_size: None,
            ..from_file
        },
        Settings {
            default_shm_size: None,
            ..from_flags
        }
    );
}

#[test]
fn unknown_keys_and_conflicts_are_named() {
    let unknown = load_text(r#"{"debug":true,"colour":"red"}"#, &[]).unwrap_err();
    assert_eq!(
        unknown,
        "unable to configure the dhow daemon with file FILE: the following directives don't match any configuration option: colour"
    );
    let conflict = load_text(
        r#"{"debug":true,"hosts":["unix:///a"]}"#,
        &["-D", "-H", "unix:///b"],
    )
    .unwrap_err();
    assert!(conflict.ends_with(
        "specified both as a flag and in the configuration file: debug: (from flag: true, from file: true), \
         hosts: (from flag: [unix:///b], from file: [unix:///a])"
    ));
}

#[test]
fn what_is_unsafe_to_ignore_stops_the_start_only_if_it_is_set() {
    for file in [
        r#"{"tls":true}"#,
        r#"{"tlscert":"/x"}"#,
        r#"{"userns-remap":"default"}"#,
        r#"{"authorization-plugins":["a"]}"#,
    ] {
        assert!(load_text(file, &[]).unwrap_err().contains("unsafe"), "{file}");
    }
    let off = r#"{"tls":false,"tlsverify":false,"userns-remap":"","authorization-plugins":[],"tlskey":null}"#;
    assert!(load_text(off, &[]).unwrap().warnings.is_empty());
}

#[test]
fn what_is_not_here_yet_or_gone_is_warned_of_by_name() {
    let loaded = load_text(r#"{"metrics-addr":"127.0.0.1:9","cluster-store":"x"}"#, &[]).unwrap();
    assert_eq!(loaded.warnings.len(), 2);
    assert!(
        loaded.warnings[0].contains("\"cluster-store\"") && loaded.warnings[1].contains("\"metrics-addr\"")
    );
}

#[test]
fn a_command_line_of_dockerd_starts_dhowd_with_a_warning_for_what_is_not_here() {
    let unit = [
        "-H",
        "fd://",
        "--containerd=/run/containerd/containerd.sock",
        "--containerd-plugins-namespace",
        "plugins.moby",
        "--userland-proxy=false",
        "--experimental",
        "--tlsverify=false",
        "--feature",
        "containerd-snapshotter=true",
    ];
    let loaded = load_text("{}", &unit).unwrap();
    assert_eq!(loaded.settings.hosts, ["fd://"]);
    let named: Vec<_> = loaded
        .warnings
        .iter()
        .map(|w| w.split('"').nth(1).unwrap())
        .collect();
    assert_eq!(
        named,
        [
            "--containerd",
            "--containerd-plugins-namespace",
            "--experimental",
            "--feature",
            "--userland-proxy"
        ]
    );
    for flags in [
        &["--tlsverify"][..],
        &["--tlscert=/x"],
        &["--authorization-plugin=a"],
        &["--userns-remap=default"],
        &["--selinux-enabled"],
    ] {
        let error = load_text("{}", flags).unwrap_err();
        let name = flags[0].split('=').next().unwrap();
        assert!(error.contains(name) && error.contains("unsafe"), "{error}");
    }
}

#[test]
fn who_makes_cgroups_is_an_option_of_execution() {
    let systemd = ["--exec-opt", "native.cgroupdriver=systemd"];
    assert!(load_text("{}", &systemd).unwrap().settings.systemd_cgroups());
    let file = r#"{"exec-opts":["native.cgroupdriver=systemd"],"cgroup-parent":"my.slice"}"#;
    assert!(load_text(file, &[]).unwrap().settings.systemd_cgroups());
    let cgroupfs = r#"{"exec-opts":["native.cgroupdriver=cgroupfs"],"cgroup-parent":"/a/b"}"#;
    assert!(!load_text(cgroupfs, &[]).unwrap().settings.systemd_cgroups());
    for (file, why) in [
        (r#"{"exec-opts":["native.cgroupdriver=x"]}"#, "invalid exec-opt"),
        (r#"{"exec-opts":["native.umask=normal"]}"#, "invalid exec-opt"),
        (
            r#"{"exec-opts":["native.cgroupdriver=systemd"],"cgroup-parent":"/a/b"}"#,
            "should be a valid slice",
        ),
    ] {
        let error = load_text(file, &[]).unwrap_err();
        assert!(error.contains(why), "{file}: {error}");
    }
}

#[test]
fn every_key_is_known_to_the_loader() {
    for name in key_names() {
        let loaded = load_text(&format!(r#"{{"{name}":null}}"#), &[]);
        assert!(loaded.is_ok(), "{name}: {loaded:?}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused_by_name() {
    for (file, text) in [
        (r#"{"debug":"yes"}"#, "\"debug\""),
        (r#"{"labels":["x"]}"#, "bad attribute format: x"),
        (r#"{"labels":["a=1","a=2"]}"#, "conflict labels"),
        (r#"{"dns":["here"]}"#, "here is not an ip address"),
        (r#"{"mtu":-1}"#, "invalid default MTU: -1"),
        (r#"{"log-level":"loud"}"#, "invalid logging level"),
        (r#"{"default-shm-size":"big"}"#, "invalid default-shm-size"),
        (
            r#"{"default-runtime":"kata"}"#,
            "specified default runtime 'kata' does not exist",
        ),
        (
            r#"{"runtimes":{"dhow-runtime":{"path":"/bin/x"}}}"#,
            "runtime name 'dhow-runtime' is reserved",
        ),
        (
            r#"{"runtimes":{"x":{}}}"#,
            "runtime 'x': a path must be configured",
        ),
        (
            r#"{"runtimes":{"x":{"path":"./x"}}}"#,
            "runtime 'x': path must be absolute",
        ),
        (
            r#"{"runtimes":{"x":{"runtimeType":"io.containerd.kata.v2"}}}"#,
            "runtimeType",
        ),
        (r#"{"min-api-version":"1.12"}"#, "min-api-version"),
        (r#"{"ip":"localhost"}"#, "\"ip\""),
        ("[]", "FILE"),
        ("{", "FILE"),
    ] {
        let error = load_text(file, &[]).unwrap_err();
        assert!(error.contains(text), "{file}: {error}");
    }
}

#[test]
fn runtimes_come_from_the_file_or_from_flags() {
    let file =
        r#"{"default-runtime":"own","runtimes":{"own":{"path":"/opt/own","runtimeArgs":["--debug"]}}}"#;
    let own = load_text(file, &[]).unwrap().settings;
    assert_eq!(own.default_runtime, "own");
    assert_eq!(own.runtimes["own"].runtime_args, ["--debug"]);
    let flags = ["--add-runtime", "own=/opt/own", "--add-runtime", "other=other"];
    let both = load_text("", &flags).unwrap().settings;
    assert_eq!(both.runtimes["own"].path, "/opt/own");
    assert_eq!(both.runtimes["other"].path, "other");
    assert!(load_text("", &["--add-runtime", "own"]).is_err());
    assert!(
        load_text(file, &["--add-runtime", "x=/x"])
            .unwrap_err()
            .contains("runtimes")
    );
}

#[test]
fn an_empty_file_and_an_absent_default_one_are_no_settings() {
    assert!(load_text("\u{feff} \n", &[]).is_ok());
    assert!(read(Path::new("/nowhere/daemon.json"), false).unwrap().is_empty());
    assert!(
        read(Path::new("/nowhere/daemon.json"), true)
            .unwrap_err()
            .to_string()
            .contains("/nowhere/daemon.json")
    );
}

#[test]
fn flags_are_checked_too() {
    for flags in [
        ["--default-ulimit", "x"],
        ["--default-address-pool", "base=x"],
        ["--log-opt", "x"],
        ["--mtu", "x"],
    ] {
        assert!(load_text("{}", &flags).is_err(), "{flags:?}");
    }
    assert!(
        load_text("{}", &["--userns-remap", "default"])
            .unwrap_err()
            .contains("--userns-remap")
    );
}
