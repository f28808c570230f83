//! The monitor of a container may die, and containers may come and go in numbers.

use e2e::{Leftovers, clients, daemon, for_each_client, until};

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
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
            let parent = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:"))
                .expect("parent");
            let parent =
                rustix::process::Pid::from_raw(parent.trim().parse().expect("a pid")).expect("a monitor");
            rustix::process::kill_process(parent, rustix::process::Signal::KILL).expect("kill");
            until("the end of the container's process", || {
                !std::path::Path::new(&format!("/proc/{pid}")).exists()
            });
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
