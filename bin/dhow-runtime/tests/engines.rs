//! Debian's dockerd and podman, unmodified, with this program as their runtime: whole lives of containers.
//!
//! Both have roots, sockets and namespaces of their own; nothing of the machine's is touched.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const RUNTIME: &str = env!("CARGO_BIN_EXE_dhow-runtime");

/// A folder for an engine, with a tar file of a root file system; `None` where such tests cannot run.
fn folder(needed: &[&str]) -> Option<tempfile::TempDir> {
    let root = std::fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
        .ok()?
        == 0;
    let found = |name: &str| {
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin"]
            .iter()
            .any(|place| Path::new(place).join(name).exists())
    };
    let missing: Vec<&str> = needed.iter().copied().filter(|name| !found(name)).collect();
    if !root || !missing.is_empty() || !Path::new("/bin/busybox").exists() {
        eprintln!(
            "skipped: needs root, a static busybox and {missing:?} (apt-get install docker.io podman busybox-static)"
        );
        return None;
    }
    // Short, because a socket's path has at most 107 bytes.
    let folder = tempfile::Builder::new()
        .prefix("dhow-oci-")
        .tempdir_in("/tmp")
        .expect("folder");
    let bin = folder.path().join("image/bin");
    std::fs::create_dir_all(&bin).expect("mkdir");
    std::fs::create_dir_all(folder.path().join("image/etc")).expect("mkdir");
    std::fs::write(
        folder.path().join("image/etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\n",
    )
    .expect("passwd");
    std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox");
    for applet in [
        "sh", "cat", "echo", "id", "sleep", "grep", "tty", "true", "touch", "kill", "hostname", "mount",
    ] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("link");
    }
    let packed = Command::new("tar")
        .arg("-C")
        .arg(folder.path().join("image"))
        .arg("-cf")
        .arg(folder.path().join("image.tar"))
        .arg(".")
        .status();
    assert!(packed.expect("tar").success());
    Some(folder)
}

/// An engine's command with the flags and the environment that lead it to roots of its own.
struct Engine {
    program: &'static str,
    leading: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Engine {
    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.program);
        command.args(&self.leading).args(arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.output().expect("the engine's command")
    }

    /// Standard output of a command that succeeds.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn code(&self, arguments: &[&str]) -> i32 {
        self.output(arguments).status.code().expect("a code")
    }

    /// Waits until a container says this of itself.
    fn await_state(&self, name: &str, format: &str, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(180);
        while self.ok(&["inspect", "-f", format, name]) != wanted {
            assert!(Instant::now() < end, "{name} does not become {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The arguments of a container that goes when it ends.
fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--rm", "--network", "none"], more].concat()
}

/// What both engines must be able to do.
fn whole_lives(engine: &Engine) {
    assert_eq!(engine.ok(&run(&["box", "echo", "hello"])), "hello");
    assert_eq!(engine.code(&run(&["box", "sh", "-c", "exit 7"])), 7);
    assert_eq!(engine.code(&run(&["box", "nope"])), 127);
    assert_eq!(engine.code(&run(&["box", "/etc"])), 126);
    assert_eq!(engine.ok(&run(&["-t", "box", "tty"])).trim(), "/dev/pts/0");
    let limits = [
        "-m",
        "20m",
        "--pids-limit",
        "20",
        "--user",
        "1000:1000",
        "--cap-drop",
        "ALL",
    ];
    let safe = [
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--security-opt",
        "no-new-privileges",
    ];
    let script = "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; id -u; touch /x 2>/dev/null || echo read-only; \
                  touch /tmp/x && echo tmp; hostname";
    let text = engine.ok(&[
        &run(&[])[..],
        &limits,
        &safe,
        &["--hostname", "named", "box", "sh", "-c", script],
    ]
    .concat());
    let words = "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n1000\nread-only\ntmp\nnamed";
    assert_eq!(text, words);
    assert_eq!(
        engine
            .ok(&run(&[
                "--privileged",
                "box",
                "sh",
                "-c",
                "mount -t tmpfs x /mnt 2>&1; id -u"
            ]))
            .lines()
            .last(),
        Some("0")
    );

    engine.ok(&[
        "run",
        "-d",
        "--name",
        "life",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "trap 'exit 5' TERM; while :; do sleep 0.1; done",
    ]);
    assert!(engine.ok(&["exec", "life", "id"]).starts_with("uid=0(root)"));
    assert!(engine.ok(&["exec", "-t", "life", "tty"]).starts_with("/dev/pts/"));
    assert_eq!(
        engine.ok(&[
            "exec",
            "-e",
            "A=b",
            "-u",
            "7:8",
            "life",
            "sh",
            "-c",
            "echo $A $(id -u)"
        ]),
        "b 7"
    );
    assert_ne!(engine.code(&["exec", "life", "nope"]), 0);
    engine.ok(&["pause", "life"]);
    engine.await_state("life", "{{.State.Status}}", "paused");
    engine.ok(&["unpause", "life"]);
    engine.await_state("life", "{{.State.Status}}", "running");
    assert!(engine.ok(&["top", "life"]).contains("sleep") || engine.ok(&["top", "life"]).contains("sh"));
    engine.ok(&["stop", "-t", "20", "life"]);
    assert_eq!(engine.ok(&["inspect", "-f", "{{.State.ExitCode}}", "life"]), "5");
    engine.ok(&["start", "life"]);
    engine.ok(&["kill", "life"]);
    engine.await_state("life", "{{.State.Running}}", "false");
    assert_eq!(
        engine.ok(&["inspect", "-f", "{{.State.ExitCode}}", "life"]),
        "137"
    );
    engine.ok(&["rm", "life"]);
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "loud",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "echo out; echo err >&2",
    ]);
    engine.await_state("loud", "{{.State.Running}}", "false");
    let logs = engine.output(&["logs", "loud"]);
    assert_eq!(&logs.stdout[..], b"out\n");
    // Where the machine does not allow a limit that podman asks for, the runtime's warning comes before.
    assert!(logs.stderr.ends_with(b"err\n"), "{logs:?}");
    engine.ok(&["rm", "loud"]);
}

/// A daemon in a network and mount namespace of its own.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn dockerd_drives_it() {
    let Some(folder) = folder(&["docker", "dockerd", "containerd", "unshare"]) else {
        return;
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("daemon.json"), "{}").expect("daemon.json");
    let script = "ip link set lo up; exec \"$@\"";
    let log = std::fs::File::create(path("log")).expect("log");
    let child = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
            "dockerd",
        ])
        .args([
            "--host",
            &format!("unix://{}", path("sock")),
            "--data-root",
            &path("data"),
        ])
        .args([
            "--exec-root",
            &path("exec"),
            "--pidfile",
            &path("pid"),
            "--config-file",
            &path("daemon.json"),
        ])
        .args([
            "--bridge",
            "none",
            "--iptables=false",
            "--ip6tables=false",
            "--storage-driver",
            "vfs",
        ])
        .args([
            "--add-runtime",
            &format!("dhow={RUNTIME}"),
            "--default-runtime",
            "dhow",
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn();
    let mut daemon = Daemon(child.expect("dockerd"));
    let engine = Engine {
        program: "docker",
        leading: Vec::new(),
        environment: vec![
            ("DOCKER_HOST", format!("unix://{}", path("sock"))),
            ("DOCKER_CONFIG", path("client")),
        ],
    };
    let end = Instant::now() + Duration::from_secs(120);
    while !engine.output(&["version"]).status.success() {
        let log = || std::fs::read_to_string(path("log")).unwrap_or_default();
        assert!(
            daemon.0.try_wait().expect("wait").is_none(),
            "dockerd ended: {}",
            log()
        );
        assert!(Instant::now() < end, "dockerd does not answer: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    engine.ok(&["import", &path("image.tar"), "box"]);
    assert_eq!(engine.ok(&["info", "-f", "{{.DefaultRuntime}}"]), "dhow");
    whole_lives(&engine);
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "big",
        "--network",
        "none",
        "box",
        "sleep",
        "1000",
    ]);
    engine.ok(&["update", "--memory", "64m", "--memory-swap", "128m", "big"]);
    let inside =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true";
    assert_eq!(
        engine.ok(&["exec", "big", "sh", "-c", inside]),
        (64 << 20).to_string()
    );
    // The command waits two seconds for the daemon's first figures, and shows dashes when the machine is slower.
    let end = Instant::now() + Duration::from_secs(180);
    loop {
        let figures = engine.ok(&["stats", "--no-stream", "big"]);
        if figures.contains("64MiB") {
            break;
        }
        let log = || std::fs::read_to_string(path("log")).unwrap_or_default();
        assert!(Instant::now() < end, "{figures}\n{}", log());
    }
    engine.ok(&["restart", "-t", "0", "big"]);
    engine.ok(&["rm", "-f", "big"]);
    let args = [
        "run",
        "-d",
        "--name",
        "again",
        "--network",
        "none",
        "--restart",
        "on-failure:2",
        "box",
        "sh",
        "-c",
        "exit 3",
    ];
    engine.ok(&args);
    engine.await_state(
        "again",
        "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}",
        "2 exited 3",
    );
    engine.ok(&["rm", "again"]);
}

#[test]
fn podman_drives_it() {
    let Some(folder) = folder(&["podman", "conmon"]) else {
        return;
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    let leading = [
        "--root",
        &path("root"),
        "--runroot",
        &path("run"),
        "--tmpdir",
        &path("tmp"),
        "--storage-driver",
        "vfs",
        "--cgroup-manager",
        "cgroupfs",
        "--events-backend",
        "file",
        "--runtime",
        RUNTIME,
        "--log-level",
        "error",
    ];
    let engine = Engine {
        program: "podman",
        leading: leading.map(str::to_owned).to_vec(),
        environment: Vec::new(),
    };
    engine.ok(&["import", &path("image.tar"), "box"]);
    whole_lives(&engine);
    let mapped = [
        "run",
        "--rm",
        "--uidmap",
        "0:100000:5000",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "cat /proc/self/uid_map",
    ];
    let text = engine.ok(&mapped);
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["0", "100000", "5000"]
    );
    // Unmounts what vfs and podman keep mounted in its roots.
    engine.ok(&["system", "reset", "--force"]);
    for line in std::fs::read_to_string("/proc/self/mounts")
        .expect("mounts")
        .lines()
    {
        let place = line.split(' ').nth(1).map(PathBuf::from);
        if let Some(place) = place.filter(|place| place.starts_with(folder.path())) {
            let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
        }
    }
}
