//! Bundles for tests of the command line.

// Not every test uses everything.
#![allow(dead_code)]

pub(crate) mod bus;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A bundle with busybox, and a state directory of its own.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) id: String,
}

impl Place {
    /// A bundle with busybox whose process is a shell with this script; `None` where tests of this kind cannot run.
    pub(crate) fn new(name: &str, script: &str) -> Option<Self> {
        let busybox = PathBuf::from("/bin/busybox");
        let root = std::fs::metadata("/proc/self")
            .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
            .ok()?
            == 0;
        if !root || !busybox.exists() {
            eprintln!("skipped: needs root and a static busybox (apt-get install busybox-static)");
            return None;
        }
        let directory = tempfile::tempdir().expect("directory");
        let place = Self {
            directory,
            id: format!("{name}-{}", std::process::id()),
        };
        let bin = place.bundle().join("rootfs/bin");
        std::fs::create_dir_all(&bin).expect("mkdir");
        copy_program(&busybox, &bin.join("busybox"));
        for applet in [
            "sh", "sleep", "cat", "echo", "true", "readlink", "ls", "grep", "id", "hostname", "stat",
            "touch", "head", "tty", "stty", "mount", "wc", "kill", "pwd", "mkdir", "env", "uname", "ip",
            "dd", "chmod", "ulimit", "nice", "sort",
        ] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("symlink");
        }
        let bundle = place.bundle();
        assert!(
            place
                .run(&["spec", "-b", bundle.to_str().expect("utf-8")])
                .status
                .success()
        );
        let path = bundle.join("config.json");
        let mut spec: Value = serde_json::from_slice(&std::fs::read(&path).expect("spec")).expect("json");
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["linux"]["cgroupsPath"] = json!(format!("/dhow-test-{}", place.id));
        std::fs::write(path, spec.to_string()).expect("config");
        Some(place)
    }

    /// Changes the bundle's `config.json`.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.bundle().join("config.json");
        let mut spec: Value = serde_json::from_slice(&std::fs::read(&path).expect("spec")).expect("json");
        change(&mut spec);
        std::fs::write(path, spec.to_string()).expect("config");
    }

    /// The program with its state directory, its arguments still to come.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .arg("--root")
            .arg(self.directory.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the bundle to its end.
    pub(crate) fn run_bundle(&self, flags: &[&str]) -> Output {
        let bundle = self.bundle();
        let leading = ["run", "-b", bundle.to_str().expect("utf-8")];
        self.run(&[&leading[..], flags, &[self.id.as_str()]].concat())
    }

    /// Waits until the container is in this state.
    pub(crate) fn await_status(&self, wanted: &str) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(180);
        while self.status() != wanted {
            assert!(std::time::Instant::now() < end, "it stays {}", self.status());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until the container's first process has a handler for this signal: before that the kernel throws it away.
    pub(crate) fn await_handler(&self, signal: u32) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(180);
        let pid = self.state()["pid"].clone();
        let caught = || {
            let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
        };
        while !caught() {
            assert!(std::time::Instant::now() < end, "no handler for {signal}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.directory.path().join("bundle")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(program())
            .arg("--root")
            .arg(self.directory.path().join("state"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run")
    }

    /// The verb on the container; its standard output. Fails the test when the verb does.
    pub(crate) fn verb(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("utf-8")
    }

    pub(crate) fn create(&self, verb: &str) -> Output {
        let bundle = self.bundle();
        // The container keeps the streams: pipes would never end.
        let status = Command::new(program())
            .arg("--root")
            .arg(self.directory.path().join("state"))
            .args([verb, "-b", bundle.to_str().expect("utf-8"), &self.id])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("run");
        Output {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.verb(&["state", &self.id])).expect("json")
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().expect("status").to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["delete", "--force", &self.id]);
    }
}

/// The program under test: of this build, or of the folder that `DHOW_TEST_BINARIES` names, as in a virtual machine.
pub(crate) fn program() -> PathBuf {
    let folder = std::env::var_os("DHOW_TEST_BINARIES");
    folder.map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_dhow-runtime")),
        |folder| PathBuf::from(folder).join("dhow-runtime"),
    )
}

/// Copies a file that is to be executed, in a process of its own: a test beside this one that starts a program at the
/// wrong moment would hand our descriptor for writing on to it, and the kernel executes no file that somebody writes.
pub(crate) fn copy_program(from: &std::path::Path, to: &std::path::Path) {
    let status = Command::new("cp").arg(from).arg(to).status();
    assert!(status.expect("cp").success());
}
