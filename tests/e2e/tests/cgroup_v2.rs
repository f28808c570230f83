//! Pure cgroup v2: limits set from outside are read back inside, and hold; what else is other than on version 1.
//!
//! Most machines that build have version 1: there these tests say that they were skipped, and run in the virtual machine.
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use e2e::{Client, Daemon, daemon, http, shared_daemon, until};

/// Whether this machine has version 2 alone; says so if not.
fn is_unified() -> bool {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !unified {
        println!("skipped: needs pure cgroup v2, as in `cargo xtask vm-test`");
    }
    unified
}

fn first_client(daemon: &Daemon) -> Client {
    e2e::clients(daemon).into_iter().next().expect("a client")
}

/// A daemon with an image, and `dhow`.
fn unified() -> Option<(Arc<Daemon>, Client)> {
    let daemon = is_unified().then(shared_daemon)??;
    let dhow = first_client(&daemon);
    Some((daemon, dhow))
}

/// A container that sleeps, with these flags; its id.
fn sleeper(dhow: &Client, flags: &[&str]) -> String {
    let run = ["run", "-d"]
        .iter()
        .chain(flags)
        .chain(&["busybox", "sleep", "1000"]);
    dhow.ok(run)
}

/// Where the host sees a container's group.
fn group(daemon: &Daemon, id: &str) -> PathBuf {
    PathBuf::from(format!("/sys/fs/cgroup/dhow-{}/{id}", daemon.tag()))
}

fn read(group: &Path, file: &str) -> String {
    let path = group.join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

/// Whether a process has ended: its entry is gone, or only its parent has not asked yet.
fn ended(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn every_limit_is_read_back_inside() {
    let Some((_daemon, dhow)) = unified() else { return };
    #[rustfmt::skip]
    let flags = [
        "run", "--rm", "--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m", "--cpus", "0.5",
        "--cpu-shares", "2048", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit", "50", "busybox", "sh", "-c",
    ];
    let files = "memory.max memory.swap.max memory.low cpu.max cpu.weight cpuset.cpus cpuset.mems pids.max";
    let script = format!("cd /sys/fs/cgroup; cat {files}");
    let text = dhow.ok(flags.iter().chain(&[script.as_str()]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "67108864",
            "33554432",
            "33554432",
            "50000 100000",
            "174",
            "0",
            "0",
            "50"
        ]
    );
}

#[test]
fn a_running_container_is_updated() {
    let Some((daemon, dhow)) = unified() else { return };
    let id = sleeper(&dhow, &["--name", "live", "--memory", "64m"]);
    let inside = |file: &str| dhow.ok(["exec", "live", "cat", &format!("/sys/fs/cgroup/{file}")]);
    #[rustfmt::skip]
    dhow.ok([
        "update", "--memory", "128m", "--memory-swap", "128m", "--cpus", "1.5", "--pids-limit", "77",
        "--cpuset-cpus", "1", "--cpu-shares", "1024", "live",
    ]);
    for (file, value) in [
        ("memory.max", "134217728"),
        ("memory.swap.max", "0"),
        ("cpu.max", "150000 100000"),
        ("cpu.weight", "100"),
        ("pids.max", "77"),
        ("cpuset.cpus", "1"),
    ] {
        assert_eq!(inside(file), value, "{file}");
    }
    // What the kernel refuses leaves everything as it was.
    let error = dhow.fails(1, ["update", "--cpuset-cpus", "900", "live"]);
    assert!(error.contains("900"), "{error}");
    assert_eq!(read(&group(&daemon, &id), "cpuset.cpus"), "1");
    assert_eq!(inside("memory.max"), "134217728");
    dhow.ok(["rm", "-f", "live"]);
}

#[test]
fn too_many_processes_are_refused() {
    let Some((_daemon, dhow)) = unified() else { return };
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait";
    let output = dhow.run(["run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c", script]);
    assert!(
        output.code != 0 && output.stderr.contains("can't fork"),
        "{output:?}"
    );
}

#[test]
fn running_out_of_memory_ends_the_container_with_137() {
    let Some((_daemon, dhow)) = unified() else { return };
    // Files of a tmpfs are the container's memory.
    #[rustfmt::skip]
    let output = dhow.run([
        "run", "--name", "greedy", "--memory", "16m", "--memory-swap", "16m", "--shm-size", "256m", "busybox",
        "dd", "if=/dev/zero", "of=/dev/shm/fill", "bs=1M",
    ]);
    assert_eq!(output.code, 137, "{output:?}");
    let state = dhow.ok([
        "inspect",
        "--format",
        "{{.State.OOMKilled}} {{.State.ExitCode}}",
        "greedy",
    ]);
    assert_eq!(state, "true 137");
    dhow.ok(["rm", "greedy"]);
}

#[test]
fn devices_are_closed_but_for_those_that_were_given() {
    let Some((_daemon, dhow)) = unified() else { return };
    // The host's memory: with the capability for it, only the group's filter stands before it.
    let script =
        "mknod /tmp/node c 1 1; cat < /dev/null; head -c 1 /dev/zero | wc -c; : < /tmp/node && echo open";
    let run = |flags: &[&str], script: &str| {
        let arguments = ["run", "--rm", "--cap-add", "SYS_RAWIO"].iter().chain(flags);
        dhow.run(arguments.chain(&["busybox", "sh", "-c", script]))
    };
    let denied = run(&[], script);
    assert_eq!(denied.stdout, "1\n", "{denied:?}");
    assert!(denied.stderr.contains("Operation not permitted"), "{denied:?}");
    for flags in [&["--device-cgroup-rule", "c 1:1 r"][..], &["--privileged"]] {
        let allowed = run(flags, script);
        assert_eq!(
            (allowed.stdout.as_str(), allowed.stderr.as_str()),
            ("1\nopen\n", ""),
            "{flags:?}"
        );
    }
    // Reading was given, writing was not.
    let script = "mknod /tmp/node c 1 1; : < /tmp/node && echo read; : >> /tmp/node && echo written";
    let output = run(&["--device-cgroup-rule", "c 1:1 rm"], script);
    assert_eq!(output.stdout, "read\n", "{output:?}");
    assert!(output.stderr.contains("Operation not permitted"), "{output:?}");
}

#[test]
fn devices_stay_closed_after_an_update_and_for_an_exec() {
    let Some((_daemon, dhow)) = unified() else { return };
    sleeper(&dhow, &["--name", "closed", "--cap-add", "SYS_RAWIO"]);
    dhow.ok(["update", "--memory", "64m", "--memory-swap", "64m", "closed"]);
    let script = "mknod /tmp/node c 1 1; : < /tmp/node";
    let output = dhow.run(["exec", "closed", "sh", "-c", script]);
    assert!(
        output.code != 0 && output.stderr.contains("Operation not permitted"),
        "{output:?}"
    );
    dhow.ok(["rm", "-f", "closed"]);
}

#[test]
fn a_disk_is_read_and_written_no_faster_than_was_said() {
    let Some(disk) = std::env::var("DHOW_TEST_DISK")
        .ok()
        .filter(|disk| !disk.is_empty())
    else {
        println!("skipped: no disk to overwrite (DHOW_TEST_DISK)");
        return;
    };
    let Some((daemon, dhow)) = unified() else { return };
    let rate = format!("{disk}:2mb");
    let id = sleeper(
        &dhow,
        &[
            "--name",
            "disk",
            "--device",
            &disk,
            "--device-write-bps",
            &rate,
            "--device-read-iops",
            &format!("{disk}:50"),
        ],
    );
    let limits = dhow.ok(["exec", "disk", "cat", "/sys/fs/cgroup/io.max"]);
    assert!(
        limits.ends_with("rbps=max wbps=2097152 riops=50 wiops=max"),
        "{limits}"
    );
    let begun = std::time::Instant::now();
    dhow.ok([
        "exec",
        "disk",
        "dd",
        "if=/dev/zero",
        &format!("of={disk}"),
        "bs=1M",
        "count=6",
        "oflag=direct",
    ]);
    // Three seconds' worth; the kernel lets the first of them through at once.
    assert!(begun.elapsed().as_secs_f32() > 1.5, "{:?}", begun.elapsed());
    let stats = http::get(
        &daemon,
        &format!("/v1.50/containers/{id}/stats?stream=false&one-shot=true"),
    );
    let entries = stats["blkio_stats"]["io_service_bytes_recursive"]
        .as_array()
        .cloned();
    let written = entries
        .unwrap_or_default()
        .into_iter()
        .find(|entry| entry["op"] == "write");
    assert_eq!(
        written.map(|entry| entry["value"].clone()),
        Some((6 << 20).into()),
        "{stats}"
    );
    dhow.ok(["rm", "-f", "disk"]);
}

#[test]
fn a_paused_container_stands_still() {
    let Some((daemon, dhow)) = unified() else { return };
    let script = "while :; do :; done";
    let id = dhow.ok(["run", "-d", "--name", "busy", "busybox", "sh", "-c", script]);
    let group = group(&daemon, &id);
    let used = || {
        let text = read(&group, "cpu.stat");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))
            .map(str::to_owned);
        line.expect("usage").parse::<u64>().expect("a number")
    };
    dhow.ok(["pause", "busy"]);
    assert_eq!(read(&group, "cgroup.freeze"), "1");
    assert!(read(&group, "cgroup.events").contains("frozen 1"));
    let before = used();
    assert_eq!(
        dhow.ok(["inspect", "--format", "{{.State.Status}}", "busy"]),
        "paused"
    );
    assert_eq!(used(), before);
    let error = dhow.fails(1, ["exec", "busy", "true"]);
    assert!(
        error.contains("is paused, unpause the container before exec"),
        "{error}"
    );
    dhow.ok(["unpause", "busy"]);
    assert_eq!(read(&group, "cgroup.freeze"), "0");
    until("the loop goes on", || used() > before);
    // A frozen process can be killed.
    dhow.ok(["pause", "busy"]);
    dhow.ok(["rm", "-f", "busy"]);
    assert!(!group.exists());
}

#[test]
fn what_a_container_leaves_in_its_group_is_killed() {
    let Some((daemon, dhow)) = unified() else { return };
    // In the host's pid namespace the end of the first process ends no other.
    let script = "sleep 1000 & sleep 1000 & (setsid sleep 1000 &); exec sleep 1000";
    let id = dhow.ok([
        "run", "-d", "--name", "many", "--pid", "host", "busybox", "sh", "-c", script,
    ]);
    let group = group(&daemon, &id);
    until("four processes", || {
        read(&group, "cgroup.procs").lines().count() == 4
    });
    let pids: Vec<String> = read(&group, "cgroup.procs").lines().map(str::to_owned).collect();
    dhow.ok(["rm", "-f", "many"]);
    assert!(!group.exists());
    for pid in pids {
        until("the end of all", || ended(&pid));
    }
}

#[test]
fn stats_are_those_of_the_group() {
    let Some((daemon, dhow)) = unified() else { return };
    let id = sleeper(
        &dhow,
        &["--name", "measured", "--memory", "64m", "--pids-limit", "20"],
    );
    let path = format!("/v1.50/containers/{id}/stats?stream=false&one-shot=true");
    let sample = || http::get(&daemon, &path);
    let group = group(&daemon, &id);
    let stats = sample();
    assert_eq!(stats["memory_stats"]["limit"], 64 << 20);
    assert_eq!(stats["pids_stats"]["current"], 1);
    assert_eq!(stats["pids_stats"]["limit"], 20);
    let usage = stats["memory_stats"]["usage"].as_u64().expect("usage");
    assert!(usage > 0 && usage <= 64 << 20, "{stats}");
    for field in ["anon", "file", "inactive_file", "slab"] {
        assert!(stats["memory_stats"]["stats"][field].is_u64(), "{field}: {stats}");
    }
    // Once its program sleeps, the container uses no time.
    until("the same time in both", || {
        let told = sample()["cpu_stats"]["cpu_usage"]["total_usage"].clone();
        let text = read(&group, "cpu.stat");
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        told == used.expect("usage").parse::<u64>().expect("a number") * 1000
    });
    assert!(stats["cpu_stats"]["system_cpu_usage"].as_u64().expect("time") > 0);
    let line = dhow.ok([
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.MemUsage}} {{.PIDs}}",
        "measured",
    ]);
    assert!(
        line.starts_with("measured ") && line.ends_with("/ 64MiB 1"),
        "{line}"
    );
    assert!(!line.contains(" 0B /"), "{line}");
    dhow.ok(["rm", "-f", "measured"]);
}

#[test]
fn a_container_sees_its_own_group_as_the_root() {
    let Some((daemon, dhow)) = unified() else { return };
    let look = "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/new";
    let run = |flags: &[&str]| {
        let arguments = ["run", "--rm"].iter().chain(flags);
        dhow.run(arguments.chain(&["busybox", "sh", "-c", look]))
    };
    let own = run(&[]);
    assert!(own.stdout.starts_with("0::/\n1\n"), "{own:?}");
    assert!(own.stderr.contains("Read-only file system"), "{own:?}");
    let host = run(&["--cgroupns", "host"]);
    assert!(
        host.stdout.starts_with(&format!("0::/dhow-{}/", daemon.tag())),
        "{host:?}"
    );
    let privileged = run(&["--privileged"]);
    assert!(privileged.stdout.starts_with("0::/\n"), "{privileged:?}");
    assert_eq!(privileged.code, 0, "{privileged:?}");

    let id = sleeper(&dhow, &["--name", "own"]);
    assert_eq!(
        dhow.ok(["inspect", "--format", "{{.HostConfig.CgroupnsMode}}", "own"]),
        "private"
    );
    assert_eq!(dhow.ok(["exec", "own", "cat", "/proc/self/cgroup"]), "0::/");
    // From outside: the process of an exec is in the container's group.
    let mut exec = dhow.spawn(["exec", "own", "sleep", "1000"]);
    let group = group(&daemon, &id);
    until("the process of the exec", || {
        read(&group, "cgroup.procs").lines().count() == 2
    });
    dhow.ok(["rm", "-f", "own"]);
    exec.wait().expect("the exec's client");
}

#[test]
fn an_engine_inside_may_have_groups_of_its_own() {
    if !is_unified() {
        return;
    }
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = first_client(&daemon);
    // What systemd or another engine does inside: processes into a leaf, controllers for the children. From then on
    // the container's own group can hold no process.
    let script = "cd /sys/fs/cgroup && mkdir leaf && echo 0 > leaf/cgroup.procs && \
                  echo +pids +memory > cgroup.subtree_control && mkdir -p other/deep && echo made && exec sleep 1000";
    let id = dhow.ok([
        "run",
        "-d",
        "--name",
        "nest",
        "--privileged",
        "--memory",
        "64m",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    until("the groups inside", || dhow.ok(["logs", "nest"]) == "made");
    assert_eq!(dhow.ok(["exec", "nest", "echo", "inside"]), "inside");
    let top = dhow.ok(["top", "nest"]);
    assert!(top.contains("sleep 1000"), "{top}");
    dhow.ok(["update", "--pids-limit", "100", "nest"]);
    dhow.ok(["pause", "nest"]);
    dhow.ok(["unpause", "nest"]);
    let group = group(&daemon, &id);
    assert_eq!(read(&group, "pids.max"), "100");
    daemon.kill_and_restart();
    assert_eq!(dhow.ok(["exec", "nest", "echo", "again"]), "again");
    dhow.ok(["restart", "--time", "0", "nest"]);
    dhow.ok(["rm", "-f", "nest"]);
    assert!(!group.exists());
}

#[test]
fn a_container_goes_below_the_parent_that_is_named() {
    let Some((_daemon, dhow)) = unified() else { return };
    let parent = format!("/dhow-test-{}", std::process::id());
    let id = sleeper(&dhow, &["--cgroup-parent", &parent, "--memory", "64m"]);
    let top = PathBuf::from(format!("/sys/fs/cgroup{parent}"));
    let limit = read(&top.join(&id), "memory.max");
    let gone = dhow.run(["rm", "-f", &id]);
    let left = top.join(&id).exists();
    fs::remove_dir(&top).expect("the parent is empty");
    assert_eq!((limit.as_str(), gone.code, left), ("67108864", 0, false));
}

#[test]
fn what_version_2_cannot_do_is_discarded_with_a_warning() {
    let Some((_daemon, dhow)) = unified() else { return };
    let output = dhow.run([
        "run",
        "--rm",
        "--memory",
        "64m",
        "--memory-swappiness",
        "50",
        "--oom-kill-disable",
        "busybox",
        "true",
    ]);
    assert_eq!(output.code, 0, "{output:?}");
    for warning in ["OomKillDisable discarded.", "Memory swappiness discarded."] {
        assert!(output.stderr.contains(warning), "{output:?}");
    }
    let error = dhow.fails(
        125,
        ["run", "--rm", "--cpu-rt-runtime", "1000", "busybox", "true"],
    );
    assert!(error.contains("real-time"), "{error}");
    let info = dhow.ok([
        "info",
        "--format",
        "{{.CgroupVersion}} {{.CgroupDriver}} {{.SecurityOptions}}",
    ]);
    assert!(
        info.starts_with("2 cgroupfs ") && info.contains("name=cgroupns"),
        "{info}"
    );
}
