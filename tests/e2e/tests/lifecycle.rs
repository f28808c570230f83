//! From create to rm: states, signals, restart policies.

use e2e::{daemon, for_each_client, until};

#[test]
fn a_container_goes_through_its_states() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let status = || docker.ok(["inspect", "--format", "{{.State.Status}}", "life"]);
        let script = "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        docker.ok(["create", "--name", "life", "busybox", "sh", "-c", script]);
        assert_eq!(status(), "created");
        docker.ok(["start", "life"]);
        assert_eq!(status(), "running");
        until("the trap", || docker.ok(["logs", "life"]) == "ready");
        docker.ok(["pause", "life"]);
        assert_eq!(status(), "paused");
        docker.ok(["unpause", "life"]);
        docker.ok(["stop", "life"]);
        assert_eq!(status(), "exited");
        assert_eq!(
            docker.ok(["inspect", "--format", "{{.State.ExitCode}}", "life"]),
            "3"
        );
        docker.ok(["restart", "life"]);
        docker.ok(["rename", "life", "after"]);
        let error = docker.fails(1, ["rm", "after"]);
        assert!(error.contains("container is running"), "{error}");
        docker.ok(["kill", "after"]);
        assert_eq!(docker.ok(["wait", "after"]), "137");
        docker.ok(["rm", "after"]);
        let error = docker.fails(1, ["inspect", "after"]);
        assert!(error.to_lowercase().contains("no such object: after"), "{error}");
    });
}

#[test]
fn a_name_is_given_once() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["create", "--name", "one", "busybox"]);
        let error = docker.fails(1, ["create", "--name", "one", "busybox"]);
        assert!(
            error.contains("The container name \"/one\" is already in use by container"),
            "{error}"
        );
        docker.ok(["rm", "one"]);
    });
}

#[test]
fn a_restart_policy_starts_again_and_counts() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "again",
            "--restart",
            "on-failure:2",
            "busybox",
            "sh",
            "-c",
            "exit 1",
        ]);
        let state = || {
            docker.ok([
                "inspect",
                "--format",
                "{{.State.Status}} {{.RestartCount}}",
                "again",
            ])
        };
        until("two restarts", || state() == "exited 2");
        // Between the count and the last run there is a moment at which it still runs.
        until("the last end", || docker.run(["rm", "again"]).code == 0);
        docker.ok([
            "run",
            "-d",
            "--name",
            "always",
            "--restart",
            "always",
            "busybox",
            "sleep",
            "1000",
        ]);
        daemon.kill_and_restart();
        docker.ok(["stop", "-t", "0", "always"]);
        daemon.kill_and_restart();
        // Stopped by hand stays stopped only until the daemon starts again, with `always`.
        let running = || docker.ok(["inspect", "--format", "{{.State.Running}}", "always"]);
        until("a start with the daemon", || running() == "true");
        docker.ok(["rm", "-f", "always"]);
    });
}

#[test]
fn twenty_containers_at_once_leave_nothing_behind() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let children: Vec<_> = (0..20)
            .map(|_| docker.spawn(["run", "--rm", "busybox", "true"]))
            .collect();
        for child in children {
            let output = child.wait_with_output().expect("client");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        until("the end of all", || docker.ok(["ps", "-aq"]).is_empty());
    });
}
