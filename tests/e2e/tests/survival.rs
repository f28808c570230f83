//! The daemon may die at any time.

use e2e::{daemon, for_each_client, until};

#[test]
fn containers_outlive_the_daemon_with_logs_and_exit_codes() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let script = "echo before; while [ ! -e /go ]; do sleep 0.1; done; echo after; exit 5";
        docker.ok(["run", "-d", "--name", "long", "busybox", "sh", "-c", script]);
        let pid = docker.ok(["inspect", "--format", "{{.State.Pid}}", "long"]);
        daemon.kill_and_restart();
        assert_eq!(
            docker.ok(["inspect", "--format", "{{.State.Pid}} {{.State.Status}}", "long"]),
            format!("{pid} running")
        );
        docker.ok(["exec", "long", "touch", "/go"]);
        assert_eq!(docker.ok(["wait", "long"]), "5");
        assert_eq!(docker.ok(["logs", "long"]), "before\nafter");
        docker.ok(["rm", "long"]);
    });
}

#[test]
fn an_end_while_the_daemon_is_dead_is_not_lost() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "short",
            "busybox",
            "sh",
            "-c",
            "sleep 0.5; echo bye; exit 9",
        ]);
        let pid = docker.ok(["inspect", "--format", "{{.State.Pid}}", "short"]);
        daemon.kill();
        until("the container's end", || {
            !std::path::Path::new(&format!("/proc/{pid}")).exists()
        });
        daemon.start();
        // Its monitor may still be about to write down how it ended.
        assert_eq!(docker.ok(["wait", "short"]), "9");
        assert_eq!(
            docker.ok([
                "inspect",
                "--format",
                "{{.State.ExitCode}} {{.State.Status}}",
                "short"
            ]),
            "9 exited"
        );
        assert_eq!(docker.ok(["logs", "short"]), "bye");
        docker.ok(["rm", "short"]);
    });
}
