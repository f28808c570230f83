//! The Debian package on a machine with systemd: units, activation by the socket, containers that outlive the service.
//!
//! It installs, upgrades and purges for real, so it runs only in a virtual machine (`cargo xtask vm-test --full`).
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Output, image, until};

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

#[test]
fn an_installed_engine_starts_by_its_socket_and_containers_outlive_its_service() {
    if !Path::new(PACKAGE).exists() || !Path::new("/run/systemd/system").exists() {
        println!("skipped: installs the package, so only in a machine of its own with systemd");
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
