//! The daemon may die at any time.

use std::io::Read;

use e2e::{Output, daemon, for_each_client, http, until};
use serde_json::json;

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
fn execs_outlive_the_daemon_and_their_exit_codes_are_learnt() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
        let pid = docker.ok(["inspect", "--format", "{{.State.Pid}}", "box"]);
        let inside = |name: &str| format!("/proc/{pid}/root/{name}");
        let script = "echo started; while [ ! -e /go ]; do sleep 0.1; done; echo over; exit 4";
        let mut attached = docker.spawn(["exec", "box", "sh", "-c", script]);
        let mut first = [0; 8];
        let stdout = attached.stdout.as_mut().expect("its output");
        stdout.read_exact(&mut first).expect("its first line");
        // The other one ends while nobody is there.
        let script =
            json!({"Cmd": ["sh", "-c", "while [ ! -e /end ]; do sleep 0.1; done; : > /ended; exit 3"]});
        let made = http::request(&daemon, "POST", "/containers/box/exec", Some(&script)).json();
        let id = made["Id"].as_str().expect("an id").to_owned();
        let detached = json!({"Detach": true});
        http::request(&daemon, "POST", &format!("/exec/{id}/start"), Some(&detached));

        daemon.kill();
        std::fs::write(inside("end"), "").expect("file");
        until("the exec's end", || {
            std::path::Path::new(&inside("ended")).exists()
        });
        daemon.start();
        std::fs::write(inside("go"), "").expect("file");
        let output = Output::of(&attached.wait_with_output().expect("the client's end"));
        assert_eq!((output.code, output.stdout.as_str()), (4, "over\n"), "{output:?}");
        let ask = || http::request(&daemon, "GET", &format!("/exec/{id}/json"), None).json();
        until("the other's exit code", || ask()["Running"] == json!(false));
        assert_eq!(ask()["ExitCode"], json!(3));
        docker.ok(["rm", "-f", "box"]);
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
