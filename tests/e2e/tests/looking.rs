//! `stats`, `top`, `diff`, `wait`, `rename`, `update`, `port`: what a container is and does.

use std::fs;
use std::os::unix::fs::symlink;

use e2e::{daemon, for_each_client, until};

#[test]
fn stats_and_top_show_what_runs() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run", "-d", "--name", "seen", "-m", "64m", "busybox", "sleep", "1000",
        ]);
        let format = "{{.Name}} {{.PIDs}} {{.MemUsage}} {{.Container}}";
        let text = docker.ok(["stats", "--no-stream", "--format", format, "seen"]);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[..2], ["seen", "1"], "{text}");
        assert!(text.contains("/ 64MiB"), "{text}");
        let table = docker.ok(["stats", "--no-stream", "--no-trunc"]);
        assert!(
            table.starts_with("CONTAINER ID") && table.contains("seen"),
            "{table}"
        );
        let text = docker.ok(["top", "seen", "-eo", "pid,comm"]);
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["PID", "COMMAND"]);
        assert_eq!(
            lines.next().and_then(|line| line.split_whitespace().nth(1)),
            Some("sleep")
        );
        docker.fails(1, ["top", "seen", "--nosuch"]);
        docker.ok([
            "update",
            "--memory",
            "96m",
            "--memory-swap",
            "96m",
            "--restart",
            "on-failure:4",
            "seen",
        ]);
        let text = docker.ok(["stats", "--no-stream", "--format", "{{.MemUsage}}", "seen"]);
        assert!(text.ends_with("/ 96MiB"), "{text}");
        let policy = "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}";
        assert_eq!(docker.ok(["inspect", "-f", policy, "seen"]), "on-failure:4");
        docker.ok(["rm", "-f", "seen"]);
    });
}

#[test]
fn diff_names_what_was_added_changed_and_deleted() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let script = "mkdir /new; echo x > /new/file; echo y >> /etc/group; rm /etc/passwd";
        docker.ok(["run", "--name", "changed", "busybox", "sh", "-c", script]);
        let mut lines: Vec<String> = docker
            .ok(["diff", "changed"])
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["A /new", "A /new/file", "C /etc", "C /etc/group", "D /etc/passwd"]
        );
        docker.ok([
            "commit",
            "-a",
            "me",
            "-m",
            "why",
            "-c",
            "CMD [\"echo\", \"hi\"]",
            "changed",
            "made:1",
        ]);
        let shown = docker.ok([
            "image",
            "inspect",
            "-f",
            "{{.Author}} {{.Comment}} {{json .Config.Cmd}}",
            "made:1",
        ]);
        assert_eq!(shown, "me why [\"echo\",\"hi\"]");
        let history = docker.ok(["history", "--no-trunc", "--format", "{{.Comment}}", "made:1"]);
        assert!(history.starts_with("why"), "{history}");
        assert_eq!(docker.ok(["run", "--rm", "made:1"]), "hi");
        let error = docker.fails(1, ["commit", "-c", "RUN x", "changed"]);
        assert!(
            error.to_lowercase().contains("run is not a valid change command"),
            "{error}"
        );
        docker.ok(["rm", "changed"]);
        docker.ok(["rmi", "made:1"]);
    });
}

#[test]
fn names_ids_and_ends_are_told() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let file = daemon.folder().join("cid");
    let path = file.to_string_lossy().into_owned();
    for_each_client(&daemon, |docker| {
        let id = docker.ok([
            "run",
            "-d",
            "--cidfile",
            &path,
            "--name",
            "old",
            "busybox",
            "sh",
            "-c",
            "read x; exit 6",
        ]);
        assert_eq!(fs::read_to_string(&file).expect("cidfile"), id);
        // It read its end of file at once.
        assert_eq!(docker.ok(["wait", "old"]), "6");
        let again = docker.run(["run", "--cidfile", &path, "busybox", "true"]);
        assert_eq!(again.code, 125, "{again:?}");
        assert!(again.stderr.contains("container ID file found"), "{again:?}");
        fs::remove_file(&file).expect("cidfile");
        docker.ok(["rename", "old", "young"]);
        docker.fails(1, ["inspect", "old"]);
        let error = docker.fails(1, ["rename", "young", "young"]);
        assert!(error.contains("same name"), "{error}");
        docker.ok(["create", "--name", "other", "busybox"]);
        let error = docker.fails(1, ["rename", "other", "young"]);
        assert!(error.contains("already in use"), "{error}");
        docker.ok(["rm", "young", "other"]);
    });
}

#[test]
fn a_container_that_ignores_its_stop_signal_is_killed_after_its_own_patience() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let script = "trap 'echo told' USR2; echo ready; while :; do sleep 0.1; done";
        let run = [
            "run",
            "-d",
            "--name",
            "stubborn",
            "--stop-signal",
            "SIGUSR2",
            "--stop-timeout",
            "1",
        ];
        docker.ok(run.iter().chain(&["busybox", "sh", "-c", script]));
        until("the trap", || docker.ok(["logs", "stubborn"]).contains("ready"));
        docker.ok(["kill", "--signal", "USR2", "stubborn"]);
        until("the word", || docker.ok(["logs", "stubborn"]) == "ready\ntold");
        docker.ok(["stop", "stubborn"]);
        // Whether it still says so within its second is the machine's affair.
        let logs = docker.ok(["logs", "stubborn"]);
        assert!(
            ["ready\ntold", "ready\ntold\ntold"].contains(&logs.as_str()),
            "{logs}"
        );
        assert_eq!(
            docker.ok(["inspect", "-f", "{{.State.ExitCode}}", "stubborn"]),
            "137"
        );
        docker.ok(["rm", "stubborn"]);
    });
}

#[test]
fn links_lead_cp_nowhere_outside_in_either_direction() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = daemon.folder().join("copied");
    let secret = daemon.folder().join("secret");
    fs::write(&secret, "host").expect("file");
    let target = secret.to_string_lossy().into_owned();
    for_each_client(&daemon, |docker| {
        fs::create_dir(&folder).expect("folder");
        let to = folder.to_string_lossy().into_owned();
        let script = format!(
            "mkdir /d; ln -s {target} /d/out; ln -s / /d/up; ln -s ../../../../../../.. /climb; mkdir /landing; sleep 1000"
        );
        docker.ok(["run", "-d", "--name", "sly", "busybox", "sh", "-c", &script]);
        until("the links", || {
            docker.run(["exec", "sly", "test", "-d", "/landing"]).code == 0
        });
        // Out: a link arrives as a link, and a file of that name later replaces it instead of being written through it.
        docker.ok(["cp", "sly:/d", &to]);
        assert_eq!(fs::read_link(folder.join("d/out")).expect("link"), secret);
        docker.ok(["exec", "sly", "sh", "-c", "rm /d/out; echo theirs > /d/out"]);
        docker.ok(["cp", "sly:/d", &to]);
        assert_eq!(fs::read_to_string(&secret).expect("file"), "host");
        assert_eq!(
            fs::read_to_string(folder.join("d/out")).expect("file"),
            "theirs\n"
        );
        // A link of the container to a path of the host shows the container's, where there is nothing.
        docker.ok(["exec", "sly", "ln", "-sf", &target, "/d/out"]);
        docker.fails(1, ["cp", "-L", "sly:/d/out", &format!("{to}/followed")]);
        assert!(!folder.join("followed").exists());
        // In: links at the destination lead inside the container only, while it runs and when it is stopped.
        let source = daemon.folder().join("payload");
        fs::write(&source, "payload").expect("file");
        let source = source.to_string_lossy().into_owned();
        for name in ["running", "stopped"] {
            if name == "stopped" {
                docker.ok(["stop", "-t", "0", "sly"]);
            }
            docker.ok(["cp", &source, &format!("sly:/climb/landing/{name}")]);
            docker.ok(["cp", &source, &format!("sly:/d/up/landing/{name}-abs")]);
            let error = docker.run(["cp", &source, "sly:/d/out/x"]);
            assert_ne!(error.code, 0, "{error:?}");
        }
        assert!(!std::path::Path::new("/landing").exists());
        docker.ok(["start", "sly"]);
        let found = docker.ok(["exec", "sly", "ls", "/landing"]);
        assert_eq!(
            found.lines().collect::<Vec<_>>(),
            ["running", "running-abs", "stopped", "stopped-abs"]
        );
        // A directory of the host with a link in it goes in as that.
        symlink(&secret, folder.join("inward")).expect("link");
        docker.ok(["cp", &to, "sly:/landing/all"]);
        let link = docker.ok(["exec", "sly", "readlink", "/landing/all/inward"]);
        assert_eq!(link, target);
        assert_eq!(fs::read_to_string(&secret).expect("file"), "host");
        docker.ok(["rm", "-f", "sly"]);
        fs::remove_dir_all(&folder).expect("folder");
    });
}
