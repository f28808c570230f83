//! Bad input: refused in docker's words, and nothing is left of it.
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::fs;

use e2e::{Client, daemon, for_each_client, http};
use serde_json::json;

/// `run` with these flags is refused with this sentence, and there is no container afterwards that runs.
fn refused(docker: &Client, flags: &[&str], words: &str) {
    let arguments = ["run", "--rm"].iter().chain(flags).chain(&["busybox", "true"]);
    let error = docker.fails(125, arguments);
    assert!(error.contains(words), "{flags:?}: {error}");
    assert_eq!(docker.ok(["ps", "-q"]), "", "{flags:?}");
}

#[test]
fn limits_that_the_kernel_would_change_are_refused() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        refused(
            docker,
            &["--cpu-shares", "1"],
            "the minimum allowed cpu-shares is 2",
        );
        refused(
            docker,
            &["--cpu-shares", "300000"],
            "the maximum allowed cpu-shares is 262144",
        );
        let check = &["--health-cmd", "true", "--health-interval", "1us"];
        refused(docker, check, "Interval in Healthcheck cannot be less than 1ms");
    });
}

#[test]
fn a_shared_bind_needs_a_shared_mount() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = daemon.folder().join("private");
    fs::create_dir(&folder).expect("folder");
    let info = std::process::Command::new("findmnt")
        .args(["-n", "-o", "PROPAGATION", "--target"])
        .arg(&folder)
        .output();
    let propagation = info.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if !propagation.is_ok_and(|text| text.trim() == "private") {
        println!("skipped: the temporary folder is on a mount that passes mounts on");
        return;
    }
    for_each_client(&daemon, |docker| {
        for (mode, kind) in [("rshared", "shared"), ("rslave", "shared or slave")] {
            let bind = format!("{}:/y:{mode}", folder.display());
            refused(docker, &["-v", &bind], &format!("but it is not a {kind} mount"));
        }
    });
}

#[test]
fn host_names_are_free_but_for_their_length_and_line_breaks() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let long = "a".repeat(65);
    for_each_client(&daemon, |docker| {
        let name = docker.ok(["run", "--rm", "--hostname", "a b_c", "busybox", "hostname"]);
        assert_eq!(name, "a b_c");
        refused(docker, &["--hostname", &long], "invalid hostname format");
        refused(docker, &["--hostname", "a\nb"], "invalid hostname format");
    });
}

#[test]
fn user_namespaces_are_the_hosts_or_refused_by_name() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        assert_eq!(
            docker.ok(["run", "--rm", "--userns=host", "busybox", "echo", "in"]),
            "in"
        );
    });
    let body = json!({"Image": "busybox", "HostConfig": {"UsernsMode": "private"}});
    let reply = http::request(&daemon, "POST", "/containers/create", Some(&body));
    assert_ne!(reply.status, 201);
    assert!(reply.message().contains("--userns=private"), "{}", reply.text());
}

#[test]
fn a_nul_byte_in_an_argument_is_refused_before_anything_is_made() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for body in [
        json!({"Image": "busybox", "Cmd": ["a\u{0}b"]}),
        json!({"Image": "busybox", "Entrypoint": ["a\u{0}b"]}),
        json!({"Image": "busybox", "Env": ["A=\u{0}"]}),
    ] {
        let reply = http::request(&daemon, "POST", "/containers/create", Some(&body));
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.message().contains("NUL byte"), "{}", reply.text());
    }
    assert_eq!(http::get(&daemon, "/containers/json?all=1"), json!([]));
}

#[test]
fn questions_that_make_no_sense_are_refused_instead_of_answered() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        for filter in ["publish=x", "expose=1-y", "is-task=x"] {
            let error = docker.fails(1, ["ps", "--filter", filter]);
            let (name, value) = filter.split_once('=').expect("two parts");
            assert!(
                error.contains(&format!("invalid filter '{name}=[{value}]'")),
                "{error}"
            );
        }
        docker.ok([
            "run", "-d", "--memory", "64m", "--name", "first", "busybox", "sleep", "1000",
        ]);
        let peer = [
            "run",
            "--rm",
            "--network",
            "container:first",
            "--expose",
            "80",
            "busybox",
            "true",
        ];
        let error = docker.fails(125, peer);
        assert!(
            error.contains("conflicting options: port exposing and the container type network mode"),
            "{error}"
        );
        // 64 MB of memory come with 128 MB of both.
        let error = docker.fails(1, ["update", "--memory", "300m", "first"]);
        assert!(
            error.contains("update the memoryswap at the same time"),
            "{error}"
        );
        let error = docker.fails(1, ["rename", "first", "a b"]);
        assert!(
            error.contains("Error when allocating new name: Invalid container name (/a b)"),
            "{error}"
        );
        // A time after all that a log can have is no mistake.
        assert_eq!(docker.ok(["logs", "--since", "5000-01-01", "first"]), "");
        docker.ok(["rm", "-f", "first"]);
        let missing = [
            "run",
            "--rm",
            "--device-read-bps",
            "/dev/none:1mb",
            "busybox",
            "true",
        ];
        let error = docker.fails(127, missing);
        assert!(
            error.contains("stat /dev/none: no such file or directory"),
            "{error}"
        );
    });
}

#[test]
fn names_of_nothing_and_nodes_that_are_not_there_are_refused() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let error = docker.fails(1, ["kill", "nosuch"]);
        let words = "cannot kill container: nosuch: No such container: nosuch";
        assert!(error.contains(words), "{error}");
        docker.ok(["create", "--name", "idle", "busybox"]);
        let error = docker.fails(1, ["kill", "idle"]);
        assert!(
            error.contains("cannot kill container: idle: container ") && error.contains(" is not running"),
            "{error}"
        );
        docker.ok(["rm", "idle"]);
        let error = docker.fails(1, ["create", "--cpuset-mems", "4000", "busybox"]);
        let words = "Requested memory nodes are not available - requested 4000, available: 0";
        assert!(error.contains(words), "{error}");
        // Older commands ask the daemon.
        if docker.is_dhow() {
            let error = docker.fails(1, ["rm", ""]);
            assert_eq!(error.trim(), "container name cannot be empty");
            for (command, kind) in [
                (&["stop", ""][..], "container"),
                (&["rm", " "], "container"),
                (&["volume", "rm", ""], "volume"),
                (&["network", "rm", ""], "network"),
            ] {
                let error = docker.fails(1, command);
                let words = format!("invalid {kind} name or ID: value is empty");
                assert!(error.contains(&words), "{command:?}: {error}");
            }
        }
        assert_eq!(docker.ok(["ps", "-aq"]), "");
    });
}

#[test]
fn an_import_for_another_system_is_refused_while_its_archive_is_on_its_way() {
    let Some(daemon) = daemon() else { return };
    for_each_client(&daemon, |docker| {
        // The second is more than fits into the socket.
        for archive in [&b""[..], &vec![0; 8 << 20]] {
            let refused = docker.run_with(["import", "--platform", "plan9/amd64", "-"], archive);
            assert!(
                refused.code == 1
                    && refused
                        .stderr
                        .contains("Error response from daemon: operating system is not supported"),
                "{refused:?}"
            );
        }
        assert_eq!(docker.ok(["images", "--quiet", "--all"]), "");
    });
    let wrong = "/v1.41/images/create?fromSrc=-&platform=plan9/amd64";
    let reply = http::request(&daemon, "POST", wrong, None);
    assert_eq!(
        (reply.status, reply.message()),
        (400, "operating system is not supported".to_owned())
    );
}

#[test]
fn slips_of_the_keyboard_are_refused_before_anything_is_done() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
        for command in [
            &["tag", "busybox", "a:b:c"][..],
            &["commit", "box", "a:b:c"],
            &["pull", "a:b:c"],
        ] {
            let error = docker.fails(1, command);
            assert!(error.contains("invalid reference format"), "{command:?}: {error}");
        }
        assert_eq!(docker.ok(["images", "--format", "{{.Repository}}"]), "busybox");
        let label = ["run", "--rm", "--label", "=x", "busybox", "true"];
        let refused = docker.run(label);
        // The oldest docker leaves it to the daemon.
        if docker.is_dhow() {
            assert!(
                refused.stderr.contains("invalid label '=x': empty name"),
                "{refused:?}"
            );
        }
        let folder = daemon.folder().join("out");
        let folder = folder.to_str().expect("a name in UTF-8");
        let error = docker.fails(1, ["cp", "box:", folder]);
        assert!(error.contains("bad parameter: path cannot be empty"), "{error}");
        let file = daemon.folder().join("daemon.json");
        let file = file.to_str().expect("a name in UTF-8");
        let error = docker.fails(1, ["cp", file, "box:/etc/passwd/"]);
        assert!(error.contains("no such directory"), "{error}");
        assert_eq!(docker.run(["inspect", "--format", "{{", "box"]).code, 64);
        assert_eq!(
            docker.ok(["image", "inspect", "--format", "[{{.Variant}}]", "busybox"]),
            "[]"
        );
        let format = "{{range .Containers}}{{.Names}}{{end}} {{len .Images}}";
        assert_eq!(docker.ok(["system", "df", "-v", "--format", format]), "box 1");
        docker.ok(["rm", "-f", "box"]);
    });
}
