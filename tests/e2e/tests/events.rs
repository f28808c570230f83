//! What `events` tells, of what is over and of what happens.

use e2e::{daemon, for_each_client, http, until};
use serde_json::json;

#[test]
fn an_end_without_a_beginning_means_all_that_is_over() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["create", "--name", "first", "busybox"]);
        docker.ok(["rename", "first", "second"]);
        let now = docker.ok(["info", "-f", "{{.SystemTime}}"]);
        let told = docker.ok(["events", "--until", &now, "--format", "{{.Action}}"]);
        assert!(told.lines().any(|action| action == "rename"), "{told}");
        docker.ok(["rm", "second"]);
    });
    let reply = http::request(&daemon, "GET", "/events?since=20&until=10", None);
    assert_eq!(
        (reply.status, reply.message().as_str()),
        (400, "`since` time (20) cannot be after `until` time (10)")
    );
}

#[test]
fn a_kill_is_no_stop_and_volumes_and_copies_are_told() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let run = ["run", "-d", "-v", "told:/place", "busybox", "sleep", "1000"];
        let id = docker.ok(run);
        let file = daemon.folder().join("out");
        docker.ok(["cp", &format!("{id}:/etc/passwd"), file.to_str().expect("utf-8")]);
        docker.ok(["cp", file.to_str().expect("utf-8"), &format!("{id}:/place")]);
        docker.ok(["kill", &id]);
        let of = |filters| http::actions(&daemon, "v1.50", &filters);
        let first = of(json!({"container": [id], "type": ["container"]}));
        assert_eq!(
            first,
            ["create", "start", "archive-path", "extract-to-dir", "kill", "die"]
        );
        docker.ok(["start", &id]);
        // The first process does not hear the stop signal, and is killed.
        docker.ok(["stop", "-t", "0", &id]);
        let all = of(json!({"container": [id], "type": ["container"]}));
        assert_eq!(all[first.len()..], ["start", "kill", "kill", "die", "stop"]);
        docker.ok(["rm", &id]);
        docker.ok(["volume", "rm", "told"]);
        let told = of(json!({"volume": ["told"]}));
        assert!(
            told.ends_with(&["create", "mount", "unmount", "mount", "unmount", "destroy"].map(str::to_owned))
        );
    });
}

#[test]
fn whoever_waits_for_the_last_end_is_not_told_of_one_before() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let id = docker.ok(["run", "-d", "--restart", "on-failure:3", "busybox", "false"]);
        until("the last end", || {
            let state = http::get(&daemon, &format!("/containers/{id}/json"));
            let is = |name: &str| state["State"][name].as_bool().expect("a truth value");
            !is("Running") && !is("Restarting")
        });
        assert_eq!(docker.ok(["inspect", "-f", "{{.RestartCount}}", &id]), "3");
        docker.ok(["rm", &id]);
        // One that waits for its next run can be killed for good.
        let id = docker.ok(["run", "-d", "--restart", "always", "busybox", "false"]);
        until("a restart", || {
            docker.ok(["inspect", "-f", "{{.State.Restarting}}", &id]) == "true"
        });
        docker.ok(["kill", &id]);
        until("the end", || {
            docker.ok(["inspect", "-f", "{{.State.Status}}", &id]) == "exited"
        });
        docker.ok(["rm", &id]);
    });
}
