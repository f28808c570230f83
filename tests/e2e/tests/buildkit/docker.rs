//! What a build with BuildKit does that one with the classic builder does too.

use std::fs;

use e2e::{Output, clients, daemon, until};

use super::{build, folder, with_buildkit_inside};

fn worked(output: &Output) -> &str {
    assert_eq!(output.code, 0, "{output:?}");
    &output.stderr
}

#[test]
fn steps_are_shown_and_found_in_the_cache_again() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let text =
        "FROM busybox AS base\nCOPY a /a\nRUN echo out; echo err >&2\nENV x=y\nFROM base\nRUN cat /a\n";
    let context = folder(&[("Dockerfile", text), ("a", "content of a\n")]);
    let elsewhere = tempfile::tempdir().expect("folder");
    let id_file = elsewhere.path().join("id");
    let arguments = [
        "-t",
        "made:1",
        "-t",
        "made:2",
        "--iidfile",
        id_file.to_str().expect("text"),
    ];
    let first = build(&docker, context.path(), &arguments);
    let said = worked(&first);
    for line in [
        "[internal] load build definition from Dockerfile",
        "[internal] load build context",
        "[base 1/3] FROM busybox",
        "[base 2/3] COPY a /a",
        "[base 3/3] RUN echo out; echo err >&2",
        "[stage-1 2/2] RUN cat /a",
        "content of a",
        "exporting to image",
        "naming to docker.io/library/made:2",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(
        said.contains("out\n") && said.contains("err\n") && !said.contains("CACHED"),
        "{said}"
    );
    let id = fs::read_to_string(&id_file).expect("the id");
    for name in ["made:1", "made:2"] {
        assert_eq!(
            docker.ok(["image", "inspect", "--format", "{{.Id}}", name]),
            id.trim()
        );
    }
    let second = build(&docker, context.path(), &[]);
    assert_eq!(worked(&second).matches("CACHED").count(), 3, "{second:?}");
    assert_eq!(docker.ok(["ps", "--all", "--quiet"]), "", "no container stays");
}

#[test]
fn a_failing_step_is_named_with_its_exit_code() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let context = folder(&[("Dockerfile", "FROM busybox\nRUN echo before; exit 7\n")]);
    let failed = build(&docker, context.path(), &["--force-rm"]);
    let says = "failed to solve: process \"/bin/sh -c echo before; exit 7\" did not complete successfully: exit code: 7";
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.stderr.contains(says) && failed.stderr.contains("before"),
        "{failed:?}"
    );
    let typo = folder(&[("Dockerfile", "FROM busybox\nRUNN true\n")]);
    let failed = build(&docker, typo.path(), &[]);
    assert!(failed.code == 1 && failed.stderr.contains("RUNN"), "{failed:?}");
    let empty = folder(&[("x", "")]);
    let failed = build(
        &docker,
        empty.path(),
        &["-f", &empty.path().join("None").display().to_string()],
    );
    assert!(failed.code == 1 && failed.stderr.contains("None"), "{failed:?}");
}

#[test]
fn only_what_is_needed_and_not_ignored_is_sent() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let all = "FROM busybox\nCOPY . /c/\nRUN cd /c && find . -type f | sort | tr '\\n' ' '\n";
    let context = folder(&[
        ("Dockerfile", all),
        (".dockerignore", "*.log\n!keep.log\nsub/secret\nDockerfile\n"),
        ("a.log", "no"),
        ("keep.log", "yes"),
        ("sub/secret", "no"),
        ("sub/b", "yes"),
    ]);
    let built = build(&docker, context.path(), &[]);
    assert!(
        worked(&built).contains("./.dockerignore ./keep.log ./sub/b "),
        "{built:?}"
    );
    // Rules of its own go before those of the context.
    fs::write(context.path().join("Dockerfile.dockerignore"), "sub\nD*\n.d*\n").expect("file");
    let built = build(&docker, context.path(), &[]);
    assert!(worked(&built).contains("./a.log ./keep.log "), "{built:?}");
    let one = "FROM busybox\nCOPY sub/b /\nRUN cat /b\n";
    let context = folder(&[
        ("Dockerfile", one),
        ("sub/b", "found\n"),
        ("big", &"x".repeat(3 << 20)),
    ]);
    let built = build(&docker, context.path(), &[]);
    assert!(
        worked(&built).contains("found") && transferred(&built) < 1000.0,
        "{built:?}"
    );
}

/// Bytes of the context that were sent: the last figure; a slow machine shows some on the way, too.
fn transferred(output: &Output) -> f64 {
    let line = output
        .stderr
        .lines()
        .rev()
        .find_map(|line| line.split("transferring context: ").nth(1));
    let text = line.unwrap_or_default().split(' ').next().unwrap_or_default();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        // Of nothing it shows the time only: «0.1s».
        _ => 0.0,
    };
    digits.parse::<f64>().unwrap_or_default() * factor
}

#[test]
fn a_file_that_did_not_change_is_not_sent_again() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let text = "FROM busybox\nCOPY . /c/\nRUN cat /c/small; wc -c </c/big; ls /c\n";
    let big = "x".repeat(3 << 20);
    let context = folder(&[
        ("Dockerfile", text),
        ("big", &big),
        ("small", "first\n"),
        ("old", ""),
    ]);
    let first = build(&docker, context.path(), &[]);
    assert!(
        worked(&first).contains("first") && transferred(&first) > 3e6,
        "{first:?}"
    );
    fs::write(context.path().join("small"), "the second\n").expect("file");
    fs::remove_file(context.path().join("old")).expect("file");
    let second = build(&docker, context.path(), &[]);
    assert!(
        worked(&second).contains("the second") && second.stderr.contains("3145728"),
        "{second:?}"
    );
    assert!(
        transferred(&second) < 1000.0 && !second.stderr.contains(" old\n"),
        "{second:?}"
    );
    let third = build(&docker, context.path(), &[]);
    assert_eq!(
        (worked(&third).matches("CACHED").count(), transferred(&third)),
        (2, 0.0),
        "{third:?}"
    );
    // What is there is what a prune takes away.
    let usage = docker.ok([
        "system",
        "df",
        "--format",
        "{{.Type}}={{.TotalCount}}={{.Size}}={{.Reclaimable}}",
    ]);
    let row = usage.lines().find_map(|line| line.strip_prefix("Build Cache="));
    let row: Vec<_> = row.expect("the build cache").split('=').collect();
    let records = docker.ok(["system", "df", "--verbose"]);
    assert_eq!(
        records.matches(" source.local ").count().to_string(),
        row[0],
        "{records}"
    );
    let pruned = docker.ok(["builder", "prune", "--force", "--all"]);
    assert!(pruned.contains("Total reclaimed space: 3."), "{pruned}");
    let reclaimed = format!("Total reclaimed space: {}", row[1]);
    assert!(
        row[1] == row[2] && pruned.contains(&reclaimed),
        "{usage}
{pruned}"
    );
    let fourth = build(&docker, context.path(), &[]);
    assert!(
        worked(&fourth).contains("CACHED") && transferred(&fourth) > 3e6,
        "{fourth:?}"
    );
}

#[test]
fn arguments_labels_targets_and_hosts_are_heard() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let text = "ARG tag=none\nFROM busybox:$tag AS one\nARG who\nRUN echo hello $who; grep added /etc/hosts\nFROM busybox AS two\nRUN exit 1\n";
    let context = folder(&[("Dockerfile", text)]);
    let arguments = [
        "--build-arg",
        "tag=latest",
        "--build-arg",
        "who=world",
        "--label",
        "l=m",
        "--target",
        "one",
        "--add-host",
        "added:10.1.2.3",
        "-t",
        "told",
    ];
    let built = build(&docker, context.path(), &arguments);
    assert!(
        worked(&built).contains("hello world") && built.stderr.contains("10.1.2.3"),
        "{built:?}"
    );
    assert_eq!(
        docker.ok(["inspect", "--format", "{{index .Config.Labels \"l\"}}", "told"]),
        "m"
    );
    let network = folder(&[(
        "Dockerfile",
        "FROM busybox\nRUN ls /sys/class/net | tr '\\n' ' '\n",
    )]);
    let built = build(&docker, network.path(), &["--network", "none"]);
    assert!(
        worked(&built).contains("lo ") && !built.stderr.contains("eth0"),
        "{built:?}"
    );
}

#[test]
fn a_build_ends_when_its_client_does() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let context = folder(&[("Dockerfile", "FROM busybox\nRUN sleep 1000000\n")]);
    let path = context.path().display().to_string();
    let mut command = docker.command(["build", "--progress", "plain", &path]);
    command.env("DOCKER_BUILDKIT", "1");
    let mut child = command.spawn().expect("starting the client");
    until("the step runs", || !docker.ok(["ps", "--quiet"]).is_empty());
    child.kill().expect("killing the client");
    child.wait().expect("waiting for the client");
    until("the step ends", || {
        docker.ok(["ps", "--all", "--quiet"]).is_empty()
    });
    let running = daemon.data_root().join("builds/running");
    until("nothing of it is left", || {
        fs::read_dir(&running).expect("folder").count() == 0
    });
}

#[test]
fn buildx_builds_where_it_is_installed() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let mut found = false;
    for docker in clients(&daemon).into_iter().filter(|client| !client.is_dhow()) {
        if docker.run(["buildx", "version"]).code != 0 {
            continue;
        }
        found = true;
        let context = folder(&[
            ("Dockerfile", "FROM busybox\nCOPY a /\nRUN cat /a\n"),
            ("a", "by buildx\n"),
        ]);
        let path = context.path().display().to_string();
        let built = docker.run([
            "buildx",
            "build",
            "--progress",
            "plain",
            "--no-cache",
            "-t",
            "by-buildx",
            &path,
        ]);
        assert!(worked(&built).contains("by buildx"), "{built:?}");
        docker.ok(["image", "inspect", "by-buildx"]);
    }
    if !found {
        println!("skipped: no docker command has the buildx plug-in");
    }
}
