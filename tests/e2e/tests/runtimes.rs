//! `--runtime`: containers that another OCI runtime makes.
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::path::Path;

use e2e::{Client, Daemon, Settings, Terminal, binaries, daemon_with, for_each_client, until};
use serde_json::json;

/// A daemon that knows its own runtime as a program beside runc.
fn start() -> Option<Daemon> {
    let own = binaries().join("dhow-runtime");
    let daemon = daemon_with(Settings {
        config: Some(json!({ "runtimes": { "own": { "path": own }, "crun": { "path": "crun" } } })),
        ..Settings::default()
    })?;
    daemon.load_busybox();
    Some(daemon)
}

/// The names of runtimes that work here.
fn runtimes() -> Vec<&'static str> {
    let mut names = vec!["own"];
    if Path::new("/usr/sbin/runc").exists() || Path::new("/usr/bin/runc").exists() {
        names.push("runc");
    } else {
        println!("skipped: runc is not there (apt-get install runc)");
    }
    // Debian's crun refuses machines that have both versions of cgroups.
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        println!("skipped: crun needs pure cgroup v2, as in `cargo xtask vm-test --full`");
    } else if Path::new("/usr/bin/crun").exists() {
        names.push("crun");
    } else {
        println!("skipped: crun is not there (apt-get install crun)");
    }
    names
}

/// A container of this runtime that runs on; its name.
fn sleeper(docker: &Client, runtime: &str) -> String {
    let name = format!("sleeper-{runtime}");
    docker.ok([
        "run",
        "-d",
        "--name",
        &name,
        "--runtime",
        runtime,
        "busybox",
        "sleep",
        "1000",
    ]);
    assert_eq!(
        docker.ok(["inspect", "-f", "{{.HostConfig.Runtime}}", &name]),
        runtime
    );
    name
}

#[test]
fn a_container_of_another_runtime_runs_as_any_other() {
    let Some(daemon) = start() else { return };
    for_each_client(&daemon, |docker| {
        for runtime in runtimes() {
            let run = |more: &[&str]| docker.run(["run", "--rm", "--runtime", runtime].iter().chain(more));
            let output = run(&[
                "--hostname",
                "inner",
                "busybox",
                "sh",
                "-c",
                "hostname; echo err >&2; exit 4",
            ]);
            let got = (output.code, output.stdout.as_str(), output.stderr.as_str());
            assert_eq!(got, (4, "inner\n", "err\n"), "{runtime}");
            let through = ["run", "--rm", "-i", "--runtime", runtime, "busybox", "cat"];
            assert_eq!(
                docker.run_with(through, b"through").stdout,
                "through",
                "{runtime}"
            );
            let filtered = run(&["busybox", "grep", "^Seccomp:", "/proc/self/status"]).stdout;
            assert_eq!(
                filtered.split_whitespace().last(),
                Some("2"),
                "{runtime}: {filtered}"
            );
            let missing = run(&["busybox", "nosuch"]);
            assert_eq!(missing.code, 127, "{runtime}: {missing:?}");
            assert!(
                missing.stderr.contains("executable file not found"),
                "{runtime}: {missing:?}"
            );
            let data = run(&["busybox", "/etc/passwd"]);
            assert_eq!(data.code, 126, "{runtime}: {data:?}");
        }
        assert_eq!(docker.ok(["ps", "-aq"]), "");
    });
}

#[test]
fn everything_else_works_on_it_too() {
    let Some(daemon) = start() else { return };
    for_each_client(&daemon, |docker| {
        for runtime in runtimes() {
            let name = sleeper(docker, runtime);
            let exec = docker.run([
                "exec",
                "-u",
                "guest",
                "-e",
                "X=y",
                &name,
                "sh",
                "-c",
                "id -u; echo $X; exit 3",
            ]);
            assert_eq!(
                (exec.code, exec.stdout.as_str()),
                (3, "1000\ny\n"),
                "{runtime}: {exec:?}"
            );
            assert_eq!(
                docker.run_with(["exec", "-i", &name, "cat"], b"in").stdout,
                "in",
                "{runtime}"
            );
            docker.fails(127, ["exec", &name, "nosuch"]);
            docker.ok(["exec", "-d", &name, "touch", "/made"]);
            until("the detached exec", || {
                docker.run(["exec", &name, "test", "-e", "/made"]).code == 0
            });
            assert!(docker.ok(["top", &name]).contains("sleep 1000"), "{runtime}");
            docker.ok(["pause", &name]);
            docker.ok(["unpause", &name]);
            let copied = docker.ok(["exec", &name, "sh", "-c", "echo text > /file; cat /file"]);
            assert_eq!(copied, "text", "{runtime}");
            let target = daemon.folder().join(format!("file-{runtime}"));
            docker.ok(["cp", &format!("{name}:/file"), target.to_str().expect("utf-8")]);
            assert_eq!(std::fs::read_to_string(&target).expect("copied"), "text\n");
            docker.ok(["restart", "-t", "0", &name]);
            assert_eq!(docker.ok(["exec", &name, "cat", "/file"]), "text", "{runtime}");
            docker.ok(["kill", &name]);
            assert_eq!(docker.ok(["wait", &name]), "137");
            docker.ok(["start", &name]);
            docker.ok(["rm", "-f", &name]);
        }
    });
}

#[test]
fn it_has_the_network_and_ports_of_the_engine() {
    let Some(daemon) = start() else { return };
    for_each_client(&daemon, |docker| {
        for runtime in runtimes() {
            let address = [
                "run",
                "--rm",
                "--runtime",
                runtime,
                "busybox",
                "ip",
                "-o",
                "-4",
                "addr",
                "show",
                "eth0",
            ];
            let shown = docker.ok(address);
            assert!(shown.contains("inet "), "{runtime}: {shown}");
            let none = docker.ok([
                "run",
                "--rm",
                "--runtime",
                runtime,
                "--network",
                "none",
                "busybox",
                "ls",
                "/sys/class/net",
            ]);
            assert!(!none.contains("eth0"), "{runtime}: {none}");
        }
    });
}

#[test]
fn a_terminal_is_one_with_its_size() {
    let Some(daemon) = start() else { return };
    for_each_client(&daemon, |docker| {
        for runtime in runtimes() {
            let name = sleeper(docker, runtime);
            for command in [
                &["run", "-it", "--rm", "--runtime", runtime, "busybox", "sh"][..],
                &["exec", "-it", &name, "sh"],
            ] {
                let mut terminal = Terminal::start(&docker.command(command), 30, 100);
                terminal.expect("# ");
                terminal
                    .send("while [ \"$(stty size)\" != '30 100' ]; do sleep 0.1; done; echo is-$((6 * 7))\n");
                terminal.expect("is-42");
                terminal.send("exit 5\n");
                assert_eq!(terminal.ended(), 5, "{runtime}: {command:?}");
            }
            docker.ok(["rm", "-f", &name]);
        }
    });
}

#[test]
fn it_outlives_the_daemon() {
    let Some(daemon) = start() else { return };
    for_each_client(&daemon, |docker| {
        for runtime in runtimes() {
            let name = sleeper(docker, runtime);
            daemon.kill_and_restart();
            assert_eq!(docker.ok(["exec", &name, "echo", "here"]), "here", "{runtime}");
            assert_eq!(
                docker.ok(["inspect", "-f", "{{.State.Running}}", &name]),
                "true",
                "{runtime}"
            );
            docker.ok(["rm", "-f", &name]);
        }
    });
}

#[test]
fn what_is_not_configured_or_not_there_is_refused_by_name() {
    let Some(daemon) = daemon_with(Settings {
        config: Some(json!({ "runtimes": { "gone": { "path": "/nowhere/runtime" } } })),
        ..Settings::default()
    }) else {
        return;
    };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let error = docker.fails(125, ["run", "--rm", "--runtime", "nosuch", "busybox", "true"]);
        assert!(
            error.contains("unknown or invalid runtime name: nosuch"),
            "{error}"
        );
        let error = docker.fails(127, ["run", "--rm", "--runtime", "gone", "busybox", "true"]);
        assert!(error.contains("/nowhere/runtime"), "{error}");
        let info = docker.ok(["info", "-f", "{{json .Runtimes}} {{.DefaultRuntime}}"]);
        assert!(
            info.contains("/nowhere/runtime") && info.ends_with(" dhow-runtime"),
            "{info}"
        );
    });
}

#[test]
fn the_default_is_the_configured_one() {
    let own = binaries().join("dhow-runtime");
    let Some(daemon) = daemon_with(Settings {
        flags: vec![
            "--add-runtime".into(),
            format!("own={}", own.display()),
            "--default-runtime".into(),
            "own".into(),
        ],
        ..Settings::default()
    }) else {
        return;
    };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "--name", "box", "busybox", "true"]);
        assert_eq!(
            docker.ok(["inspect", "-f", "{{.HostConfig.Runtime}}", "box"]),
            "own"
        );
        docker.ok(["rm", "box"]);
    });
}

/// The annotation for Landlock binds the container's process and those of `exec`, through the daemon as without it.
#[test]
fn landlock_is_asked_for_by_an_annotation() {
    let Some(daemon) = start() else { return };
    let features = std::process::Command::new(binaries().join("dhow-runtime"))
        .arg("features")
        .output()
        .expect("features");
    if !String::from_utf8_lossy(&features.stdout).contains("landlock.version") {
        println!("skipped: this kernel has no Landlock");
        return;
    }
    let asked = |rules: &str| format!("io.github.dhow.landlock={rules}");
    let rules = asked(r#"{"execute":["/bin"],"read":["/etc/passwd"],"write":["/tmp","/dev/null"]}"#);
    // Root has every right of its container, and is held all the same.
    let tries = "cat /etc/passwd >/dev/null && echo read; cat /etc/group 2>&1; (echo x > /tmp/x) && echo written; \
                 (echo x > /etc/x) 2>&1";
    for_each_client(&daemon, |docker| {
        // Debian's docker 20.10 is older than the flag.
        if !docker.ok(["run", "--help"]).contains("--annotation") {
            return;
        }
        let flags = ["--privileged", "--annotation", &rules];
        let output = docker.run(
            ["run", "--rm"]
                .iter()
                .chain(&flags)
                .chain(&["busybox", "sh", "-c", tries]),
        );
        let denied = |text: &str| text.to_lowercase().matches("permission denied").count();
        assert!(
            output.stdout.starts_with("read\n") && output.stdout.contains("written\n"),
            "{output:?}"
        );
        assert_eq!(denied(&output.stdout) + denied(&output.stderr), 2, "{output:?}");
        docker.ok(["run", "-d", "--name", "held"]
            .iter()
            .chain(&flags)
            .chain(&["busybox", "sleep", "1000"]));
        let output = docker.run(["exec", "--privileged", "held", "cat", "/etc/group"]);
        assert!(output.code != 0 && denied(&output.stderr) == 1, "{output:?}");
        docker.ok(["rm", "-f", "held"]);
        let absent = asked(r#"{"execute":["/absent"]}"#);
        let output = docker.run(["run", "--rm", "--annotation", &absent, "busybox", "true"]);
        assert!(
            output.code != 0 && output.stderr.contains("/absent"),
            "{output:?}"
        );
        // Another runtime would not obey it.
        let flags = ["--runtime", "own", "--annotation", &rules];
        let output = docker.run(["run", "--rm"].iter().chain(&flags).chain(&["busybox", "true"]));
        assert!(
            output.code != 0 && output.stderr.to_lowercase().contains("landlock"),
            "{output:?}"
        );
    });
}
