//! Limits: set from outside, read back inside.

use e2e::{daemon, for_each_client};

#[test]
fn limits_are_seen_inside_the_container() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let v1 = std::path::Path::new("/sys/fs/cgroup/memory").is_dir();
    let script = if v1 {
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpuset/cpuset.cpus"
    } else {
        "cd /sys/fs/cgroup; cat memory.max pids.max; cut -d' ' -f1 cpu.max; cat cpuset.cpus"
    };
    for_each_client(&daemon, |docker| {
        let text = docker.ok([
            "run",
            "--rm",
            "--memory",
            "64m",
            "--pids-limit",
            "50",
            "--cpus",
            "0.5",
            "--cpuset-cpus",
            "0",
            "busybox",
            "sh",
            "-c",
            script,
        ]);
        assert_eq!(text, format!("{}\n50\n50000\n0", 64 << 20));
    });
}

#[test]
fn too_much_memory_ends_a_container_with_137_and_inspect_says_why() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let script = "x=$(head -c 100000000 /dev/zero | tr '\\0' a); echo ${#x}";
        let output = docker.run([
            "run", "--name", "greedy", "--memory", "16m", "busybox", "sh", "-c", script,
        ]);
        assert_eq!(output.code, 137, "{output:?}");
        assert_eq!(
            docker.ok(["inspect", "--format", "{{.State.OOMKilled}}", "greedy"]),
            "true"
        );
        docker.ok(["rm", "greedy"]);
    });
}

#[test]
fn capabilities_and_filter_are_dockers() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let status = |flags: &[&str]| {
            let run = ["run", "--rm"]
                .iter()
                .chain(flags)
                .chain(&["busybox", "cat", "/proc/self/status"]);
            docker.ok(run)
        };
        let field = |text: &str, name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        let plain = status(&[]);
        assert_eq!(field(&plain, "CapBnd:"), "00000000a80425fb");
        assert_eq!(
            (field(&plain, "Seccomp:"), field(&plain, "NoNewPrivs:")),
            ("2".to_owned(), "0".to_owned())
        );
        assert_eq!(
            field(&status(&["--cap-drop", "ALL", "--cap-add", "NET_RAW"]), "CapBnd:"),
            "0000000000002000"
        );
        assert_eq!(
            field(&status(&["--security-opt", "seccomp=unconfined"]), "Seccomp:"),
            "0"
        );
        assert_eq!(
            field(&status(&["--security-opt", "no-new-privileges"]), "NoNewPrivs:"),
            "1"
        );
        let error = docker.fails(1, ["create", "--cap-add", "NO_SUCH", "busybox"]);
        assert!(
            error.contains("invalid CapAdd: unknown capability: \"CAP_NO_SUCH\""),
            "{error}"
        );
    });
}
