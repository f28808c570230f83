//! Flags of `run`, each read back inside the container.

use std::fs;

use e2e::{Client, daemon, for_each_client, until};

fn inside(docker: &Client, flags: &[&str], script: &str) -> String {
    let command = ["busybox", "sh", "-c", script];
    let run = ["run", "--rm"].iter().chain(flags).chain(&command);
    docker.ok(run)
}

#[test]
fn files_and_names_of_the_container_are_as_asked() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let file = daemon.folder().join("env");
    fs::write(&file, "# a comment\nONE=1\nTWO=a b\n").expect("env file");
    let file = file.to_string_lossy().into_owned();
    for_each_client(&daemon, |docker| {
        let flags = ["--env-file", &file, "-e", "ONE=2"];
        assert_eq!(inside(docker, &flags, "echo $ONE-$TWO"), "2-a b");
        let hosts = inside(docker, &["--add-host", "db:10.1.2.3"], "grep -w db /etc/hosts");
        assert_eq!(hosts.split_whitespace().collect::<Vec<_>>(), ["10.1.2.3", "db"]);
        let resolv = inside(
            docker,
            &["--dns", "192.0.2.53"],
            "grep ^nameserver /etc/resolv.conf",
        );
        assert_eq!(resolv, "nameserver 192.0.2.53");
        assert_eq!(
            docker.ok(["run", "--rm", "--entrypoint", "echo", "busybox", "a"]),
            "a"
        );
        assert_eq!(inside(docker, &["-u", "1234:5678"], "id -u; id -g"), "1234\n5678");
        let groups = inside(docker, &["-u", "guest", "--group-add", "3000"], "id -G");
        assert_eq!(groups, "1000 2000 3000");
    });
}

#[test]
fn a_read_only_container_can_write_to_its_tmpfs_only() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let flags = ["--read-only", "--tmpfs", "/scratch:size=1m"];
        let script = "touch /file 2>/dev/null || echo refused; touch /scratch/file && echo written; df -k /scratch | awk 'END{print $2}'";
        assert_eq!(inside(docker, &flags, script), "refused\nwritten\n1024");
    });
}

#[test]
fn the_default_filter_refuses_namespaces_and_mounts_and_privileged_allows_them() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let script = "unshare -m true 2>/dev/null && echo yes || echo no; mkdir /m; mount -t tmpfs none /m 2>/dev/null && echo yes || echo no";
    for_each_client(&daemon, |docker| {
        assert_eq!(inside(docker, &[], script), "no\nno");
        assert_eq!(inside(docker, &["--privileged"], script), "yes\nyes");
    });
}

#[test]
fn networks_none_host_and_of_another_container_are_what_they_say() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let host = fs::read_link("/proc/self/ns/net").expect("namespace");
    let show = "readlink /proc/self/ns/net";
    for_each_client(&daemon, |docker| {
        assert_eq!(
            inside(
                docker,
                &["--network", "none"],
                "ls /sys/class/net | grep eth | wc -l"
            ),
            "0"
        );
    });
    for_each_client(&daemon, |docker| {
        assert_eq!(
            inside(docker, &["--network", "host"], show),
            host.to_string_lossy()
        );
        docker.ok(["run", "-d", "--name", "other", "busybox", "sleep", "100"]);
        let other = docker.ok(["exec", "other", "readlink", "/proc/self/ns/net"]);
        assert_ne!(other, host.to_string_lossy());
        assert_eq!(inside(docker, &["--network", "container:other"], show), other);
        docker.ok(["rm", "-f", "other"]);
    });
}

#[test]
fn ulimits_init_and_the_stop_signal_are_as_asked() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        assert_eq!(
            inside(docker, &["--ulimit", "nofile=64:128"], "ulimit -Sn; ulimit -Hn"),
            "64\n128"
        );
        // An orphan becomes the child of the init, which reaps it; else it would stay as long as the container.
        let orphan = "(sleep 0.1 & echo $! > /orphan); while [ -d /proc/$(cat /orphan) ]; do sleep 0.1; done; echo reaped";
        let output = docker.run(["run", "--rm", "--init", "busybox", "sh", "-c", orphan]);
        assert_eq!(output.stdout.trim(), "reaped", "{output:?}");
        let script = "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done";
        docker.ok([
            "run",
            "-d",
            "--name",
            "polite",
            "--stop-signal",
            "USR1",
            "busybox",
            "sh",
            "-c",
            script,
        ]);
        until("the trap", || docker.ok(["logs", "polite"]) == "ready");
        docker.ok(["stop", "polite"]);
        assert_eq!(
            docker.ok(["inspect", "--format", "{{.State.ExitCode}}", "polite"]),
            "42"
        );
        docker.ok(["rm", "polite"]);
    });
}

#[test]
fn a_failing_container_is_started_again_as_often_as_its_policy_says() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id_file = daemon.folder().join("cid");
    let id_path = id_file.to_string_lossy().into_owned();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--cidfile",
            &id_path,
            "--name",
            "again",
            "--restart",
            "on-failure:2",
            "busybox",
            "sh",
            "-c",
            "echo run; exit 3",
        ]);
        let id = fs::read_to_string(&id_file).expect("cidfile");
        fs::remove_file(&id_file).expect("cidfile");
        let state = "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}";
        until("two restarts", || {
            docker.ok(["inspect", "--format", state, &id]) == "2 exited 3"
        });
        until("the output of three runs", || {
            docker.ok(["logs", "again"]) == "run\nrun\nrun"
        });
        docker.ok(["rm", "again"]);
    });
}

#[test]
fn the_ipc_namespace_is_as_asked() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let host = fs::read_link("/proc/self/ns/ipc").expect("namespace");
    let host = host.to_string_lossy();
    let show = "readlink /proc/self/ns/ipc; grep -c ' /dev/shm tmpfs' /proc/mounts";
    for_each_client(&daemon, |docker| {
        for (mode, own, shared_memory) in [
            ("private", true, "1"),
            ("shareable", true, "1"),
            ("none", true, "0"),
            ("host", false, "1"),
        ] {
            // `grep` that finds nothing says so with its exit code.
            let shown = inside(docker, &["--ipc", mode], &format!("{show}; true"));
            let (namespace, count) = shown.split_once('\n').expect("two lines");
            assert_eq!((namespace != host, count), (own, shared_memory), "{mode}");
        }
        let error = docker.fails(125, ["run", "--rm", "--ipc", "nonsense", "busybox", "true"]);
        assert!(error.contains("invalid IPC mode: nonsense"), "{error}");
        let donor = |mode: &str| {
            docker.ok([
                "run", "-d", "--name", "donor", "--ipc", mode, "busybox", "sleep", "1000",
            ]);
            docker.ok(["exec", "donor", "sh", "-c", "echo kept > /dev/shm/left"]);
            docker.ok(["exec", "donor", "readlink", "/proc/self/ns/ipc"])
        };
        let shared = donor("shareable");
        let script = "readlink /proc/self/ns/ipc; cat /dev/shm/left; echo back > /dev/shm/right";
        let seen = inside(docker, &["--ipc", "container:donor"], script);
        assert_eq!(seen, format!("{shared}\nkept"));
        assert_eq!(docker.ok(["exec", "donor", "cat", "/dev/shm/right"]), "back");
        docker.ok(["rm", "-f", "donor"]);
        donor("private");
        let error = docker.fails(
            125,
            ["run", "--rm", "--ipc", "container:donor", "busybox", "true"],
        );
        assert!(error.contains("non-shareable IPC"), "{error}");
        docker.ok(["rm", "-f", "donor"]);
    });
}
