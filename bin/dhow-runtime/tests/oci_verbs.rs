//! The OCI verbs, through the program itself.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::path::PathBuf;

use place::Place;
use serde_json::{Value, json};

#[test]
fn a_container_lives_from_create_to_delete() {
    let Some(place) = Place::new("life", "sleep 1000") else {
        return;
    };
    assert!(place.create("create").status.success());
    assert_eq!(place.status(), "created");
    place.verb(&["start", &place.id]);
    let state = place.state();
    assert_eq!(state["status"], "running");
    assert!(!place.run(&["start", &place.id]).status.success());
    assert!(!place.run(&["delete", &place.id]).status.success());
    let list: Value = serde_json::from_str(&place.verb(&["list", "-f", "json"])).expect("json");
    assert_eq!(
        (&list[0]["id"], &list[0]["pid"]),
        (&json!(place.id), &state["pid"])
    );
    let pids: Vec<i64> = serde_json::from_str(&place.verb(&["ps", "-f", "json", &place.id])).expect("json");
    assert!(pids.contains(&state["pid"].as_i64().expect("pid")));
    place.verb(&["pause", &place.id]);
    assert_eq!(place.status(), "paused");
    place.verb(&["resume", &place.id]);
    assert_eq!(place.status(), "running");
    place.verb(&["kill", &place.id, "KILL"]);
    place.await_status("stopped");
    place.verb(&["delete", &place.id]);
    assert!(!place.run(&["state", &place.id]).status.success());
}

#[test]
fn run_gives_the_exit_code_and_leaves_nothing() {
    let Some(place) = Place::new("run", "echo out; exit 9") else {
        return;
    };
    let bundle = place.bundle();
    let output = place.run(&["run", "-b", bundle.to_str().expect("utf-8"), &place.id]);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(9), &b"out\n"[..])
    );
    assert_eq!(place.verb(&["list", "-q"]), "");
    assert!(!PathBuf::from(format!("/sys/fs/cgroup/pids/dhow-test-{}", place.id)).exists());
    assert!(!PathBuf::from(format!("/sys/fs/cgroup/dhow-test-{}", place.id)).exists());
}

#[test]
fn another_process_is_executed_inside() {
    let Some(place) = Place::new("exec", "sleep 1000") else {
        return;
    };
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    let pid_namespace = place.verb(&[
        "exec",
        "--env",
        "A=b",
        &place.id,
        "sh",
        "-c",
        "readlink /proc/self/ns/pid; echo $A",
    ]);
    let init = place.state()["pid"].as_i64().expect("pid");
    let wanted = std::fs::read_link(format!("/proc/{init}/ns/pid")).expect("link");
    assert_eq!(pid_namespace, format!("{}\nb\n", wanted.display()));
    let missing = place.run(&["exec", &place.id, "nope"]);
    assert_eq!(missing.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("executable file not found in $PATH"));
    assert_eq!(
        place
            .run(&["exec", &place.id, "sh", "-c", "kill -9 $$"])
            .status
            .code(),
        Some(137)
    );
}

/// CVE-2019-5736: the file of the program that waits inside must not be writable through `/proc/<pid>/exe`.
#[test]
fn the_program_inside_is_not_the_file_on_the_host() {
    let Some(place) = Place::new("exe", "true") else {
        return;
    };
    assert!(place.create("create").status.success());
    let exe = format!("/proc/{}/exe", place.state()["pid"]);
    // Read-only as a mount that hangs nowhere: no process can find it to change that. Opening for writing would say
    // ETXTBSY as long as anybody executes the file, so the mount is asked.
    let flags = rustix::fs::statvfs(&exe).expect("statvfs").f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

/// The attack itself: from within, with every capability, the file is held open until nobody executes it any more, and
/// then written to.
#[test]
fn a_descriptor_of_the_program_is_no_way_to_write_to_it() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let Some(place) = Place::new("overwrite", "true") else {
        return;
    };
    // A program of this test's own, which nothing else executes.
    let program = place.directory.path().join("program");
    place::copy_program(std::path::Path::new(env!("CARGO_BIN_EXE_dhow-runtime")), &program);
    let content = std::fs::read(&program).expect("program");
    let all = json!([
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER"
    ]);
    place.configure(|spec| {
        spec["process"]["args"] = json!(["sh", "-c", "echo started; exec sleep 1000"]);
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] = all.clone();
        }
    });
    let verb = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command
            .arg("--root")
            .arg(place.directory.path().join("state"))
            .args(arguments);
        command
    };
    let bundle = place.bundle();
    let create = ["create", "-b", bundle.to_str().expect("utf-8"), &place.id];
    let quiet = std::process::Stdio::null;
    let mut created = verb(&create)
        .stdin(quiet())
        .stdout(std::process::Stdio::piped())
        .stderr(quiet())
        .spawn()
        .expect("create");
    assert!(created.wait().expect("create").success());
    let mut first = BufReader::new(created.stdout.take().expect("output"));
    let script = "exec 9</proc/1/exe; readlink /proc/self/fd/9; echo held; read go; \
                  (echo attack > /proc/$$/fd/9) 2>&1; mount -o remount,bind,rw / 2>/dev/null; \
                  (echo attack >> /proc/$$/fd/9) 2>&1; chmod 777 /proc/$$/fd/9 2>&1; echo end";
    let mut inside = verb(&["exec", "--detach", &place.id, "sh", "-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("exec");
    let mut input = inside.stdin.take().expect("input");
    let mut output = BufReader::new(inside.stdout.take().expect("output"));
    let mut line = String::new();
    while !line.ends_with("held\n") {
        assert_ne!(output.read_line(&mut line).expect("line"), 0, "{line}");
    }
    // Nobody attends the process inside: with the execve of the first, which `start` does not wait for, the last use
    // of the program ends. Until then the file would be busy, not read-only.
    inside.wait().expect("detached");
    assert!(verb(&["start", &place.id]).status().expect("start").success());
    let mut started = String::new();
    first.read_line(&mut started).expect("line");
    assert_eq!(started, "started\n");
    input.write_all(b"go\n").expect("go");
    drop(input);
    let mut text = String::new();
    output.read_to_string(&mut text).expect("text");
    assert_eq!(text.matches("Read-only file system").count(), 3, "{line}{text}");
    assert!(
        std::fs::read(&program).expect("program") == content,
        "it was overwritten"
    );
}

#[test]
fn a_failed_create_leaves_nothing_and_says_why() {
    let Some(place) = Place::new("fail", "true") else {
        return;
    };
    let path = place.bundle().join("config.json");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(&path).expect("spec")).expect("json");
    spec["mounts"][0]["options"] = json!(["nonsense=1"]);
    std::fs::write(&path, spec.to_string()).expect("config");
    let log = place.directory.path().join("log");
    let bundle = place.bundle();
    let arguments = [
        "--log",
        log.to_str().expect("utf-8"),
        "--log-format",
        "json",
        "create",
        "-b",
    ];
    let output = place.run(&[&arguments[..], &[bundle.to_str().expect("utf-8"), &place.id]].concat());
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_str(&std::fs::read_to_string(log).expect("log")).expect("json");
    let text = line["msg"].as_str().expect("text");
    assert!(
        text.contains("error mounting \"proc\" to rootfs at \"/proc\": invalid argument"),
        "{text}"
    );
    assert_eq!(place.verb(&["list", "-q"]), "");
}
