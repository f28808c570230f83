//! The monitor of a container may die, and containers may come and go in numbers.

use e2e::{Leftovers, clients, daemon, for_each_client, until};
use rustix::process::{Pid, Signal, kill_process};

/// The parent of a container's process.
fn monitor_of(pid: &str) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let mut lines = status.lines();
    let parent = lines.find_map(|line| line.strip_prefix("PPid:")).expect("parent");
    Pid::from_raw(parent.trim().parse().expect("a pid")).expect("a monitor")
}

fn is_gone(pid: &str) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_monitor_that_stands_still_holds_up_its_own_container_only() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = clients(&daemon).into_iter().next().expect("a client");
    let script = "echo said; while [ ! -e /go ]; do sleep 0.1; done; exit 4";
    docker.ok(["run", "-d", "--name", "still", "busybox", "sh", "-c", script]);
    docker.ok(["run", "-d", "--name", "other", "busybox", "sleep", "1000"]);
    until("the word", || docker.ok(["logs", "still"]) == "said");
    let state = || docker.ok(["inspect", "--format", "{{.State.Status}} {{.State.Pid}}", "still"]);
    let running = state();
    let pid = running.split(' ').next_back().expect("a pid").to_owned();
    let monitor = monitor_of(&pid);
    kill_process(monitor, Signal::STOP).expect("stop");
    // A new daemon answers, and finds everything as it was.
    daemon.kill_and_restart();
    assert_eq!(state(), running);
    assert_eq!(docker.ok(["logs", "still"]), "said");
    assert_eq!(docker.ok(["exec", "still", "cat", "/proc/1/comm"]), "sh");
    assert_eq!(docker.ok(["exec", "other", "echo", "alive"]), "alive");
    // Let go, it tells how its container ends.
    kill_process(monitor, Signal::CONT).expect("continue");
    docker.ok(["exec", "still", "touch", "/go"]);
    assert_eq!(docker.ok(["wait", "still"]), "4");
    // One that never goes on does not keep its container from being removed.
    let pid = docker.ok(["inspect", "--format", "{{.State.Pid}}", "other"]);
    kill_process(monitor_of(&pid), Signal::STOP).expect("stop");
    docker.ok(["rm", "-f", "other"]);
    until("the end of the container's process", || is_gone(&pid));
    docker.ok(["rm", "still"]);
}

#[test]
fn a_container_whose_monitor_is_killed_ends_with_137_and_its_policy_acts() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        for (name, policy) in [("mortal", "no"), ("immortal", "always")] {
            docker.ok([
                "run",
                "-d",
                "--name",
                name,
                "--restart",
                policy,
                "busybox",
                "sleep",
                "1000",
            ]);
            let pid = docker.ok(["inspect", "--format", "{{.State.Pid}}", name]);
            kill_process(monitor_of(&pid), Signal::KILL).expect("kill");
            until("the end of the container's process", || is_gone(&pid));
        }
        let state = "{{.State.Status}} {{.State.ExitCode}}";
        until("the end", || {
            docker.ok(["inspect", "--format", state, "mortal"]) == "exited 137"
        });
        assert_ne!(
            docker.ok(["inspect", "--format", "{{.State.Error}}", "mortal"]),
            "",
            "a reason is given"
        );
        let again = "{{.RestartCount}} {{.State.Status}}";
        until("the restart", || {
            docker.ok(["inspect", "--format", again, "immortal"]) == "1 running"
        });
        docker.ok(["exec", "immortal", "true"]);
        docker.ok(["rm", "-f", "mortal", "immortal"]);
    });
}

#[test]
fn fifty_containers_come_and_go_and_nothing_is_left() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = clients(&daemon).into_iter().next().expect("a client");
    let names: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
    for name in &names {
        docker.ok(["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
    }
    assert_eq!(docker.ok(["ps", "-q"]).lines().count(), 50);
    docker.ok(["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)));
    assert_eq!(docker.ok(["ps", "-aq"]), "");
    let left = Leftovers::of(&daemon);
    until("all their links, cgroups, mounts and processes are gone", || {
        left.of_users().is_empty()
    });
}
