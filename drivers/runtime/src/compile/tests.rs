//! Programs of specs, looked at without root.

use super::*;
use oci::runtime::{Namespace, NamespaceKind, Spec};

/// The spec that `dhow-runtime spec` writes, which is like runc's.
fn default() -> Spec {
    serde_json::from_str(include_str!("../cli/spec.json")).expect("readable")
}

fn options() -> Options {
    Options {
        rootfs: Some("/bundle/rootfs".into()),
        id: "c1".into(),
        bundle: "/bundle".into(),
        ..Options::default()
    }
}

fn program(spec: &Spec) -> Program {
    compile(spec, &options()).unwrap_or_else(|error| panic!("{error}"))
}

/// The names of the steps, in order.
fn names(program: &Program) -> Vec<String> {
    let name = |step: &Step| {
        let text = format!("{step:?}");
        text.split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    program.steps.iter().map(name).collect()
}

fn place(program: &Program, name: &str) -> usize {
    let names = names(program);
    names
        .iter()
        .position(|n| n == name)
        .unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

#[test]
fn the_default_spec_compiles_to_its_snapshot() {
    let program = program(&default());
    let text: String = program.steps.iter().map(|step| format!("{step:?}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/compile/tests/default.txt");
    if std::env::var_os("DHOW_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &text).expect("written");
    }
    let wanted = std::fs::read_to_string(path).expect("snapshot; DHOW_UPDATE_SNAPSHOTS=1 writes it");
    for (line, (got, wanted)) in text.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(got, wanted, "line {}", line + 1);
    }
    assert_eq!(text.lines().count(), wanted.lines().count());
}

#[test]
fn landlock_comes_before_the_filter_and_the_loss_of_rights() {
    let rules = Rules::parse(r#"{"execute":["/"],"write":["/tmp"]}"#).expect("rules");
    let with = Options {
        landlock: Some((rules, 1)),
        ..options()
    };
    for no_new_privileges in [true, false] {
        let mut spec = default();
        let filter = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        spec.linux.as_mut().expect("linux").seccomp = serde_json::from_value(filter).expect("filter");
        spec.process.as_mut().expect("process").no_new_privileges = no_new_privileges;
        let program = compile(&spec, &with).expect("program");
        let restrict = place(&program, "Restrict");
        assert!(restrict < place(&program, "Filter") && restrict < place(&program, "Bounding"));
        if no_new_privileges {
            assert!(place(&program, "NoNewPrivileges") < restrict);
        }
    }
}

#[test]
fn the_cgroup_namespace_comes_after_the_placement_and_is_not_part_of_the_clone() {
    let program = program(&default());
    assert!(!program.namespaces.contains(Flags::CGROUP));
    assert!(place(&program, "EnterCgroups") < place(&program, "UnshareCgroup"));
}

#[test]
fn kernel_parameters_are_set_before_proc_sys_becomes_read_only() {
    let mut spec = default();
    spec.linux
        .as_mut()
        .expect("linux")
        .sysctl
        .insert("net.core.somaxconn".into(), "7".into());
    let program = program(&spec);
    assert!(place(&program, "Pivot") < place(&program, "Sysctl"));
    assert!(place(&program, "Sysctl") < place(&program, "ReadonlyPath"));
}

#[test]
fn with_no_new_privileges_the_filter_is_installed_last_otherwise_before_rights_are_given_up() {
    let mut spec = default();
    let filter = oci::runtime::Seccomp {
        default_action: oci::runtime::SeccompAction::Allow,
        ..oci::runtime::Seccomp::default()
    };
    spec.linux.as_mut().expect("linux").seccomp = Some(filter);
    let late = program(&spec);
    assert_eq!(place(&late, "Filter") + 1, place(&late, "AwaitStart"));
    spec.process.as_mut().expect("process").no_new_privileges = false;
    let early = program(&spec);
    assert!(place(&early, "Filter") < place(&early, "Bounding"));
}

#[test]
fn programs_are_looked_for_in_the_path_of_the_environment_only() {
    let mut spec = default();
    let process = spec.process.as_mut().expect("process");
    process.env = vec!["PATH=/a::/b/".into()];
    let program = program(&spec);
    let Step::Find {
        candidates, searched, ..
    } = &program.steps[place(&program, "Find")]
    else {
        panic!()
    };
    assert!(searched);
    assert_eq!(candidates, &[c"/a/sh".to_owned(), c"/b/sh".to_owned()]);
}

#[test]
fn home_is_added_only_when_it_is_missing() {
    let home = |env: &[&str]| {
        let mut spec = default();
        spec.process.as_mut().expect("process").env = env.iter().map(|e| (*e).to_owned()).collect();
        let options = Options {
            home: Some("/home/me".into()),
            ..options()
        };
        let program = compile(&spec, &options).expect("compiles");
        let strings = program
            .environment
            .strings()
            .iter()
            .map(|s| s.to_string_lossy().into_owned());
        strings.filter(|s| s.starts_with("HOME=")).collect::<Vec<_>>()
    };
    assert_eq!(home(&[]), ["HOME=/home/me"]);
    assert_eq!(home(&["HOME=/x"]), ["HOME=/x"]);
}

#[test]
fn a_given_network_namespace_overrules_the_specs() {
    let options = Options {
        netns: true,
        ..options()
    };
    let program = compile(&default(), &options).expect("compiles");
    assert!(!program.namespaces.contains(Flags::NETWORK));
    assert!(
        matches!(&program.steps[place(&program, "Join")], Step::Join { fd: 0, flags, .. } if *flags == Flags::NETWORK)
    );
    assert!(!names(&program).contains(&"LoopbackUp".to_owned()));
}

#[test]
fn what_cannot_be_obeyed_is_refused() {
    type Change = fn(&mut Spec);
    let refused = |change: Change| {
        let mut spec = default();
        change(&mut spec);
        compile(&spec, &options()).expect_err("refused").to_string()
    };
    let cases: &[(Change, &str)] = &[
        (|s| s.process = None, "process must be specified"),
        (
            |s| s.process.as_mut().expect("process").args.clear(),
            "args must not be empty",
        ),
        (
            |s| s.process.as_mut().expect("process").cwd = "x".into(),
            "cwd must be an absolute path: \"x\"",
        ),
        (|s| s.root = None, "root must be specified"),
        (
            |s| {
                s.linux
                    .as_mut()
                    .expect("linux")
                    .namespaces
                    .retain(|n| n.kind != NamespaceKind::Uts)
            },
            "hostname requires a private UTS namespace",
        ),
        (
            |s| {
                let twice = Namespace {
                    kind: NamespaceKind::Pid,
                    path: String::new(),
                };
                s.linux.as_mut().expect("linux").namespaces.push(twice);
            },
            "a kind of namespace is listed twice",
        ),
        (
            |s| s.mounts[0].options.push("idmap".into()),
            "an id-mapped mount without uidMappings and gidMappings requires a private user namespace",
        ),
        (
            |s| s.process.as_mut().expect("process").env.push("A=\0".into()),
            "env contains a NUL byte: \"A=\\0\"",
        ),
        (
            |s| s.process.as_mut().expect("process").rlimits[0].kind = "RLIMIT_X".into(),
            "unknown rlimit type: \"RLIMIT_X\"",
        ),
        (
            |s| s.linux.as_mut().expect("linux").rootfs_propagation = "odd".into(),
            "unknown rootfsPropagation: \"odd\"",
        ),
    ];
    for (change, text) in cases {
        assert_eq!(refused(*change), *text);
    }
}

#[test]
fn hierarchies_of_version_1_are_bound_into_a_directory_that_ends_read_only() {
    let mount = |name: &str, links: &[&str]| CgroupMount {
        name: name.into(),
        path: format!("/sys/fs/cgroup/{name}/c1"),
        links: links.iter().map(|l| (*l).to_owned()).collect(),
    };
    let options = Options {
        cgroup_mounts: vec![mount("cpu,cpuacct", &["cpu"]), mount("pids", &[])],
        ..options()
    };
    let program = compile(&default(), &options).expect("compiles");
    let text = format!("{:?}", program.steps);
    assert!(
        text.contains(r#"path: "/sys/fs/cgroup/cpu,cpuacct/c1""#)
            && text.contains(r#"path: "/sys/fs/cgroup/cpu""#)
    );
    assert!(text.contains(r#"ReadonlyMount("/sys/fs/cgroup")"#));
}
