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

#[test]
fn restarts_are_counted_on_through_the_daemons_death() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        // The n-th run lasts until /go<n> is there.
        let script = "echo >> /runs; n=$(wc -l < /runs); while [ ! -e /go$n ]; do sleep 0.1; done; exit 1";
        let run = ["run", "-d", "--name", "again", "--restart", "on-failure:3"];
        docker.ok(run.iter().chain(&["busybox", "sh", "-c", script]));
        let state = || {
            let format = "{{.RestartCount}} {{.State.Status}} {{.State.Pid}}";
            docker.ok(["inspect", "--format", format, "again"])
        };
        let pid = || state().rsplit(' ').next().expect("a pid").to_owned();
        let let_end = |pid: &str, run: u32| {
            std::fs::write(format!("/proc/{pid}/root/go{run}"), "").expect("file");
        };
        let_end(&pid(), 1);
        until("the first restart", || state().starts_with("1 running "));
        daemon.kill_and_restart();
        assert!(state().starts_with("1 running "), "{}", state());
        let_end(&pid(), 2);
        until("the second restart", || state().starts_with("2 running "));
        // The third run ends while nobody is there to start it again.
        let third = pid();
        daemon.kill();
        let_end(&third, 3);
        until("the end of the third run", || {
            !std::path::Path::new(&format!("/proc/{third}")).exists()
        });
        daemon.start();
        until("the third restart", || state().starts_with("3 running "));
        let_end(&pid(), 4);
        until("the end", || state().starts_with("3 exited "));
        docker.ok(["rm", "again"]);
    });
}
