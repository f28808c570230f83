//! `checkpoint` and `restore`: what criu is asked for, and, where criu runs, a container that goes on where it was.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use place::Place;
use serde_json::json;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn checkpoint_and_restore_need_criu_and_say_so() {
    let Some(place) = Place::new("criu", "sleep 1000") else {
        return;
    };
    assert!(place.create("create").status.success());
    let output = place.run(&["--criu", "/nowhere/criu", "checkpoint", &place.id]);
    assert!(
        stderr(&output).contains("cannot be checkpointed in created state"),
        "{}",
        stderr(&output)
    );
    place.verb(&["start", &place.id]);
    let image = place.directory.path().join("image");
    let image = image.to_str().expect("utf-8");
    let output = place.run(&[
        "--criu",
        "/nowhere/criu",
        "checkpoint",
        "--image-path",
        image,
        &place.id,
    ]);
    assert!(
        stderr(&output).contains("need the program criu"),
        "{}",
        stderr(&output)
    );
    // What is asked of criu: a program in its place writes it down, and fails as criu does.
    let fake = place.directory.path().join("criu");
    let seen = place.directory.path().join("seen");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {}\necho 'Error (criu/x.c:1): no luck' > {image}/dump.log\nexit 1\n",
        seen.display()
    );
    let text = place.directory.path().join("criu.text");
    std::fs::write(&text, script).expect("fake");
    place::copy_program(&text, &fake);
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let fake = fake.to_str().expect("utf-8");
    let flags = [
        "--tcp-established",
        "--file-locks",
        "--leave-running",
        "--parent-path",
        "../before",
    ];
    let output = place.run(
        &[
            &["--criu", fake, "checkpoint", "--image-path", image][..],
            &flags,
            &[&place.id],
        ]
        .concat(),
    );
    assert!(stderr(&output).contains("no luck"), "{}", stderr(&output));
    let seen = std::fs::read_to_string(seen).expect("called");
    let pid = place.state()["pid"].to_string();
    for wanted in [
        "dump --images-dir",
        "--tcp-established",
        "--file-locks",
        "--leave-running",
        "--prev-images-dir ../before",
        "--track-mem",
        &format!("--tree {pid}"),
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    assert_eq!(place.status(), "running");
    for (flag, value) in [
        ("--manage-cgroups-mode", "wild"),
        ("--empty-ns", "pid"),
        ("--page-server", "here"),
    ] {
        let output = place.run(&["checkpoint", "--image-path", image, flag, value, &place.id]);
        assert!(stderr(&output).contains(value), "{flag}: {}", stderr(&output));
    }
    // A restore that fails takes away what it has made, and nothing of the bundle.
    let other = format!("{}-other", place.id);
    let bundle = place.bundle();
    let bundle = bundle.to_str().expect("utf-8");
    let output = place.run(&[
        "--criu",
        fake,
        "restore",
        "--image-path",
        image,
        "-b",
        bundle,
        &other,
    ]);
    assert!(stderr(&output).contains("criu failed"), "{}", stderr(&output));
    assert!(place.bundle().join("rootfs/bin/busybox").exists());
    assert_eq!(place.run(&["state", &other]).status.code(), Some(1));
}

/// The number that the container counts up.
fn count(place: &Place) -> u64 {
    let text = std::fs::read_to_string(place.bundle().join("rootfs/count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Waits until the container has counted on.
fn counts_on(place: &Place) -> u64 {
    let before = count(place);
    let end = Instant::now() + Duration::from_secs(900);
    while count(place) <= before {
        assert!(Instant::now() < end, "it stays {before}");
        std::thread::sleep(Duration::from_millis(20));
    }
    before
}

#[test]
fn a_container_goes_on_where_it_was() {
    let works = Command::new("criu").arg("check").output();
    if !works.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no criu (apt-get install criu) that runs on this kernel: {works:?}");
        return;
    }
    let script = "exec 9>/lock; flock -x 9; i=0; while :; do i=$((i+1)); echo $i >/new; mv /new /count; sleep 0.1; done";
    let Some(place) = Place::new("goes-on", script) else {
        return;
    };
    for applet in ["mv", "flock"] {
        let path = place.bundle().join("rootfs/bin").join(applet);
        std::os::unix::fs::symlink("busybox", path).expect("symlink");
    }
    place.configure(|spec| {
        spec["root"]["readonly"] = json!(false);
        // A hidden file, a hidden directory, and a bind, beside the mounts of every container.
        spec["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/acpi", "/proc/kcore", "/sys/firmware"]);
        let source = place.directory.path().join("bound");
        std::fs::write(&source, "from the host").expect("bound");
        let bind =
            json!({ "destination": "/bound", "source": source, "type": "bind", "options": ["bind", "ro"] });
        spec["mounts"].as_array_mut().expect("mounts").push(bind);
    });
    let folder = |name: &str| place.directory.path().join(name).display().to_string();
    let checkpoint = |image: &str, flags: &[&str]| {
        let image = folder(image);
        let start = ["checkpoint", "--file-locks", "--image-path", &image];
        place.verb(&[&start[..], flags, &[&place.id]].concat());
    };
    let inside = |command: &str| place.verb(&["exec", &place.id, "sh", "-c", command]);
    let bundle = place.bundle().display().to_string();

    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    counts_on(&place);
    checkpoint("memory", &["--pre-dump"]);
    counts_on(&place);
    checkpoint("copy", &["--parent-path", "../memory", "--leave-running"]);
    let copied = counts_on(&place);
    assert_eq!(place.status(), "running");

    checkpoint("image", &[]);
    let stopped = count(&place);
    assert!(stopped > copied);
    assert_eq!(place.run(&["state", &place.id]).status.code(), Some(1));
    let restore = |image: &str, flags: &[&str]| {
        let image = folder(image);
        let start = ["restore", "--file-locks", "--image-path", &image, "-b", &bundle];
        let mut command = place.command();
        command.args(start).args(flags).arg(&place.id);
        // The container keeps the streams: pipes would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(restore("image", &["--detach"]).status().expect("run").success());
    assert!(counts_on(&place) >= stopped);
    let mounts = inside(
        "cat /bound; cat /proc/keys; ls /proc/acpi /sys/firmware | grep -v : ; echo; cat /proc/mounts",
    );
    assert!(mounts.starts_with("from the host\n"), "{mounts}");
    assert!(inside("flock -n /lock true || echo locked").contains("locked"));
    place.verb(&["delete", "--force", &place.id]);

    // From the first image and what had changed since; in the foreground, to its end.
    let mut foreground = restore("copy", &[]).spawn().expect("run");
    counts_on(&place);
    place.verb(&["kill", &place.id, "KILL"]);
    assert_eq!(foreground.wait().expect("wait").code(), Some(137));
    assert_eq!(place.run(&["state", &place.id]).status.code(), Some(1));
    assert!(Path::new(&bundle).join("rootfs/bin/busybox").exists());
}
