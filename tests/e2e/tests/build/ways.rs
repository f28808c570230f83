//! Contexts, options, the cache, cancelling: what surrounds a Dockerfile.

use std::fs;
use std::io::{BufRead, BufReader};

use e2e::{daemon, for_each_client, until};

use super::{build, context, without_ids};

#[test]
fn the_stream_says_what_docker_says() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    fs::write(
        folder.path().join("Dockerfile"),
        "ARG T=latest\nFROM busybox:$T\nENV a=b\nRUN echo hi\n",
    )
    .expect("file");
    for_each_client(&daemon, |docker| {
        let first = build(
            docker,
            folder.path(),
            &["--no-cache", "-t", "one", "-t", "two:3"],
            None,
        );
        assert_eq!(first.code, 0, "{first:?}");
        assert_eq!(
            without_ids(&first.stdout),
            [
                "Step 1/4 : ARG T=latest",
                "Step 2/4 : FROM busybox:$T",
                " ---> ID",
                "Step 3/4 : ENV a=b",
                " ---> ID",
                "Step 4/4 : RUN echo hi",
                " ---> Running in ID",
                "hi",
                " ---> Removed intermediate container ID",
                " ---> ID",
                "Successfully built ID",
                "Successfully tagged one:latest",
                "Successfully tagged two:3",
            ]
        );
        let second = build(docker, folder.path(), &["-t", "one"], None);
        let lines = without_ids(&second.stdout);
        assert_eq!(
            lines.iter().filter(|line| *line == " ---> Using cache").count(),
            2,
            "{lines:?}"
        );
        let quiet = build(docker, folder.path(), &["-q"], None);
        assert_eq!(
            quiet.stdout.trim(),
            docker.ok(["image", "inspect", "--format", "{{.Id}}", "one"])
        );
        assert_eq!(docker.ok(["ps", "--all", "--quiet"]), "", "no container stays");
    });
}

#[test]
fn a_failing_step_gives_its_exit_code_and_its_container_stays_unless_force_rm() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let text = "FROM busybox\nRUN echo before; exit 7\n";
        let folder = context();
        let failed = build(docker, folder.path(), &["--force-rm"], Some(text));
        assert_eq!(failed.code, 7, "{failed:?}");
        let says = "The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7";
        assert!(
            failed.stderr.contains(says) && failed.stdout.contains("before"),
            "{failed:?}"
        );
        assert_eq!(docker.ok(["ps", "--all", "--quiet"]), "");
        let failed = build(docker, folder.path(), &[], Some(text));
        assert_eq!(failed.code, 7);
        let left = docker.ok(["ps", "--all", "--quiet"]);
        assert_eq!(left.lines().count(), 1, "{left}");
        docker.ok(["rm", &left]);
    });
}

#[test]
fn what_dockerignore_leaves_out_cannot_be_copied() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    fs::write(
        folder.path().join(".dockerignore"),
        "# logs\n*.txt\n!a.txt\nother\nDockerfile\n.dockerignore\n",
    )
    .expect("file");
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM busybox\nCOPY . /c/\nRUN ls -a /c | sort | tr '\\n' ' '\n",
    )
    .expect("file");
    for_each_client(&daemon, |docker| {
        let built = build(docker, folder.path(), &["--no-cache"], None);
        assert!(
            built
                .stdout
                .contains(". .. a.txt dir evil link run.sh tree with space "),
            "{built:?}"
        );
    });
}

#[test]
fn a_changed_file_ends_the_cache_and_a_changed_time_does_not() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let folder = context();
        let text = "FROM busybox\nRUN echo one\nCOPY a.txt /\nRUN echo two\n";
        fs::write(folder.path().join("Dockerfile"), text).expect("file");
        let cached = || {
            let output = build(docker, folder.path(), &[], None);
            assert_eq!(output.code, 0, "{output:?}");
            output.stdout.matches("Using cache").count()
        };
        cached();
        assert_eq!(cached(), 3);
        let file = fs::File::options()
            .write(true)
            .open(folder.path().join("a.txt"))
            .expect("file");
        file.set_modified(std::time::UNIX_EPOCH).expect("time");
        assert_eq!(cached(), 3, "the time does not count");
        fs::write(
            folder.path().join("a.txt"),
            format!("changed for {}\n", docker.name),
        )
        .expect("file");
        assert_eq!(cached(), 1, "only the step before");
        assert_eq!(cached(), 3);
        docker.ok(["image", "prune", "--force"]);
    });
}

#[test]
fn named_cache_sources_are_the_only_ones() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let folder = context();
        let text = "FROM busybox\nENV KEY=value\nRUN echo one\nCOPY a.txt /\n";
        fs::write(folder.path().join("Dockerfile"), text).expect("file");
        let cached = |arguments: &[&str]| {
            let output = build(docker, folder.path(), arguments, None);
            assert_eq!(output.code, 0, "{output:?}");
            output.stdout.matches("Using cache").count()
        };
        cached(&["-t", "source"]);
        let first = docker.ok(["image", "inspect", "--format", "{{.Id}}", "source"]);
        assert_eq!(cached(&["-t", "again", "--cache-from", "source"]), 3);
        let again = docker.ok(["image", "inspect", "--format", "{{.Id}}", "again"]);
        assert_eq!(again, first, "the cached steps are those of the source");
        assert_eq!(cached(&["--cache-from", "nosuch"]), 0);
        docker.ok(["rmi", "--force", "source", "again"]);
        docker.ok(["image", "prune", "--force"]);
    });
}

#[test]
fn build_arguments_decide_about_the_steps_that_see_them() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    let text = "FROM busybox\nRUN echo fixed\nARG who=nobody\nRUN echo \"for $who\"\n";
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    for_each_client(&daemon, |docker| {
        let run = |arguments: &[&str]| build(docker, folder.path(), arguments, None);
        assert_eq!(run(&["--no-cache"]).code, 0);
        let name = docker.name.replace(' ', "");
        let other = run(&["--build-arg", &format!("who={name}"), "--build-arg", "unknown=x"]);
        assert!(other.stdout.contains(&format!("for {name}")), "{other:?}");
        assert_eq!(other.stdout.matches("Using cache").count(), 2, "{other:?}");
        assert!(
            other
                .stdout
                .contains("One or more build-args [unknown] were not consumed"),
            "{other:?}"
        );
    });
}

#[test]
fn labels_targets_iidfile_and_a_dockerfile_elsewhere() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let (folder, elsewhere) = (context(), tempfile::tempdir().expect("folder"));
        let file = elsewhere.path().join("Other");
        fs::write(
            &file,
            "FROM busybox AS first\nCOPY . /c\nRUN ls -a /c\nFROM busybox\nRUN exit 1\n",
        )
        .expect("file");
        let id_file = elsewhere.path().join("id");
        let arguments = [
            "-f",
            file.to_str().expect("path"),
            "--target",
            "first",
            "--label",
            "made=here",
            "--iidfile",
            id_file.to_str().expect("path"),
        ];
        let built = build(docker, folder.path(), &arguments, None);
        assert_eq!(built.code, 0, "{built:?}");
        assert!(
            !built.stdout.contains(".dockerfile") && !built.stdout.contains(".dockerignore"),
            "{built:?}"
        );
        let id = fs::read_to_string(&id_file).expect("the id");
        let label = docker.ok(["image", "inspect", "--format", "{{.Config.Labels.made}}", &id]);
        assert_eq!(label, "here");
    });
}

#[test]
fn an_archive_on_standard_input_is_a_context() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    fs::write(
        folder.path().join("My"),
        "FROM busybox\nCOPY a.txt /\nRUN cat /a.txt\n",
    )
    .expect("file");
    let archive = std::process::Command::new("tar")
        .arg("-C")
        .arg(folder.path())
        .args(["-cz", "."])
        .output()
        .expect("tar");
    for_each_client(&daemon, |docker| {
        let built = docker.run_with(["build", "--no-cache", "-f", "My", "-"], &archive.stdout);
        assert!(built.code == 0 && built.stdout.contains("\na.txt\n"), "{built:?}");
    });
}

#[test]
fn a_client_that_goes_away_ends_the_build_and_leaves_nothing() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let folder = context();
        fs::write(
            folder.path().join("Dockerfile"),
            "FROM busybox\nRUN echo begun; sleep 1000\n",
        )
        .expect("file");
        let mut child = docker.spawn(["build", folder.path().to_str().expect("path")]);
        let output = child.stdout.take().expect("output");
        let begun = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "begun");
        assert!(begun, "the step runs");
        child.kill().expect("kill");
        child.wait().expect("wait");
        until("the end of the step", || {
            docker.ok(["ps", "--all", "--quiet"]).is_empty()
        });
        let running = daemon.data_root().join("builds/running");
        until("the end of the build's directory", || {
            fs::read_dir(&running).expect("folder").next().is_none()
        });
    });
}

#[test]
fn a_daemon_killed_in_a_build_removes_what_it_left() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = e2e::clients(&daemon).remove(0);
    let folder = context();
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM busybox\nRUN echo begun; sleep 1000\n",
    )
    .expect("file");
    let mut child = docker.spawn(["build", folder.path().to_str().expect("path")]);
    let output = child.stdout.take().expect("output");
    assert!(
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "begun")
    );
    daemon.kill_and_restart();
    child.wait().expect("wait");
    assert_eq!(docker.ok(["ps", "--all", "--quiet"]), "");
    assert!(
        fs::read_dir(daemon.data_root().join("builds/running"))
            .expect("folder")
            .next()
            .is_none()
    );
}

#[test]
fn a_secret_is_seen_by_its_step_and_nowhere_else() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    let text =
        "FROM busybox\nRUN --mount=type=secret,id=key md5sum < /run/secrets/key\nRUN ls /run || true\n";
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    let secret = tempfile::NamedTempFile::new().expect("file");
    fs::write(secret.path(), "open-sesame-42").expect("file");
    let docker = e2e::clients(&daemon).into_iter().find(e2e::Client::is_dhow);
    let Some(docker) = docker else { return };
    let option = format!("id=key,src={}", secret.path().display());
    let built = build(
        &docker,
        folder.path(),
        &["--secret", &option, "-t", "sealed"],
        None,
    );
    // The sum shows that the step saw it.
    assert!(
        built.code == 0 && built.stdout.contains("eccdf8f98160e2dc69f5791129b43675"),
        "{built:?}"
    );
    let found = std::process::Command::new("grep")
        .args(["-rlF", "open-sesame-42"])
        .args([daemon.data_root(), daemon.exec_root()])
        .output()
        .expect("grep");
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "",
        "the secret is in no file"
    );
    let history = docker.ok(["history", "--no-trunc", "sealed"]);
    assert!(!history.contains("open-sesame"), "{history}");
    let without = build(&docker, folder.path(), &["--no-cache"], None);
    assert_ne!(without.code, 0, "{without:?}");
}

#[test]
fn the_same_input_gives_the_same_digest_from_two_data_roots() {
    let ids: Vec<String> = (0..2)
        .filter_map(|_| {
            let daemon = daemon()?;
            daemon.load_busybox();
            let docker = e2e::clients(&daemon).remove(0);
            let folder = context();
            let text =
                "FROM busybox\nWORKDIR /w\nCOPY . .\nRUN echo x > /made && mkdir -p /d/e\nADD a.txt /add/\n";
            fs::write(folder.path().join("Dockerfile"), text).expect("file");
            let built = build(
                &docker,
                folder.path(),
                &["-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000000"],
                None,
            );
            assert_eq!(built.code, 0, "{built:?}");
            Some(built.stdout.trim().to_owned())
        })
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

#[test]
fn check_and_explain_say_more() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = e2e::clients(&daemon).into_iter().find(e2e::Client::is_dhow);
    let Some(docker) = docker else { return };
    let folder = context();
    let checked = build(
        &docker,
        folder.path(),
        &["--check"],
        Some("FROM busybox:1\nCMD echo hi\n"),
    );
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(
        checked.stdout.contains("WARNING: JSONArgsRecommended"),
        "{checked:?}"
    );
    assert!(checked.stdout.contains("   2 | CMD echo hi"), "{checked:?}");
    let clean = build(
        &docker,
        folder.path(),
        &["--check"],
        Some("FROM busybox:1\nCMD [\"true\"]\n"),
    );
    assert_eq!(
        (clean.code, clean.stdout.as_str()),
        (0, "Check complete, no warnings found.\n")
    );
    let explained = build(
        &docker,
        folder.path(),
        &["--explain", "--no-cache"],
        Some("FROM busybox\nENV a=b\n"),
    );
    assert!(
        explained.stdout.contains("not cached: --no-cache"),
        "{explained:?}"
    );
}
