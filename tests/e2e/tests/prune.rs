//! `prune` of every kind takes what nobody uses, and nothing else.

use e2e::{Client, daemon, for_each_client};

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn names(docker: &Client, list: &[&str]) -> Vec<String> {
    let text = docker.ok(list);
    lines(&text).into_iter().map(str::to_owned).collect()
}

#[test]
fn container_prune_takes_the_stopped_ones_that_pass_the_filter() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let all = || names(docker, &["ps", "-a", "--format", "{{.Names}}"]);
        docker.ok(["run", "-d", "--name", "busy", "busybox", "sleep", "1000"]);
        docker.ok(["create", "--name", "kept", "--label", "keep=yes", "busybox"]);
        docker.ok(["create", "--name", "idle", "busybox"]);
        docker.ok(["container", "prune", "-f", "--filter", "until=24h"]);
        assert_eq!(all(), ["busy", "idle", "kept"]);
        let text = docker.ok(["container", "prune", "-f", "--filter", "label!=keep"]);
        assert!(
            text.contains("Deleted Containers:") && text.contains("Total reclaimed space:"),
            "{text}"
        );
        assert_eq!(all(), ["busy", "kept"]);
        // Without an answer nothing happens.
        let output = docker.run_with(["container", "prune"], b"n\n");
        assert!(output.stdout.contains("[y/N]"), "{output:?}");
        assert_eq!(all(), ["busy", "kept"]);
        docker.ok(["container", "prune", "--force"]);
        assert_eq!(all(), ["busy"]);
        docker.ok(["rm", "-f", "busy"]);
    });
}

#[test]
fn image_prune_takes_the_nameless_and_with_all_the_unused() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "--name", "work", "busybox", "touch", "/new"]);
        let nameless = docker.ok(["commit", "work"]);
        docker.ok(["commit", "work", "named:1"]);
        docker.ok(["rm", "work"]);
        docker.ok(["create", "--name", "user", "busybox"]);
        let tags = || names(docker, &["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        assert_eq!(tags(), ["<none>:<none>", "busybox:latest", "named:1"]);
        let text = docker.ok(["image", "prune", "-f"]);
        assert!(text.contains(&nameless), "{text}");
        assert_eq!(tags(), ["busybox:latest", "named:1"]);
        docker.ok(["image", "prune", "-a", "-f"]);
        assert_eq!(tags(), ["busybox:latest"]);
        docker.ok(["rm", "user"]);
    });
}

#[test]
fn volume_prune_takes_what_no_container_holds() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let all = || names(docker, &["volume", "ls", "-q"]);
        docker.ok(["volume", "create", "--label", "keep=yes", "kept"]);
        docker.ok(["volume", "create", "--label", "go=yes", "gone"]);
        docker.ok([
            "create",
            "--name",
            "holder",
            "-v",
            "held:/h",
            "-v",
            "/anonymous",
            "busybox",
        ]);
        assert_eq!(all().len(), 4);
        let filter = if docker.name.starts_with("docker 20.") {
            // Named volumes are pruned without a word there.
            vec!["volume", "prune", "-f", "--filter", "label=go"]
        } else {
            vec!["volume", "prune", "-f", "-a", "--filter", "label=go"]
        };
        let text = docker.ok(filter);
        assert!(text.contains("gone"), "{text}");
        assert_eq!(all().len(), 3);
        docker.ok(["rm", "holder"]);
        let prune: &[&str] = &["volume", "prune", "-f", "--filter", "label!=keep"];
        let text = docker.ok(prune);
        assert!(!text.contains("kept"), "{text}");
        if !docker.name.starts_with("docker 20.") {
            // Only the anonymous one went.
            assert_eq!(all(), ["held", "kept"]);
            docker.ok(["volume", "rm", "held"]);
        }
        assert_eq!(all(), ["kept"]);
        docker.ok(["volume", "rm", "kept"]);
    });
}

#[test]
fn network_prune_and_system_prune_leave_what_is_in_use() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let own = || {
            names(
                docker,
                &[
                    "network",
                    "ls",
                    "--filter",
                    "type=custom",
                    "--format",
                    "{{.Name}}",
                ],
            )
        };
        docker.ok(["network", "create", "used"]);
        docker.ok(["network", "create", "idle"]);
        let run = ["run", "-d", "--name", "busy", "--network", "used"];
        docker.ok(run.iter().chain(&["busybox", "sleep", "1000"]));
        let text = docker.ok(["network", "prune", "-f"]);
        assert!(text.contains("idle") && !text.contains("used"), "{text}");
        assert_eq!(own(), ["used"]);
        docker.ok(["create", "--name", "stopped", "-v", "/anonymous", "busybox"]);
        docker.ok(["network", "create", "idle"]);
        docker.ok(["system", "prune", "-f", "--filter", "label=none"]);
        assert_eq!(own(), ["idle", "used"]);
        docker.ok(["system", "prune", "-f"]);
        assert_eq!(own(), ["used"]);
        assert_eq!(names(docker, &["ps", "-a", "--format", "{{.Names}}"]), ["busy"]);
        assert_eq!(names(docker, &["volume", "ls", "-q"]).len(), 1);
        let text = docker.ok(["system", "prune", "-f", "--volumes"]);
        assert!(text.contains("Total reclaimed space:"), "{text}");
        assert_eq!(docker.ok(["volume", "ls", "-q"]), "");
        docker.ok(["rm", "-f", "busy"]);
        docker.ok(["network", "rm", "used"]);
    });
}
