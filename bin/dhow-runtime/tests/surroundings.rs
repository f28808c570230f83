//! Bundles in places of their own: run without rights, with devices of the host, and as cri-o runs them.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use place::Place;
use serde_json::{Value, json};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_unprivileged_user_runs_a_bundle() {
    let script = "id -u; hostname; cat /proc/self/uid_map; touch /made && stat -c %u /made; echo x > /dev/null && echo null";
    let Some(place) = Place::new("rootless", script) else {
        return;
    };
    let own = 12_345;
    let bundle = place.bundle();
    std::fs::remove_file(bundle.join("config.json")).expect("removed");
    for path in [
        place.directory.path().to_owned(),
        bundle.clone(),
        bundle.join("rootfs"),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        std::os::unix::fs::chown(path, Some(own), Some(own)).expect("owner");
    }
    // The program may lie where the user cannot go.
    let program = place.directory.path().join("program");
    place::copy_program(&place::program(), &program);
    let command_of_user = || {
        let mut command = std::process::Command::new(&program);
        command
            .uid(own)
            .gid(own)
            .current_dir(&bundle)
            .env_clear()
            .env("XDG_RUNTIME_DIR", place.directory.path())
            .stdin(Stdio::null());
        command
    };
    let as_user = |arguments: &[&str]| command_of_user().args(arguments).output().expect("run");
    let output = as_user(&["spec", "--rootless"]);
    assert!(output.status.success(), "{}", stderr(&output));
    place.configure(|spec| {
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["root"]["readonly"] = json!(false);
    });
    let output = as_user(&["run", "box"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["0", "dhow", "0", "12345", "1", "0", "null"]
    );
    an_exec_is_in_every_namespace_of(&place, &command_of_user);
    // Limits that cannot be set are not forgotten silently.
    place.configure(|spec| spec["linux"]["resources"] = json!({ "pids": { "limit": 10 } }));
    let output = as_user(&["run", "box"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cgroup"), "{}", stderr(&output));
}

/// The user may join none of the namespaces before having joined the user namespace, which owns them.
fn an_exec_is_in_every_namespace_of(place: &Place, command: &dyn Fn() -> std::process::Command) {
    place.configure(|spec| spec["process"]["args"] = json!(["sleep", "100000"]));
    let pid = place.directory.path().join("pid");
    let pid = pid.to_str().expect("utf-8");
    // The container keeps the streams: pipes would never end.
    let mut create = command();
    create.args(["run", "--detach", "--pid-file", pid, "box"]);
    create.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.status().expect("run").success());
    let run = |arguments: &[&str]| command().args(arguments).output().expect("run");
    let pid = std::fs::read_to_string(pid).expect("pid file");
    let script = "for kind in user pid mnt net uts ipc; do readlink /proc/self/ns/$kind; done";
    let inside = run(&["exec", "box", "sh", "-c", script]);
    assert!(inside.status.success(), "{}", stderr(&inside));
    let outside = std::process::Command::new("sh")
        .args(["-c", &script.replace("self", pid.trim())])
        .output()
        .expect("sh");
    assert_eq!(stdout(&inside), stdout(&outside));
    assert_eq!(stdout(&inside).lines().count(), 6, "{}", stdout(&inside));
    let failed = run(&["exec", "box", "sh", "-c", "exit 41"]);
    assert_eq!(failed.status.code(), Some(41), "{}", stderr(&failed));
    let deleted = run(&["delete", "--force", "box"]);
    assert!(deleted.status.success(), "{}", stderr(&deleted));
}

/// Devices of the host come back under their names, with their addresses, when the container is deleted or has run.
#[test]
fn network_devices_return_to_the_host() {
    let Some(place) = Place::new(
        "devices",
        "ip -o addr show dev inner; ip link show dev lend 2>&1; true",
    ) else {
        return;
    };
    if !Path::new("/sbin/ip").exists() && !Path::new("/usr/sbin/ip").exists() {
        eprintln!("skipped: no ip (apt-get install iproute2)");
        return;
    }
    place.configure(|spec| spec["linux"]["netDevices"] = json!({ "lend": { "name": "inner" } }));
    // A network of its own stands for the host's.
    let script = "set -e; ip() { $(ls /sbin/ip /usr/sbin/ip | head -n 1) \"$@\"; }; ip link add near type veth peer name lend; ip addr add 10.98.7.1/24 dev lend; ip link set lend up; \
                  $0 --root $1 create -b $2 $3 >/dev/null 2>&1; ip link show dev lend 2>/dev/null && echo still here; \
                  $0 --root $1 start $3; while $0 --root $1 state $3 | grep -q running; do sleep 0.05; done; \
                  $0 --root $1 delete $3; echo deleted; ip -o addr show dev lend; \
                  $0 --root $1 run -b $2 $3; echo ran; ip -o addr show dev lend";
    let output = std::process::Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .arg(place::program())
        .arg(place.directory.path().join("state"))
        .arg(place.bundle())
        .arg(&place.id)
        .output()
        .expect("unshare");
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    let (created, rest) = text.split_once("deleted\n").expect("deleted");
    assert!(!created.contains("still here"), "{text}");
    let (second, third) = rest.split_once("ran\n").expect("ran");
    // Back after the first; inside under its other name during the second; back again.
    assert!(
        second
            .lines()
            .next()
            .is_some_and(|line| line.contains("lend") && line.contains("10.98.7.1/24")),
        "{text}"
    );
    assert!(
        second
            .lines()
            .any(|line| line.contains("inner") && line.contains("10.98.7.1/24")),
        "{text}"
    );
    assert!(second.contains("can't find device 'lend'"), "{text}");
    assert!(third.contains("lend") && third.contains("10.98.7.1/24"), "{text}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(
        !mounts.contains(&place.directory.path().display().to_string()),
        "{mounts}"
    );
}

/// The calls that cri-o makes (its runtime_oci.go) of a container's whole life, through conmon and by itself.
#[test]
fn the_command_lines_of_cri_o_work() {
    let Some(place) = Place::new("crio", "trap 'exit 9' TERM; while :; do sleep 0.05; done") else {
        return;
    };
    let path = |name: &str| place.directory.path().join(name).display().to_string();
    let bundle = place.bundle();
    let bundle = bundle.to_str().expect("utf-8");
    let log = path("oci-log");
    let status = place
        .command()
        .args([
            "--log-format=json",
            "--log",
            &log,
            "create",
            "--bundle",
            bundle,
            "--pid-file",
            &path("pidfile"),
            &place.id,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("run").success());
    place.verb(&["start", &place.id]);
    let state = place.state();
    for field in [
        "ociVersion",
        "id",
        "pid",
        "status",
        "bundle",
        "rootfs",
        "created",
        "owner",
    ] {
        assert!(!state[field].is_null(), "{field}: {state}");
    }
    let process = json!({ "args": ["sh", "-c", "exit 12"], "cwd": "/", "env": ["PATH=/bin"] });
    std::fs::write(path("exec-process"), process.to_string()).expect("process");
    let exec = [
        "--log",
        &log,
        "exec",
        "--pid-file",
        &path("exec-pid"),
        "--process",
        &path("exec-process"),
        &place.id,
    ];
    assert_eq!(place.run(&exec).status.code(), Some(12));
    std::fs::write(path("resources"), r#"{"cpu":{"shares":300}}"#).expect("resources");
    place.verb(&["update", "--resources", &path("resources"), &place.id]);
    place.await_handler(15);
    place.verb(&["kill", &place.id, "15"]);
    place.await_status("stopped");
    assert_eq!(
        place
            .run(&["--log", &log, "delete", "--force", &place.id])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        place
            .run(&["--log", &log, "delete", "--force", &place.id])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(place.run(&["state", &place.id]).status.code(), Some(1));
    let features: Value = serde_json::from_str(&place.verb(&["features"])).expect("json");
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
}

/// Controllers of version 1 that few machines mount: in hierarchies of this test's own, in a mount namespace of its own.
#[test]
fn the_old_controllers_of_networks_events_and_huge_pages_are_obeyed() {
    if std::env::var_os("DHOW_TEST_OWN_MACHINE").is_none() {
        eprintln!(
            "skipped: a new hierarchy shows in every process's cgroups and disturbs other engines: \
             only in a machine of its own (DHOW_TEST_OWN_MACHINE=1)"
        );
        return;
    }
    for (controller, limits, file, wanted) in [
        (
            "net_cls",
            json!({ "network": { "classID": 1_048_577 } }),
            "net_cls.classid",
            "1048577",
        ),
        (
            "net_prio",
            json!({ "network": { "priorities": [{ "name": "lo", "priority": 7 }] } }),
            "net_prio.ifpriomap",
            "lo 7",
        ),
        ("perf_event", json!({}), "cgroup.procs", ""),
        (
            "hugetlb",
            json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }] }),
            "hugetlb.2MB.limit_in_bytes",
            "4194304",
        ),
    ] {
        let Some(place) = Place::new(controller, "while :; do sleep 1; done") else {
            return;
        };
        place.configure(|spec| spec["linux"]["resources"] = limits);
        // One script, so that the hierarchy is there for its time only: mounted, used, emptied, gone.
        let script = "mkdir -p $4 && mount -t tmpfs none $4 && mkdir $4/$5 || exit 9
            mount -t cgroup -o $5 none $4/$5 2>/dev/null || exit 7
            $0 --root $1 run --detach --pid-file $4/pid -b $2 $3 </dev/null >/dev/null 2>$4/error || { cat $4/error; exit 8; }
            pid=$(cat $4/pid)
            grep \":$5:\" /proc/$pid/cgroup; cat $4/$5/dhow-test-$3/$6
            $0 --root $1 delete --force $3; ls $4/$5 | grep dhow-test; umount $4/$5
            # It goes with its last mount, but for groups that the kernel has yet to free.
            until grep -q \"^$5[[:space:]]*0[[:space:]]\" /proc/cgroups; do
                mount -t cgroup -o $5 none $4/$5; umount $4/$5; sleep 0.2
            done";
        let output = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(place::program())
            .arg(place.directory.path().join("state"))
            .arg(place.bundle())
            .arg(&place.id)
            .arg(place.directory.path().join("hierarchies"))
            .args([controller, file])
            .output()
            .expect("unshare");
        let text = stdout(&output);
        if output.status.code() == Some(7) {
            eprintln!(
                "skipped: this kernel gives {controller} to no hierarchy of version 1 (it lacks it, or version 2 has it)"
            );
            continue;
        }
        assert!(output.status.success(), "{controller}: {text}{}", stderr(&output));
        let group = format!("/dhow-test-{}", place.id);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.first().is_some_and(|line| line.ends_with(&group)),
            "{controller}: {text}"
        );
        assert!(
            lines[1..].iter().any(|line| line.contains(wanted)),
            "{controller}: {text}"
        );
        assert!(
            !lines[1..].iter().any(|line| line.contains("dhow-test")),
            "{controller} is left: {text}"
        );
    }
}
