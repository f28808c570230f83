//! runc's command line: every flag acts or is refused by name, wrong usage is told as runc tells it.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};

use place::Place;
use serde_json::{Value, json};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn wrong_usage_is_told_as_runc_tells_it() {
    let Some(place) = Place::new("usage", "true") else {
        return;
    };
    for (arguments, code, text) in [
        (&["foo"][..], 3, "No help topic for 'foo'"),
        (&["create"], 1, "\\\"create\\\" requires exactly 1 argument(s)"),
        (&["exec"], 1, "\\\"exec\\\" requires a minimum of 1 argument(s)"),
        (
            &["kill", "a", "b", "c"],
            1,
            "\\\"kill\\\" requires a maximum of 2 argument(s)",
        ),
        (
            &["create", "--nope", "x"],
            1,
            "flag provided but not defined: -nope",
        ),
        (&["--nope"], 1, "flag provided but not defined: -nope"),
        (&["--log-format", "yaml", "list"], 1, "invalid log-format: yaml"),
        (&["--rootless", "maybe", "list"], 1, "--rootless"),
        (&["state", "absent"], 1, "container does not exist"),
        (
            &["exec", "absent", "sh"],
            255,
            "exec failed: container does not exist",
        ),
        (&["delete", "absent"], 1, "container does not exist"),
        (&["kill", "absent"], 1, "container does not exist"),
        (&["list", "-f", "yaml"], 1, "invalid format option"),
        (&["state", "../x"], 1, "invalid container ID format"),
        (&["create", "-b", "/nowhere", "x"], 1, "/nowhere"),
        (
            &["update", "--memory", "lots", "x"],
            1,
            "container does not exist",
        ),
    ] {
        let output = place.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(text),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    assert!(stdout(&place.run(&["create"])).starts_with("Incorrect Usage"));
    for verb in [
        "checkpoint",
        "create",
        "delete",
        "events",
        "exec",
        "features",
        "kill",
        "list",
        "pause",
        "ps",
        "restore",
        "resume",
        "run",
        "spec",
        "start",
        "state",
        "update",
    ] {
        assert!(place.verb(&["--help"]).contains(&format!("   {verb} ")), "{verb}");
        let help = place.verb(&[verb, "--help"]);
        assert!(
            help.starts_with(&format!("NAME:\n   dhow-runtime {verb} - ")),
            "{help}"
        );
        assert_eq!(place.verb(&["help", verb]), help);
    }
    assert!(place.verb(&["--version"]).starts_with("dhow-runtime version "));
}

#[test]
fn bad_bundles_get_one_line_that_names_the_field() {
    let Some(place) = Place::new("fields", "true") else {
        return;
    };
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 9] = [
        ("process.user.uid", |spec| {
            spec["process"]["user"]["uid"] = json!("root")
        }),
        ("mounts[1].options", |spec| {
            spec["mounts"][1]["options"] = json!("ro")
        }),
        ("linux.namespaces[0].type", |spec| {
            spec["linux"]["namespaces"][0]["type"] = json!("moon")
        }),
        ("process.args", |spec| spec["process"]["args"] = json!(7)),
        ("ociVersion", |spec| spec["ociVersion"] = json!("2.0.0")),
        ("cwd", |spec| spec["process"]["cwd"] = json!("relative")),
        ("RLIMIT_MOON", |spec| {
            spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_MOON", "soft": 1, "hard": 1 }])
        }),
        ("rootfsPropagation", |spec| {
            spec["linux"]["rootfsPropagation"] = json!("sideways")
        }),
        ("oomScoreAdj", |spec| spec["process"]["oomScoreAdj"] = json!(4000)),
    ];
    let path = place.bundle().join("config.json");
    let good = std::fs::read(&path).expect("spec");
    for (name, change) in changes {
        std::fs::write(&path, &good).expect("spec");
        place.configure(change);
        let output = place.run_bundle(&[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {text}");
        assert!(text.contains(name) && text.lines().count() == 1, "{name}: {text}");
        assert_eq!(place.verb(&["list", "-q"]), "", "{name}");
    }
}

#[test]
fn pid_files_descriptors_and_consoles_are_handed_over() {
    let script = "cat <&3; tty; stty size; exit 3";
    let Some(place) = Place::new("handover", script) else {
        return;
    };
    place.configure(|spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    });
    let path = |name: &str| place.directory.path().join(name);
    let consoles = UnixListener::bind(path("console")).expect("bind");
    let pidfds = UnixListener::bind(path("pidfd")).expect("bind");
    std::fs::write(path("given"), "from descriptor 3\n").expect("file");
    let bundle = place.bundle();
    // A shell opens the descriptor that the container inherits.
    let status = std::process::Command::new("sh")
        .args(["-c", "exec 3<\"$1\"; shift; exec \"$@\"", "sh"])
        .arg(path("given"))
        .arg(env!("CARGO_BIN_EXE_dhow-runtime"))
        .arg("--root")
        .arg(path("state"))
        .args(["create", "--preserve-fds", "1", "--no-pivot", "--no-new-keyring"])
        .arg("--bundle")
        .arg(&bundle)
        .arg("--console-socket")
        .arg(path("console"))
        .arg("--pidfd-socket")
        .arg(path("pidfd"))
        .arg("--pid-file")
        .arg(path("pid"))
        .arg(&place.id)
        .stdin(Stdio::null())
        .status()
        .expect("run");
    assert!(status.success());
    let receive = |listener: &UnixListener| {
        let (socket, _) = listener.accept().expect("accept");
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0_u8; 64];
        let flags = rustix::net::RecvFlags::empty();
        let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&socket, &mut parts, &mut control, flags).expect("message");
        let mut fds = control.drain().filter_map(|message| match message {
            rustix::net::RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        fds.next().and_then(|mut fds| fds.next()).expect("a descriptor")
    };
    let master = receive(&consoles);
    let pidfd = receive(&pidfds);
    assert_eq!(
        std::fs::read_to_string(path("pid")).expect("pid file"),
        place.state()["pid"].to_string()
    );
    place.verb(&["start", &place.id]);
    let mut text = Vec::new();
    let _ = std::fs::File::from(master).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(text, "from descriptor 3\r\n/dev/pts/0\r\n33 99\r\n");
    rustix::event::poll(
        &mut [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)],
        None,
    )
    .expect("its end");
    place.await_status("stopped");
    assert_eq!(place.state()["pid"], 0);
}

#[test]
fn a_terminal_needs_somebody_who_holds_it() {
    let Some(place) = Place::new("noconsole", "true") else {
        return;
    };
    place.configure(|spec| spec["process"]["terminal"] = json!(true));
    for flags in [&["run", "-d"][..], &["create"]] {
        let bundle = place.bundle();
        let output = place.run(&[flags, &["-b", bundle.to_str().expect("utf-8"), &place.id]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output)
                .contains("cannot allocate tty if runc will detach without setting console socket")
        );
    }
    place.configure(|spec| spec["process"]["terminal"] = json!(false));
    let output = place.run_bundle(&["--console-socket", "/nowhere"]);
    assert!(stderr(&output).contains("cannot use console socket if runc will not detach or allocate tty"));
    for root in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"] {
        let group = std::path::Path::new(root).join(format!("dhow-test-{}", place.id));
        assert!(!group.exists(), "{} is left of what was refused", group.display());
    }
}

#[test]
fn an_exec_has_what_its_flags_say() {
    let Some(place) = Place::new("execflags", "sleep 1000") else {
        return;
    };
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    let script = "pwd; echo $A$B; id -u; id -g; id -G; grep -E 'NoNewPrivs|CapBnd' /proc/self/status";
    let text = place.verb(&[
        "exec",
        "--cwd",
        "/bin",
        "-e",
        "A=1",
        "--env",
        "B=2",
        "-u",
        "7:8",
        "-g",
        "9",
        "--additional-gids=10",
        "--no-new-privs",
        "-c",
        "CAP_SYS_ADMIN",
        &place.id,
        "sh",
        "-c",
        script,
    ]);
    // kill 5, net_bind_service 10, sys_admin 21, audit_write 29
    assert_eq!(
        text,
        "/bin\n12\n7\n8\n8 9 10\nCapBnd:\t0000000020200420\nNoNewPrivs:\t1\n"
    );
    let file = place.directory.path().join("process.json");
    let process =
        json!({ "args": ["sh", "-c", "echo from $X; exit 6"], "cwd": "/", "env": ["X=file", "PATH=/bin"] });
    std::fs::write(&file, process.to_string()).expect("process");
    let output = place.run(&["exec", "-p", file.to_str().expect("utf-8"), &place.id]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(6), "from file\n")
    );
    let pid_file = place.directory.path().join("exec.pid");
    let status = place
        .command()
        .args([
            "exec",
            "-d",
            "--pid-file",
            pid_file.to_str().expect("utf-8"),
            &place.id,
            "sleep",
            "999",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("run").success());
    let pid = std::fs::read_to_string(pid_file).expect("pid");
    // While the program is being loaded the command line is empty.
    let command = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(180);
    while command() != "sleep\0999\0" {
        assert!(std::time::Instant::now() < end, "{:?}", command());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pids: Vec<i64> = serde_json::from_str(&place.verb(&["ps", "-f", "json", &place.id])).expect("json");
    assert!(pids.contains(&pid.parse().expect("number")));
    let table = place.verb(&["ps", &place.id]);
    assert!(table.contains("PID") && table.contains("sleep 999"), "{table}");
    place.verb(&["pause", &place.id]);
    let output = place.run(&["exec", &place.id, "true"]);
    assert!(
        stderr(&output).contains("cannot exec in a paused container"),
        "{}",
        stderr(&output)
    );
    place.verb(&["resume", &place.id]);
    for (flag, value) in [("-u", "root"), ("-g", "wheel"), ("--preserve-fds", "some")] {
        let output = place.run(&["exec", flag, value, &place.id, "true"]);
        assert_eq!(output.status.code(), Some(255), "{flag}");
        assert!(stderr(&output).contains(value), "{flag}: {}", stderr(&output));
    }
}

#[test]
fn an_exec_can_be_put_into_a_group_below() {
    let Some(place) = Place::new("subgroup", "sleep 1000") else {
        return;
    };
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    let mut made = Vec::new();
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
        let group = hierarchy.path().join(format!("dhow-test-{}", place.id));
        if group.is_dir() && !made.contains(&group.canonicalize().expect("path")) {
            std::fs::create_dir(group.join("below")).expect("group");
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(text) = std::fs::read_to_string(group.join(file)) {
                    // A version 1 cpuset is empty at first.
                    let _ = std::fs::write(group.join("below").join(file), text);
                }
            }
            made.push(group.canonicalize().expect("path"));
        }
    }
    if made.is_empty() {
        eprintln!("skipped: no version 1 hierarchies");
        return;
    }
    let groups = |flags: &[&str]| {
        let command = [&["exec"][..], flags, &[&place.id, "cat", "/proc/self/cgroup"]].concat();
        place.verb(&command)
    };
    let of = |text: &str, controller: &str| {
        let line = text
            .lines()
            .find(|line| line.contains(&format!(":{controller}:")));
        line.map(|line| line.rsplit(':').next().unwrap_or_default().to_owned())
    };
    let all = groups(&["--cgroup", "below"]);
    assert!(
        of(&all, "pids").is_some_and(|path| path.ends_with("/below")),
        "{all}"
    );
    let one = groups(&["--cgroup", "pids:below"]);
    assert!(
        of(&one, "pids").is_some_and(|path| path.ends_with("/below")),
        "{one}"
    );
    assert!(
        of(&one, "freezer").is_some_and(|path| !path.ends_with("/below")),
        "{one}"
    );
    let output = place.run(&["exec", "--cgroup", "absent", &place.id, "true"]);
    assert!(stderr(&output).contains("absent"), "{}", stderr(&output));
    let output = place.run(&["exec", "--cgroup", "../..", &place.id, "true"]);
    assert!(
        stderr(&output).contains("invalid cgroup path"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn limits_are_updated_and_measured() {
    let Some(place) = Place::new("limits", "sleep 1000") else {
        return;
    };
    place.configure(|spec| spec["linux"]["resources"]["pids"] = json!({ "limit": 50 }));
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    place.verb(&[
        "update",
        "--memory",
        "64m",
        "--memory-swap",
        "-1",
        "--pids-limit",
        "60",
        "--cpu-share",
        "512",
        &place.id,
    ]);
    let stats = |place: &Place| -> Value {
        serde_json::from_str(&place.verb(&["events", "--stats", &place.id])).expect("json")
    };
    let first = stats(&place);
    assert_eq!(
        (&first["type"], &first["id"]),
        (&json!("stats"), &json!(place.id))
    );
    assert_eq!(first["data"]["memory"]["usage"]["limit"], json!(64 << 20));
    assert_eq!(first["data"]["pids"]["limit"], 60);
    assert!(
        first["data"]["cpu"]["usage"]["total"]
            .as_u64()
            .is_some_and(|time| time > 0)
    );
    // What containerd does: changes on standard input.
    let mut child = place
        .command()
        .args(["update", "-r", "-", &place.id])
        .stdin(Stdio::piped())
        .spawn()
        .expect("run");
    let resources = json!({ "memory": { "limit": 32 << 20 }, "cpu": { "quota": 50_000, "period": 100_000 } });
    std::io::Write::write_all(
        &mut child.stdin.take().expect("stdin"),
        resources.to_string().as_bytes(),
    )
    .expect("written");
    assert!(child.wait().expect("end").success());
    let second = stats(&place);
    assert_eq!(second["data"]["memory"]["usage"]["limit"], json!(32 << 20));
    assert_eq!(second["data"]["pids"]["limit"], 60);
    let kept: Value = serde_json::from_slice(
        &std::fs::read(
            place
                .directory
                .path()
                .join("state")
                .join(&place.id)
                .join("config.json"),
        )
        .expect("kept"),
    )
    .expect("json");
    let kept = &kept["linux"]["resources"];
    assert_eq!(
        (
            &kept["pids"]["limit"],
            &kept["cpu"]["shares"],
            &kept["cpu"]["quota"]
        ),
        (&json!(60), &json!(512), &json!(50_000))
    );
    let output = place.run(&["update", "--l3-cache-schema", "L3:0=1", &place.id]);
    assert!(
        stderr(&output).contains("has no linux.intelRdt"),
        "{}",
        stderr(&output)
    );
    let output = place.run(&["update", "--memory", "1x", &place.id]);
    assert!(
        stderr(&output).contains("invalid value for memory"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn events_tell_statistics_and_want_of_memory_until_the_end() {
    let script = "cat; dd if=/dev/zero of=/dev/null bs=60M count=1 2>/dev/null; sleep 1000";
    let Some(place) = Place::new("events", script) else {
        return;
    };
    place.configure(|spec| {
        spec["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20, "swap": 16 << 20 })
    });
    let bundle = place.bundle();
    let mut container = place
        .command()
        .args(["run", "-b", bundle.to_str().expect("utf-8"), &place.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run");
    let running = || {
        place
            .run(&["state", &place.id])
            .stdout
            .windows(7)
            .any(|word| word == b"running")
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(180);
    while !running() {
        assert!(std::time::Instant::now() < end, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut events = place
        .command()
        .args(["events", "--interval", "50ms", &place.id])
        .stdout(Stdio::piped())
        .spawn()
        .expect("events");
    let mut lines = BufReader::new(events.stdout.take().expect("stdout")).lines();
    let mut next =
        || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("read")).expect("json") };
    // Once it tells something it listens; then the container may run out of memory.
    assert_eq!(next()["type"], "stats");
    drop(container.stdin.take());
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "oom") {
        kinds.push(next()["type"].as_str().expect("type").to_owned());
    }
    place.verb(&["kill", &place.id, "KILL"]);
    assert!(events.wait().expect("end").success());
    assert_eq!(container.wait().expect("end").code(), Some(137));
}

#[test]
fn a_kept_container_stays_stopped() {
    let Some(place) = Place::new("keep", "exit 4") else {
        return;
    };
    assert_eq!(place.run_bundle(&["--keep"]).status.code(), Some(4));
    assert_eq!(place.status(), "stopped");
    let output = place.run(&["kill", &place.id]);
    assert!(stderr(&output).contains("container not running"));
    place.verb(&["kill", "--all", &place.id, "KILL"]);
    for verb in ["start", "pause", "resume", "update", "events"] {
        assert!(!place.run(&[verb, &place.id]).status.success(), "{verb}");
    }
    let output = place.run_bundle(&[]);
    assert!(stderr(&output).contains("container with given ID already exists"));
    place.verb(&["delete", &place.id]);
}
