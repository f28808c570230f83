//! Health checks, and networks that a running container joins and leaves.

use e2e::{daemon, for_each_client, until};

const STATUS: &str = "{{.State.Health.Status}}";

#[test]
fn a_health_check_follows_the_container_over_a_restart_of_the_daemon() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let status = || docker.ok(["inspect", "--format", STATUS, "probed"]);
        let check = [
            "--health-cmd",
            "cat /ready",
            "--health-interval",
            "100ms",
            "--health-retries",
            "2",
        ];
        let mut run = vec!["run", "-d", "--name", "probed"];
        run.extend(check);
        run.extend(["busybox", "sleep", "1000"]);
        docker.ok(run);
        until("an unhealthy container", || status() == "unhealthy");
        docker.ok(["exec", "probed", "sh", "-c", "echo yes > /ready"]);
        until("a healthy container", || status() == "healthy");
        assert!(
            docker
                .ok(["ps", "--filter", "health=healthy"])
                .contains("(healthy)")
        );
        daemon.kill_and_restart();
        assert_eq!(status(), "healthy");
        docker.ok(["exec", "probed", "rm", "/ready"]);
        until("an unhealthy container", || status() == "unhealthy");
        docker.ok(["rm", "-f", "probed"]);
    });
}

#[test]
fn a_probe_that_takes_too_long_is_killed_with_all_that_it_started() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let mut run = vec![
            "run",
            "-d",
            "--name",
            "slow",
            "--health-cmd",
            "echo begun; sleep 77777; true",
        ];
        run.extend([
            "--health-interval",
            "50ms",
            "--health-timeout",
            "2s",
            "--health-retries",
            "1",
        ]);
        run.extend(["busybox", "sleep", "1000"]);
        docker.ok(run);
        let output = "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}";
        let log = || docker.ok(["inspect", "--format", output, "slow"]);
        until("two probes", || {
            log()
                .matches("-1 Health check exceeded timeout (2s): begun")
                .count()
                >= 2
        });
        // The one that was killed last may still be on its way out.
        until("no more than the probe that runs now and its shell", || {
            docker.ok(["top", "slow"]).matches("77777").count() <= 2
        });
        docker.ok(["rm", "-f", "slow"]);
    });
}

#[test]
fn a_running_container_joins_and_leaves_networks() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let links = || docker.ok(["exec", "mover", "ls", "/sys/class/net"]);
        let networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let inspected = || docker.ok(["inspect", "--format", networks, "mover"]);
        docker.ok(["network", "create", "second"]);
        docker.ok(["run", "-d", "--name", "mover", "busybox", "sleep", "1000"]);
        docker.ok(["network", "connect", "second", "mover"]);
        assert!(links().contains("eth1"), "{}", links());
        assert_eq!(inspected().trim(), "bridge second");
        let again = docker.run(["network", "connect", "second", "mover"]);
        assert!(
            again
                .stderr
                .contains("endpoint with name mover already exists in network second"),
            "{}",
            again.stderr
        );
        docker.ok(["network", "disconnect", "bridge", "mover"]);
        // The pair goes away in the background.
        until("the end of the link", || !links().contains("eth0"));
        daemon.kill_and_restart();
        docker.ok(["restart", "-t", "0", "mover"]);
        assert_eq!(inspected().trim(), "second");
        docker.ok(["rm", "-f", "mover"]);
        docker.ok(["network", "rm", "second"]);
    });
}
