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
