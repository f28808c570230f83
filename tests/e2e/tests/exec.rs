//! `exec`, `attach`, `logs`, `top`: looking into a running container.

use std::io::{Read, Write};

use e2e::{daemon, for_each_client, http, until};
use serde_json::json;

#[test]
fn exec_runs_inside_with_its_own_streams_and_exit_code() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "box",
            "--hostname",
            "inner",
            "busybox",
            "sleep",
            "1000",
        ]);
        assert_eq!(docker.ok(["exec", "box", "hostname"]), "inner");
        let output = docker.run(["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 4"]);
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (4, "out\n", "err\n")
        );
        assert_eq!(
            docker.run_with(["exec", "-i", "box", "cat"], b"through").stdout,
            "through"
        );
        assert_eq!(
            docker.ok([
                "exec",
                "-u",
                "guest",
                "-w",
                "/tmp",
                "-e",
                "X=y",
                "box",
                "sh",
                "-c",
                "id -u; pwd; echo $X"
            ]),
            "1000\n/tmp\ny"
        );
        docker.fails(127, ["exec", "box", "nosuch"]);
        let top = docker.ok(["top", "box"]);
        assert!(top.contains("sleep 1000"), "{top}");
        docker.ok(["rm", "-f", "box"]);
        let error = docker.fails(1, ["exec", "box", "true"]);
        assert!(error.contains("No such container: box"), "{error}");
    });
}

#[test]
fn why_an_exec_does_not_start_is_said_once_with_dockers_code() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
        let prefix = "OCI runtime exec failed: exec failed: unable to start container process: ";
        let missing = format!("{prefix}exec: \"nosuch\": executable file not found in $PATH: unknown");
        let directory = format!(
            "{prefix}chdir to cwd (\"/nosuch\") set in config.json failed: no such file or directory: unknown"
        );
        let user = "unable to find user nosuch: no matching entries in passwd file";
        for (code, text, flags) in [
            (127, &missing[..], &["box", "nosuch"][..]),
            (126, &directory, &["-w", "/nosuch", "box", "true"]),
            (126, user, &["-u", "nosuch", "box", "true"]),
        ] {
            // With an open input as well, which nobody reads.
            for input in [&b""[..], b"unread"] {
                let interactive: &[&str] = if input.is_empty() {
                    &["exec"]
                } else {
                    &["exec", "-i"]
                };
                let arguments: Vec<&str> = interactive.iter().chain(flags).copied().collect();
                let output = docker.run_with(&arguments, input);
                assert_eq!(output.code, code, "{arguments:?}: {output:?}");
                let said = format!("{}{}", output.stdout, output.stderr);
                assert_eq!(said.matches(text).count(), 1, "{arguments:?}: {output:?}");
            }
        }
        docker.ok(["rm", "-f", "box"]);
    });
}

#[test]
fn a_terminal_has_its_size_and_carriage_returns() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "create",
            "-t",
            "--name",
            "tty",
            "busybox",
            "sh",
            "-c",
            "tty; echo end",
        ]);
        docker.ok(["start", "tty"]);
        docker.ok(["wait", "tty"]);
        assert_eq!(docker.run(["logs", "tty"]).stdout, "/dev/pts/0\r\nend\r\n");
        docker.ok(["rm", "tty"]);
    });
}

#[test]
fn logs_are_kept_with_streams_times_and_tails() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let script = "for n in 1 2 3; do echo out $n; done; echo err >&2";
        docker.run(["run", "--name", "talk", "busybox", "sh", "-c", script]);
        let output = docker.run(["logs", "talk"]);
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("out 1\nout 2\nout 3\n", "err\n")
        );
        assert_eq!(docker.run(["logs", "--tail", "2", "talk"]).stdout, "out 3\n");
        let stamped = docker.run(["logs", "--timestamps", "talk"]).stdout;
        assert!(
            stamped
                .lines()
                .all(|line| line.len() > 30 && line.as_bytes()[10] == b'T'),
            "{stamped}"
        );
        docker.ok(["rm", "talk"]);
    });
}

#[test]
fn following_the_log_ends_with_the_container() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "slow",
            "busybox",
            "sh",
            "-c",
            "echo one; sleep 1; echo two",
        ]);
        assert_eq!(docker.ok(["logs", "-f", "slow"]), "one\ntwo");
        docker.ok(["rm", "slow"]);
    });
}

#[test]
fn attach_joins_the_streams_of_a_running_container() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "-i",
            "--name",
            "echo",
            "busybox",
            "sh",
            "-c",
            "while read line; do [ $line = q ] && break; echo got $line; done",
        ]);
        let mut child = docker.spawn(["attach", "echo"]);
        let mut input = child.stdin.take().expect("stdin");
        input.write_all(b"a\nb\n").expect("input");
        let mut text = [0; 12];
        child
            .stdout
            .as_mut()
            .expect("stdout")
            .read_exact(&mut text)
            .expect("output");
        assert_eq!(&text, b"got a\ngot b\n");
        // The end of an attached input is not the end of the container's: it may be joined again.
        input.write_all(b"q\n").expect("input");
        assert!(child.wait().expect("client").success());
        until("the end", || {
            docker.ok(["inspect", "--format", "{{.State.Running}}", "echo"]) == "false"
        });
        docker.ok(["rm", "echo"]);
    });
}

#[test]
fn an_exec_has_a_terminals_name_only_with_a_terminal_and_keeps_its_number() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let id = docker.ok(["run", "-dt", "busybox", "sleep", "1000"]);
        assert_eq!(docker.ok(["exec", &id, "sh", "-c", "echo -$TERM-"]), "--");
        let create = |command: &str| {
            let body = json!({"Cmd": [command]});
            let reply = http::request(&daemon, "POST", &format!("/containers/{id}/exec"), Some(&body));
            reply.json()["Id"].as_str().expect("id").to_owned()
        };
        let start = |exec: &str| {
            let body = json!({"Detach": true});
            http::request(&daemon, "POST", &format!("/exec/{exec}/start"), Some(&body)).status
        };
        let exec = create("true");
        assert_eq!(start(&exec), 200);
        let look = || http::get(&daemon, &format!("/exec/{exec}/json"));
        until("the end of the exec", || look()["Running"] == false);
        assert!(look()["Pid"].as_i64().expect("number") > 1, "{}", look());
        // One that nobody has started ends with the container's process.
        let exec = create("true");
        docker.ok(["restart", "-t", "0", &id]);
        assert_eq!(start(&exec), 404);
        docker.ok(["rm", "-f", &id]);
    });
}
