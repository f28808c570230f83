use super::*;
use api_types::container::{Config, HostConfig, Ulimit};
use log_drivers::Timestamp;
use oci::runtime::NamespaceKind;

pub(crate) fn record() -> Record {
    Record {
        id: "f".repeat(64),
        name: "web".into(),
        created: Timestamp::from_nanos(0),
        image_id: String::new(),
        config: Config {
            hostname: "ffffffffffff".into(),
            ..Config::default()
        },
        host_config: HostConfig {
            network_mode: "bridge".into(),
            ipc_mode: "private".into(),
            shm_size: 64 << 20,
            ..HostConfig::default()
        },
        networks: BTreeMap::new(),
        mounts: Vec::new(),
        layer: None,
        args: vec!["true".into()],
        platform: "linux".into(),
        storage_driver: "overlay".into(),
        run: crate::record::Run::default(),
        restart_count: 0,
        manually_stopped: false,
        dead: false,
        remove_volumes: false,
        left_first: false,
        links: Vec::new(),
    }
}

pub(crate) fn settings() -> Settings {
    Settings::new(
        "/data".into(),
        "/exec".into(),
        "/bin/dhow-runtime".into(),
        "/dhow",
    )
}

fn spec(record: &Record) -> Result<Spec, Error> {
    build(&Inputs {
        record,
        settings: &settings(),
        mounts: &[],
        generated: &Generated::default(),
        joined: &Joined::default(),
        linked: &[],
        devices: &[],
        filter: &crate::filters::Filters::default().of(record, &settings())?,
        apparmor: AppArmor::Off,
    })
}

#[test]
fn a_plain_container_has_namespaces_of_its_own_and_closed_paths() {
    let spec = spec(&record()).expect("valid");
    let linux = spec.linux.expect("linux");
    let kinds: Vec<_> = linux.namespaces.iter().map(|namespace| namespace.kind).collect();
    for kind in [
        NamespaceKind::Mount,
        NamespaceKind::Uts,
        NamespaceKind::Ipc,
        NamespaceKind::Pid,
        NamespaceKind::Network,
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    assert!(linux.masked_paths.contains(&"/proc/kcore".to_owned()));
    assert_eq!(linux.cgroups_path, format!("/dhow/{}", "f".repeat(64)));
    assert_eq!(linux.sysctl["net.ipv4.ip_unprivileged_port_start"], "0");
}

#[test]
fn the_hosts_namespaces_are_shared_when_asked_for() {
    let mut record = record();
    record.host_config.network_mode = "host".into();
    record.host_config.pid_mode = "host".into();
    record.host_config.uts_mode = "host".into();
    let spec = spec(&record).expect("valid");
    let linux = spec.linux.expect("linux");
    for kind in [NamespaceKind::Network, NamespaceKind::Pid, NamespaceKind::Uts] {
        assert!(
            linux.namespaces.iter().all(|namespace| namespace.kind != kind),
            "{kind:?}"
        );
    }
    assert!(spec.hostname.is_empty() && linux.sysctl.is_empty());
}

#[test]
fn the_hosts_ipc_needs_no_mqueue_mounted_on_the_host() {
    let mut record = record();
    record.host_config.ipc_mode = "host".into();
    let spec = spec(&record).expect("valid");
    let queues = spec
        .mounts
        .iter()
        .find(|mount| mount.destination == *"/dev/mqueue")
        .expect("/dev/mqueue");
    assert_eq!(queues.kind, "mqueue");
}

#[test]
fn a_privileged_container_has_nothing_masked_and_all_devices_allowed() {
    let mut record = record();
    record.host_config.privileged = true;
    let linux = spec(&record).expect("valid").linux.expect("linux");
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty() && linux.seccomp.is_none());
    assert!(linux.resources.expect("resources").devices[0].allow);
}

#[test]
fn the_environment_is_dockers_and_the_users_values_win() {
    let mut record = record();
    record.config.tty = true;
    record.config.env = Some(vec![
        "TERM=vt100".into(),
        "A=1".into(),
        "A=2".into(),
        "HOSTNAME".into(),
    ]);
    let env = spec(&record).expect("valid").process.expect("process").env;
    assert_eq!(
        env,
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=vt100",
            "A=2"
        ]
    );
}

#[test]
fn cpus_become_a_quota() {
    let mut record = record();
    record.host_config.nano_cpus = 1_500_000_000;
    let cpu = spec(&record)
        .expect("valid")
        .linux
        .expect("linux")
        .resources
        .expect("resources")
        .cpu;
    let cpu = cpu.expect("cpu");
    assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let check = |change: &dyn Fn(&mut HostConfig), words: &str| {
        let mut host = HostConfig::default();
        change(&mut host);
        let error = validate(&host, 2, "0,2").expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    check(&|host| host.memory = 1000, "Minimum memory limit allowed is 6MB");
    check(
        &|host| host.memory_swap = 1,
        "You should always set the Memory limit",
    );
    check(&|host| host.nano_cpus = 3_000_000_000, "only 2 CPUs available");
    check(
        &|host| host.cpuset_cpus = "0-7".into(),
        "Requested CPUs are not available",
    );
    check(
        &|host| host.cpuset_cpus = "x".into(),
        "Invalid value x for cpuset cpus",
    );
    check(
        &|host| host.cpuset_mems = "0-2".into(),
        "Requested memory nodes are not available - requested 0-2, available: 0,2",
    );
    let host = HostConfig {
        cpuset_mems: "0,2".into(),
        ..HostConfig::default()
    };
    assert!(validate(&host, 2, "0,2").is_ok());
    check(&|host| host.oom_score_adj = 2000, "range for oom score adj");
}

#[test]
fn ulimits_are_named_and_ordered() {
    let mut record = record();
    let limit = |name: &str, soft, hard| {
        Some(vec![Ulimit {
            name: name.into(),
            soft,
            hard,
        }])
    };
    record.host_config.ulimits = limit("nofile", 1024, -1);
    let limits = spec(&record).expect("valid").process.expect("process").rlimits;
    assert_eq!(
        (limits[0].kind.as_str(), limits[0].soft, limits[0].hard),
        ("RLIMIT_NOFILE", 1024, u64::MAX)
    );
    record.host_config.ulimits = limit("nofile", 2048, 1024);
    assert!(spec(&record).is_err());
    record.host_config.ulimits = limit("nosuch", 1, 1);
    assert!(spec(&record).is_err());
}

#[test]
fn security_options_are_read_in_both_spellings() {
    let parse = |options: &[&str]| {
        SecurityOptions::parse(
            &options
                .iter()
                .map(|option| (*option).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let options = parse(&["no-new-privileges", "seccomp:unconfined", "label=type:x"]).expect("valid");
    assert_eq!(options.no_new_privileges, Some(true));
    assert_eq!(options.seccomp.as_deref(), Some("unconfined"));
    assert!(parse(&["wrong"]).is_err() && parse(&["wrong=1"]).is_err());
}

#[test]
fn a_cgroup_parent_leads_nowhere_but_down() {
    for (parent, path) in [
        ("/dhow", "/dhow/id"),
        ("a/b/", "/a/b/id"),
        ("../../a/./b/../c", "/a/c/id"),
        ("..", "/id"),
    ] {
        assert_eq!(cgroup_below(parent, "id", &settings()), path, "{parent}");
    }
}
