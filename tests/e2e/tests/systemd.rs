//! The Debian package on a machine with systemd: units, activation by the socket, containers that outlive the service.
//!
//! It installs, upgrades and purges for real, so it runs only in a virtual machine (`cargo xtask vm-test --full`).
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::{Output, image, until};
use serde_json::{Value, json};

/// Where the virtual machine has the package.
const PACKAGE: &str = "/tests/dhow.deb";

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    Output::of(&output)
}

fn ok(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    if output.code != 0 {
        let journal = run(
            "journalctl",
            &[
                "--no-pager",
                "-n",
                "60",
                "-u",
                "dhow.service",
                "-u",
                "dhow.socket",
            ],
        );
        panic!("{program} {arguments:?}: {output:?}\n{}", journal.stdout);
    }
    output.stdout.trim_end().to_owned()
}

fn state(unit: &str) -> String {
    run("systemctl", &["is-active", unit]).stdout.trim().to_owned()
}

fn property(name: &str) -> String {
    ok(
        "systemctl",
        &["show", "--value", "--property", name, "dhow.service"],
    )
}

/// The container runs on, as the same process, and can be used.
fn assert_runs(pid: &str) {
    let now = ok(
        "dhow",
        &["inspect", "--format", "{{.State.Pid}} {{.State.Status}}", "box"],
    );
    assert_eq!(now, format!("{pid} running"));
    assert_eq!(ok("dhow", &["exec", "box", "echo", "inside"]), "inside");
}

/// The machine of its own that these tests need.
fn has_machine() -> bool {
    let is_there = Path::new(PACKAGE).exists() && Path::new("/run/systemd/system").exists();
    if !is_there {
        println!("skipped: installs the package, so only in a machine of its own with systemd");
    }
    is_there
}

#[test]
fn an_installed_engine_starts_by_its_socket_and_containers_outlive_its_service() {
    if !has_machine() {
        return;
    }
    ok("dpkg", &["-i", PACKAGE]);
    assert_eq!(
        (state("dhow.socket"), state("dhow.service")),
        ("active".into(), "active".into())
    );
    assert_eq!(ok("stat", &["-c", "%a %U %G", "/run/dhow.sock"]), "660 root dhow");
    for (name, value) in [
        ("KillMode", "process"),
        ("Delegate", "yes"),
        ("RuntimeDirectoryPreserve", "yes"),
    ] {
        assert_eq!(property(name), value, "{name}");
    }

    // The socket starts the service.
    ok("systemctl", &["stop", "dhow.service"]);
    assert_eq!(
        (state("dhow.socket"), state("dhow.service")),
        ("active".into(), "inactive".into())
    );
    assert_eq!(ok("dhow", &["ps", "--quiet"]), "");
    until("the service is there", || state("dhow.service") == "active");

    let archive = Path::new("/root/busybox.tar");
    image::busybox(archive);
    ok("dhow", &["load", "--quiet", "--input", "/root/busybox.tar"]);
    ok(
        "dhow",
        &[
            "run", "-d", "--name", "box", "--memory", "64m", "busybox", "sleep", "100000",
        ],
    );
    let pid = ok("dhow", &["inspect", "--format", "{{.State.Pid}}", "box"]);
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
    assert!(!cgroup.contains("dhow.service"), "{cgroup}");
    let limit = format!(
        "/sys/fs/cgroup{}/memory.max",
        cgroup.trim().trim_start_matches("0::")
    );
    assert_eq!(fs::read_to_string(limit).expect("limit").trim(), "67108864");

    survives(&pid);
    upgrade_and_purge(&pid);
}

/// Restart, stop and start, death and reload: the container is as before.
fn survives(pid: &str) {
    let before = property("MainPID");
    ok("systemctl", &["restart", "dhow.service"]);
    assert_ne!(property("MainPID"), before);
    assert_runs(pid);
    ok("systemctl", &["stop", "dhow.service", "dhow.socket"]);
    assert!(
        Path::new(&format!("/proc/{pid}")).exists(),
        "the stop of the service ended the container"
    );
    ok("systemctl", &["start", "dhow.socket", "dhow.service"]);
    assert_runs(pid);
    ok("systemctl", &["reload", "dhow.service"]);
    assert_runs(pid);
    let main = property("MainPID");
    ok(
        "systemctl",
        &["kill", "--kill-whom=main", "--signal=KILL", "dhow.service"],
    );
    until("another daemon", || {
        state("dhow.service") == "active" && !["0", main.as_str()].contains(&property("MainPID").as_str())
    });
    assert_runs(pid);
    // Units of others come and go meanwhile: systemd rewrites what it knows of the tree.
    ok("systemctl", &["daemon-reload"]);
    ok(
        "systemd-run",
        &[
            "--wait",
            "--property",
            "MemoryMax=64M",
            "--property",
            "CPUQuota=50%",
            "true",
        ],
    );
    assert_runs(pid);
    ok(
        "dhow",
        &["update", "--memory", "80m", "--memory-swap", "80m", "box"],
    );
    assert_eq!(
        ok("dhow", &["exec", "box", "cat", "/sys/fs/cgroup/memory.max"]),
        "83886080"
    );
}

/// An upgrade leaves containers alone; the purge leaves nothing.
fn upgrade_and_purge(pid: &str) {
    ok("dpkg", &["-i", PACKAGE]);
    assert_runs(pid);
    ok("dhow", &["rm", "-f", "box"]);
    ok("dpkg", &["-P", "dhow"]);
    assert_eq!(
        (state("dhow.socket"), state("dhow.service")),
        ("inactive".into(), "inactive".into())
    );
    for path in ["/usr/bin/dhowd", "/var/lib/dhow", "/run/dhow.sock", "/etc/dhow"] {
        assert!(!Path::new(path).exists(), "{path} is left");
    }
}

/// A property of a unit of the system.
fn of_unit(unit: &str, name: &str) -> String {
    ok("systemctl", &["show", "--value", "--property", name, unit])
}

/// The group of a process in the version 2 tree.
fn group(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
    text.trim().trim_start_matches("0::").to_owned()
}

fn limit(group: &str, file: &str) -> String {
    let path = format!("/sys/fs/cgroup{group}/{file}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.trim().to_owned()
}

/// `native.cgroupdriver=systemd`: every container is a scope, with limits that a reload of systemd leaves alone.
#[test]
fn the_engine_has_systemd_make_its_cgroups() {
    if !has_machine() {
        return;
    }
    ok("dpkg", &["-i", PACKAGE]);
    let configuration = r#"{"exec-opts": ["native.cgroupdriver=systemd"]}"#;
    fs::write("/etc/dhow/daemon.json", configuration).expect("configuration");
    ok("systemctl", &["restart", "dhow.service"]);
    assert_eq!(ok("dhow", &["info", "--format", "{{.CgroupDriver}}"]), "systemd");
    image::busybox(Path::new("/root/busybox.tar"));
    ok("dhow", &["load", "--quiet", "--input", "/root/busybox.tar"]);
    let id = ok(
        "dhow",
        &[
            "run",
            "-d",
            "--name",
            "box",
            "--memory",
            "64m",
            "--memory-swap",
            "64m",
            "--pids-limit",
            "20",
            "--cpus",
            "0.5",
            "busybox",
            "sleep",
            "100000",
        ],
    );
    let pid = ok("dhow", &["inspect", "--format", "{{.State.Pid}}", "box"]);
    let unit = format!("dhow-{id}.scope");
    assert_eq!(group(&pid), format!("/system.slice/{unit}"));
    for (name, value) in [
        ("ActiveState", "active"),
        ("Delegate", "yes"),
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "0"),
        ("TasksMax", "20"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("DevicePolicy", "strict"),
    ] {
        assert_eq!(of_unit(&unit, name), value, "{name}");
    }
    ok("systemctl", &["daemon-reload"]);
    assert_runs(&pid);
    for (file, value) in [
        ("memory.max", "67108864"),
        ("pids.max", "20"),
        ("cpu.max", "50000 100000"),
    ] {
        assert_eq!(limit(&group(&pid), file), value, "{file}");
    }
    // Its own filter judges devices, also behind a reload.
    let zero = "head -c 1 /dev/zero | wc -c; mknod /tmp/disk b 254 0 2>&1; head -c 1 /tmp/disk 2>&1 || true";
    let seen = ok("dhow", &["exec", "box", "sh", "-c", zero]);
    assert!(seen.starts_with('1') && seen.contains("not permitted"), "{seen}");
    ok(
        "dhow",
        &["update", "--memory", "80m", "--memory-swap", "80m", "box"],
    );
    assert_eq!(of_unit(&unit, "MemoryMax"), "83886080");
    assert_eq!(limit(&group(&pid), "memory.max"), "83886080");
    ok("dhow", &["pause", "box"]);
    ok("dhow", &["unpause", "box"]);
    ok("systemctl", &["restart", "dhow.service"]);
    assert_runs(&pid);
    // Out of memory, the scope goes as well, and the next life has the same name.
    ok("dhow", &["restart", "--time", "0", "box"]);
    let pid = ok("dhow", &["inspect", "--format", "{{.State.Pid}}", "box"]);
    assert_runs(&pid);
    assert_eq!(of_unit(&unit, "ActiveState"), "active");
    ok("dhow", &["rm", "-f", "box"]);
    assert_eq!(of_unit(&unit, "LoadState"), "not-found");

    let id = ok(
        "dhow",
        &[
            "run",
            "-d",
            "--cgroup-parent",
            "my-own.slice",
            "busybox",
            "sleep",
            "100000",
        ],
    );
    let pid = ok("dhow", &["inspect", "--format", "{{.State.Pid}}", &id]);
    assert_eq!(group(&pid), format!("/my.slice/my-own.slice/dhow-{id}.scope"));
    ok("dhow", &["rm", "-f", &id]);
    let refused = run("dhow", &["run", "--cgroup-parent", "/a/b", "busybox", "true"]);
    assert!(refused.stderr.contains("should be a valid slice"), "{refused:?}");
    let out = run(
        "dhow",
        &[
            "run",
            "--rm",
            "--memory",
            "8m",
            "busybox",
            "sh",
            "-c",
            "x=$(head -c 50000000 /dev/zero | tr '\\0' a)",
        ],
    );
    assert_eq!(out.code, 137, "{out:?}");
    assert_eq!(
        ok(
            "systemctl",
            &["list-units", "--all", "--plain", "--no-legend", "dhow-*.scope"]
        ),
        ""
    );
    ok("dpkg", &["-P", "dhow"]);
}

/// Who runs a bundle, and what that user needs.
struct User {
    /// Words in front of a command.
    front: Vec<&'static str>,
    /// Directory of the bundle.
    bundle: &'static str,
}

impl User {
    fn command(&self, arguments: &[&str]) -> Output {
        let words: Vec<&str> = self.front.iter().chain(arguments).copied().collect();
        run(words[0], &words[1..])
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// A command whose container lives on and keeps the streams: pipes would never end.
    fn leave(&self, arguments: &[&str]) {
        let words: Vec<&str> = self.front.iter().chain(arguments).copied().collect();
        let said = fs::File::create("/root/said").expect("file");
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        let status = command.status().expect("run");
        let said = fs::read_to_string("/root/said").expect("said");
        assert!(status.success(), "{arguments:?}: {status}: {said}");
    }

    /// A bundle whose process sleeps, with limits and what is changed besides.
    fn bundle(&self, spec: &[&str], change: impl FnOnce(&mut Value)) {
        self.ok(&["mkdir", "-p", &format!("{}/rootfs/bin", self.bundle)]);
        for applet in ["sh", "sleep", "id", "cat"] {
            let path = format!("{}/rootfs/bin/{applet}", self.bundle);
            self.ok(&["cp", "/bin/busybox", &path]);
        }
        self.ok(&[&["dhow-runtime", "spec", "-b", self.bundle], spec].concat());
        self.configure(|spec| {
            spec["process"]["terminal"] = json!(false);
            spec["process"]["args"] = json!(["sleep", "100000"]);
            spec["linux"]["resources"] =
                json!({ "memory": { "limit": 67_108_864 }, "pids": { "limit": 20 } });
            change(spec);
        });
    }

    /// Changes the bundle's `config.json`.
    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = format!("{}/config.json", self.bundle);
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).expect("spec")).expect("json");
        change(&mut spec);
        fs::write(path, spec.to_string()).expect("written");
    }
}

#[test]
fn the_runtime_alone_makes_scopes_for_root() {
    if !has_machine() {
        return;
    }
    ok("dpkg", &["-i", PACKAGE]);
    let root = User {
        front: vec!["env"],
        bundle: "/root/bundle",
    };
    root.bundle(&[], |_| {});
    let runtime = ["dhow-runtime", "--systemd-cgroup"];
    let go = |arguments: &[&str]| root.ok(&[&runtime[..], arguments].concat());
    let leave = |arguments: &[&str]| root.leave(&[&runtime[..], arguments].concat());
    leave(&[
        "run",
        "--detach",
        "--bundle",
        root.bundle,
        "--pid-file",
        "/root/pid",
        "box",
    ]);
    let pid = fs::read_to_string("/root/pid").expect("pid");
    assert_eq!(group(&pid), "/system.slice/dhow-box.scope");
    assert_eq!(of_unit("dhow-box.scope", "MemoryMax"), "67108864");
    assert_eq!(limit(&group(&pid), "pids.max"), "20");
    assert_eq!(limit(&group(&pid), "cgroup.procs"), pid);
    go(&["update", "--pids-limit", "30", "box"]);
    assert_eq!(of_unit("dhow-box.scope", "TasksMax"), "30");
    assert_eq!(limit(&group(&pid), "pids.max"), "30");
    go(&["exec", "box", "sh", "-c", ":"]);
    go(&["delete", "--force", "box"]);
    assert_eq!(of_unit("dhow-box.scope", "LoadState"), "not-found");
    ok("dpkg", &["-P", "dhow"]);
}

/// Maps of many ids by newuidmap, limits by the user's own systemd; the shell is in another part of the tree. The container
/// stays: the machine is this test's own.
#[test]
fn a_user_has_limits_by_the_own_systemd_and_ids_by_newuidmap() {
    if !has_machine() {
        return;
    }
    ok("dpkg", &["-i", PACKAGE]);
    ok("useradd", &["--create-home", "--uid", "1500", "sailor"]);
    let given = fs::read_to_string("/etc/subuid").expect("subuid");
    assert!(given.contains("sailor:"), "{given}");
    let first: u32 = given
        .trim()
        .split(':')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("first id");
    ok("loginctl", &["enable-linger", "sailor"]);
    until("the user's systemd", || Path::new("/run/user/1500/bus").exists());
    let user = User {
        front: vec![
            "setpriv",
            "--reuid=1500",
            "--regid=1500",
            "--init-groups",
            "env",
            "--chdir=/home/sailor",
            "HOME=/home/sailor",
            "XDG_RUNTIME_DIR=/run/user/1500",
        ],
        bundle: "/home/sailor/bundle",
    };
    let maps = |size: u32| {
        json!([
            { "containerID": 0, "hostID": 1500, "size": 1 },
            { "containerID": 1, "hostID": first, "size": size }
        ])
    };
    user.bundle(&["--rootless"], |spec| {
        spec["linux"]["uidMappings"] = maps(1000);
        spec["linux"]["gidMappings"] = maps(1000);
    });
    let leave = |arguments: &[&str]| user.leave(&[&["dhow-runtime", "--systemd-cgroup"], arguments].concat());
    leave(&[
        "run",
        "--detach",
        "--bundle",
        user.bundle,
        "--pid-file",
        "/home/sailor/pid",
        "box",
    ]);
    let pid = fs::read_to_string("/home/sailor/pid").expect("pid");
    let path = "/user.slice/user-1500.slice/user@1500.service/user.slice/dhow-box.scope";
    assert_eq!(group(&pid), path);
    assert_eq!(limit(path, "memory.max"), "67108864");
    assert_eq!(limit(path, "pids.max"), "20");
    assert_eq!(limit(path, "cgroup.procs"), pid);
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("map");
    let numbers: Vec<u32> = map
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers, [0, 1500, 1, 1, first, 1000]);
    // The user may join no other namespace before the user namespace, and no group but by systemd.
    let exec = |script: &str| {
        user.ok(&[
            "dhow-runtime",
            "--systemd-cgroup",
            "exec",
            "box",
            "sh",
            "-c",
            script,
        ])
    };
    assert_eq!(exec("id -u; cat /proc/1/comm"), "0\nsleep");
    assert_eq!(exec("cat /proc/self/cgroup"), exec("cat /proc/1/cgroup"));
}
