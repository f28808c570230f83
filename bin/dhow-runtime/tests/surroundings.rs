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
    let user = User::of(&place, own);
    let as_user = |arguments: &[&str]| user.runtime(arguments).output().expect("run");
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
    an_exec_is_in_every_namespace_of(&place, &|| user.runtime(&[]));
    // Limits that cannot be set are not forgotten silently.
    place.configure(|spec| spec["linux"]["resources"] = json!({ "pids": { "limit": 10 } }));
    let output = as_user(&["run", "box"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cgroup"), "{}", stderr(&output));
}

/// A part of the tree that belongs to a user (cgroups(7), "Cgroup delegation: delegation to a less privileged user"), with
/// the controllers memory and pids; its name is one for one test.
struct Delegated(std::path::PathBuf);

impl Delegated {
    /// `None` where there is no tree of version 2 alone.
    fn new(name: &str, owner: u32) -> Option<Self> {
        let top = Path::new("/sys/fs/cgroup");
        if !top.join("cgroup.controllers").exists() {
            eprintln!("skipped: needs cgroup version 2 alone");
            return None;
        }
        let above = Self(top.join(name));
        std::fs::write(top.join("cgroup.subtree_control"), "+memory +pids").expect("controllers");
        std::fs::create_dir(&above.0).expect("group");
        std::fs::write(above.0.join("cgroup.subtree_control"), "+memory +pids").expect("controllers");
        for path in [above.users(), above.shell()] {
            std::fs::create_dir(&path).expect("group");
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                std::os::unix::fs::chown(path.join(file), Some(owner), Some(owner)).expect("owner");
            }
        }
        Some(above)
    }

    fn users(&self) -> std::path::PathBuf {
        self.0.join("user")
    }

    /// Where the user's own processes are.
    fn shell(&self) -> std::path::PathBuf {
        self.users().join("shell")
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for path in [self.shell(), self.users(), self.0.clone()] {
            // A process that has just ended may still be leaving.
            for _ in 0..1000 {
                match std::fs::remove_dir(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

#[test]
fn limits_of_a_user_are_set_in_a_part_of_the_tree_that_is_the_users() {
    let Some(place) = Place::new("delegated", "") else {
        return;
    };
    let own = 12_346;
    let Some(delegated) = Delegated::new(&format!("dhow-test-delegated-{}", std::process::id()), own) else {
        return;
    };
    let user = User::of(&place, own);
    // A process of the user that waits until it has been put into the user's part.
    let run = |arguments: &[&str]| {
        let mut child = user
            .shell("read go; \"$@\" </dev/null >out 2>err", arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("shell");
        std::fs::write(delegated.shell().join("cgroup.procs"), child.id().to_string()).expect("moved");
        std::io::Write::write_all(&mut child.stdin.take().expect("pipe"), b"\n").expect("told");
        let status = child.wait().expect("ended");
        let said = std::fs::read_to_string(place.bundle().join("err")).expect("file");
        (status.code(), said)
    };
    assert_eq!(run(&["spec", "--rootless"]).0, Some(0));
    let limited = |resources: Value| {
        place.configure(|spec| {
            spec["process"]["terminal"] = json!(false);
            spec["process"]["args"] = json!(["sleep", "100000"]);
            spec["linux"]["resources"] = resources;
        });
    };
    limited(json!({ "pids": { "limit": 17 }, "memory": { "limit": 67_108_864 } }));
    let (code, said) = run(&["run", "--detach", "box"]);
    assert_eq!(code, Some(0), "{said}");
    let group = delegated.users().join("box");
    let value = |file: &str| {
        std::fs::read_to_string(group.join(file))
            .expect("limit")
            .trim()
            .to_owned()
    };
    assert_eq!(
        (value("pids.max"), value("memory.max")),
        ("17".into(), "67108864".into())
    );
    assert_ne!(value("cgroup.procs"), "");
    assert_eq!(run(&["update", "--pids-limit", "19", "box"]).0, Some(0));
    assert_eq!(value("pids.max"), "19");
    // From another group, too: a user may have several sessions.
    let listed = user
        .runtime(&["ps", "--format", "json", "box"])
        .output()
        .expect("run");
    assert_eq!(
        stdout(&listed).trim(),
        format!("[{}]", value("cgroup.procs")),
        "{}",
        stderr(&listed)
    );
    let deleted = user.runtime(&["delete", "--force", "box"]).output().expect("run");
    assert!(deleted.status.success(), "{}", stderr(&deleted));
    assert!(!group.exists());
    // What was not given on is refused by name, and nothing is left of the attempt.
    limited(json!({ "cpu": { "shares": 512 } }));
    let (code, said) = run(&["run", "--detach", "box"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("the cpu cgroup controller is not available"),
        "{said}"
    );
    assert!(!group.exists());
    // Nor is a group outside of the user's part taken for one that need not be there.
    limited(json!({}));
    place.configure(|spec| spec["linux"]["cgroupsPath"] = json!("/dhow-test-elsewhere"));
    let (code, said) = run(&["run", "--detach", "box"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("mkdir /sys/fs/cgroup/dhow-test-elsewhere"),
        "{said}"
    );
}

/// A user without rights, who owns the bundle.
struct User {
    id: u32,
    program: std::path::PathBuf,
    bundle: std::path::PathBuf,
    home: std::path::PathBuf,
}

impl User {
    fn of(place: &Place, id: u32) -> Self {
        let bundle = place.bundle();
        std::fs::remove_file(bundle.join("config.json")).expect("removed");
        for path in [
            place.directory.path().to_owned(),
            bundle.clone(),
            bundle.join("rootfs"),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
            std::os::unix::fs::chown(path, Some(id), Some(id)).expect("owner");
        }
        // The program may lie where the user cannot go.
        let program = place.directory.path().join("program");
        place::copy_program(&place::program(), &program);
        let home = place.directory.path().to_owned();
        Self {
            id,
            program,
            bundle,
            home,
        }
    }

    fn command(&self, program: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command
            .uid(self.id)
            .gid(self.id)
            .current_dir(&self.bundle)
            .env_clear()
            .env("XDG_RUNTIME_DIR", &self.home)
            .stdin(Stdio::null());
        command
    }

    fn runtime(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// A script to which the program and its arguments are given.
    fn shell(&self, script: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.command(Path::new("/bin/sh"));
        command
            .args(["-c", script, "sh"])
            .arg(&self.program)
            .args(arguments);
        command
    }
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
