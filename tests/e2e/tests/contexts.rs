//! Contexts: which daemon a command talks to; and the ways to it that are commands themselves.

use std::io::Write;

use e2e::{Client, Output, daemon, for_each_client};

/// Runs a command without `DOCKER_HOST`, so that the context decides.
fn by_context(docker: &Client, arguments: &[&str]) -> Output {
    let mut command = docker.command(arguments);
    Output::of(&command.env_remove("DOCKER_HOST").output().expect("client"))
}

fn ok(docker: &Client, arguments: &[&str]) -> String {
    let output = by_context(docker, arguments);
    assert_eq!(output.code, 0, "{} {arguments:?}: {output:?}", docker.name);
    output.stdout.trim_end().to_owned()
}

#[test]
fn a_context_leads_to_its_daemon() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let endpoint = format!("host={}", daemon.host());
    let file = daemon.folder().join("context.tar").to_string_lossy().into_owned();
    for_each_client(&daemon, |docker| {
        ok(
            docker,
            &[
                "context",
                "create",
                "here",
                "--description",
                "first",
                "--docker",
                &endpoint,
            ],
        );
        let again = by_context(docker, &["context", "create", "here", "--docker", &endpoint]);
        assert!(
            again.code != 0 && again.stderr.contains("already exists"),
            "{again:?}"
        );
        let images = ["--context", "here", "images", "--format", "{{.Repository}}"];
        assert_eq!(ok(docker, &images), "busybox");
        ok(docker, &["context", "use", "here"]);
        assert_eq!(ok(docker, &images[2..]), "busybox");
        let listed = ok(
            docker,
            &[
                "context",
                "ls",
                "--format",
                "{{.Name}} {{.Current}} {{.Description}}",
            ],
        );
        assert!(listed.lines().any(|line| line == "here true first"), "{listed}");
        if !docker.name.starts_with("docker 20.") {
            assert_eq!(ok(docker, &["context", "show"]), "here");
        }
        ok(docker, &["context", "update", "here", "--description", "second"]);
        let shown = ok(docker, &["context", "inspect", "here"]);
        assert!(
            shown.contains("second") && shown.contains(&daemon.host()),
            "{shown}"
        );
        ok(docker, &["context", "export", "here", &file]);
        ok(docker, &["context", "import", "there", &file]);
        assert_eq!(
            ok(
                docker,
                &["--context", "there", "images", "--format", "{{.Repository}}"]
            ),
            "busybox"
        );
        let refused = by_context(docker, &["context", "rm", "here"]);
        assert!(refused.code != 0 && refused.stderr.contains("use"), "{refused:?}");
        ok(docker, &["context", "use", "default"]);
        ok(docker, &["context", "rm", "here", "there"]);
        let missing = by_context(docker, &["--context", "here", "images"]);
        assert!(
            missing.code != 0 && missing.stderr.contains("here"),
            "{missing:?}"
        );
        std::fs::remove_file(&file).expect("file");
    });
}

#[test]
fn dial_stdio_is_the_daemons_socket_on_standard_streams() {
    let Some(daemon) = daemon() else { return };
    for_each_client(&daemon, |docker| {
        let mut child = docker.spawn(["system", "dial-stdio"]);
        let mut input = child.stdin.take().expect("stdin");
        input
            .write_all(b"GET /_ping HTTP/1.1\r\nHost: dhow\r\nConnection: close\r\n\r\n")
            .expect("request");
        let output = child.wait_with_output().expect("client");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.starts_with("HTTP/1.1 200 OK") && text.ends_with("OK"),
            "{text:?}"
        );
        drop(input);
    });
}

#[test]
fn inspect_of_one_kind_finds_that_kind_only() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["volume", "create", "--label", "a=b", "thing"]);
        docker.ok(["create", "--name", "other", "busybox"]);
        let label = docker.ok(["volume", "inspect", "-f", "{{.Labels.a}} {{.Driver}}", "thing"]);
        assert_eq!(label, "b local");
        let name = docker.ok(["container", "inspect", "-f", "{{.Name}}", "other"]);
        assert_eq!(name, "/other");
        docker.fails(1, ["container", "inspect", "thing"]);
        docker.fails(1, ["volume", "inspect", "other"]);
        if docker.is_dhow() {
            // For volumes of a cluster, which there are none of: refused by name, not ignored.
            let error = docker.fails(1, ["volume", "update", "thing"]);
            assert!(error.contains("volume update is not available"), "{error}");
        }
        docker.ok(["rm", "other"]);
        docker.ok(["volume", "rm", "thing"]);
    });
}
