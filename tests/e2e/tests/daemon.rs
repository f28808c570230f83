//! The daemon as a program: configuration, signals, sockets.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use e2e::{Daemon, Settings, binaries, daemon, daemon_with, http, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Runs `dhowd --validate` on a configuration; `None` where it is not built.
fn validate(config: &str) -> Option<Output> {
    let program = binaries().join("dhowd");
    if !program.exists() {
        return None;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), config).expect("write");
    let output = Command::new(program)
        .arg("--validate")
        .arg("--config-file")
        .arg(file.path())
        .output();
    Some(output.expect("run"))
}

fn signal(daemon: &Daemon, signal: Signal) {
    let pid = Pid::from_raw(daemon.pid().cast_signed()).expect("a pid");
    kill_process(pid, signal).expect("kill");
}

#[test]
fn validate_judges_a_configuration_without_starting() {
    for (config, code, text) in [
        ("{}", 0, "configuration OK"),
        (
            r#"{"debug":true,"metrics-addr":"x"}"#,
            0,
            "\"metrics-addr\" is not available",
        ),
        (
            r#"{"colour":"red"}"#,
            1,
            "the following directives don't match any configuration option: colour",
        ),
        (r#"{"tlsverify":true}"#, 1, "unsafe"),
        ("{", 1, "unable to configure"),
    ] {
        let Some(output) = validate(config) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{config}: {said}");
        assert!(said.contains(text), "{config}: {said}");
    }
}

#[test]
fn sighup_reads_the_file_again_and_a_bad_file_changes_nothing() {
    let Some(daemon) = daemon_with(Settings {
        config: Some(json!({ "labels": ["a=1"] })),
        ..Settings::default()
    }) else {
        return;
    };
    assert_eq!(http::get(&daemon, "/info")["Labels"], json!(["a=1"]));
    let file = daemon.folder().join("daemon.json");
    fs::write(&file, r#"{"labels":["a=2"],"debug":true}"#).expect("write");
    signal(&daemon, Signal::HUP);
    until("new labels", || {
        http::get(&daemon, "/info")["Labels"] == json!(["a=2"])
    });
    assert_eq!(http::get(&daemon, "/info")["Debug"], true);
    fs::write(&file, r#"{"labels":["broken"]}"#).expect("write");
    signal(&daemon, Signal::HUP);
    until("a complaint", || {
        daemon.log().contains("bad attribute format: broken")
    });
    assert_eq!(http::get(&daemon, "/info")["Labels"], json!(["a=2"]));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_secs()
        + 1;
    let events = http::request(&daemon, "GET", &format!("/events?since=1&until={now}"), None).text();
    assert!(
        events.contains(r#""Type":"daemon","Action":"reload""#),
        "{events}"
    );
    fs::write(&file, "{}").expect("write");
}

#[test]
fn sighup_changes_registries_and_patience_and_names_what_needs_a_restart() {
    let Some(daemon) = daemon() else { return };
    let file = daemon.folder().join("daemon.json");
    let new = json!({
        "registry-mirrors": ["http://127.0.0.1:1"], "insecure-registries": ["plain.example"],
        "blocked-registries": ["evil.example"], "max-concurrent-downloads": 1, "max-concurrent-uploads": 1,
        "max-download-attempts": 1, "live-restore": false, "shutdown-timeout": 3, "log-level": "debug",
        "log-driver": "none",
    });
    fs::write(&file, new.to_string()).expect("write");
    signal(&daemon, Signal::HUP);
    until("the reload", || {
        daemon.log().contains("the configuration is reloaded")
    });
    let info = http::get(&daemon, "/info");
    assert_eq!(info["LiveRestoreEnabled"], false);
    let registries = &info["RegistryConfig"];
    assert_eq!(registries["Mirrors"], json!(["http://127.0.0.1:1/"]));
    assert_eq!(registries["IndexConfigs"]["plain.example"]["Secure"], false);
    let pull = http::request(
        &daemon,
        "POST",
        "/images/create?fromImage=evil.example/a&tag=latest",
        None,
    );
    assert!(pull.text().contains("is blocked by"), "{}", pull.text());
    // The default log driver is decided at the start, and the log says that there is such a change.
    assert_eq!(info["LoggingDriver"], "json-file");
    assert!(
        daemon.log().contains("need a restart of the daemon"),
        "{}",
        daemon.log()
    );
    fs::write(&file, "{}").expect("write");
}

/// Starts a container that ignores SIGTERM at its default and says whether it still runs after a restart.
fn survives(live_restore: Option<bool>) -> Option<bool> {
    let config = live_restore.map(|on| json!({ "live-restore": on }));
    let daemon = daemon_with(Settings {
        config,
        ..Settings::default()
    })?;
    daemon.load_busybox();
    let body = json!({ "Image": "busybox", "Cmd": ["sleep", "600"], "StopSignal": "SIGKILL" });
    let made = http::request(&daemon, "POST", "/containers/create", Some(&body)).json();
    let id = made["Id"].as_str().expect("an id");
    assert_eq!(
        http::request(&daemon, "POST", &format!("/containers/{id}/start"), None).status,
        204
    );
    assert_eq!(daemon.stop(), 0);
    assert!(!daemon.socket().exists(), "the socket goes with the daemon");
    daemon.start();
    Some(http::get(&daemon, &format!("/containers/{id}/json"))["State"]["Running"] == true)
}

#[test]
fn containers_outlive_the_daemon_unless_live_restore_is_off() {
    let Some(by_default) = survives(None) else { return };
    assert!(by_default);
    assert_eq!(
        (survives(Some(true)), survives(Some(false))),
        (Some(true), Some(false))
    );
}

#[test]
fn a_second_daemon_on_the_same_roots_is_refused() {
    let Some(daemon) = daemon() else { return };
    let other = format!("unix://{}", daemon.folder().join("other.sock").display());
    let output = Command::new(binaries().join("dhowd"))
        .args(["--host", &other, "--config-file"])
        .arg(daemon.folder().join("daemon.json"))
        .arg("--data-root")
        .arg(daemon.data_root())
        .arg("--exec-root")
        .arg(daemon.folder().join("exec2"))
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("is in use by another daemon"),
        "{said}"
    );
    assert_eq!(http::request(&daemon, "GET", "/_ping", None).status, 200);
}

#[test]
fn a_socket_of_the_service_manager_is_taken_over_and_readiness_told() {
    let program = binaries().join("dhowd");
    if !program.exists() || !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("dhow-e2e-")
        .tempdir_in("/tmp")
        .expect("folder");
    let path = folder.path().join("activated.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let notify = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).expect("bind");
    notify.set_read_timeout(Some(e2e::LONGEST)).expect("timeout");
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("no close-on-exec");
    // The shell puts the socket where systemd puts it, and knows the pid that the daemon will have.
    let script = format!(
        "exec 3<&{}; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
        listener.as_raw_fd()
    );
    fs::write(folder.path().join("daemon.json"), r#"{"bridge":"none"}"#).expect("write");
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(program)
        .args(["-H", "fd://", "--config-file"])
        .arg(folder.path().join("daemon.json"))
        .arg("--data-root")
        .arg(folder.path().join("data"))
        .arg("--exec-root")
        .arg(folder.path().join("exec"))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .spawn()
        .expect("run");
    let mut buffer = [0; 64];
    let n = notify.recv(&mut buffer).expect("a word from the daemon");
    assert_eq!(&buffer[..n], b"READY=1");
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("connect");
    std::io::Write::write_all(&mut stream, b"GET /_ping HTTP/1.0\r\n\r\n").expect("send");
    let reply = std::io::read_to_string(&mut stream).expect("receive");
    assert!(reply.ends_with("OK"), "{reply}");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("kill");
    assert!(child.wait().expect("wait").success());
    assert!(path.exists(), "the socket is the service manager's");
}

#[test]
fn a_damaged_state_file_is_restored_from_its_export() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let state = |words: &[&str]| {
        let root = daemon.data_root();
        let output = std::process::Command::new(e2e::binaries().join("dhowd"))
            .arg("state")
            .args(words)
            .arg("--data-root")
            .arg(root)
            .output();
        output.expect("dhowd state")
    };
    let docker = e2e::clients(&daemon).into_iter().next().expect("a client");
    docker.ok(["volume", "create", "precious"]);
    docker.ok(["create", "--name", "kept", "busybox"]);
    let tables = |words: &[&str]| -> serde_json::Value {
        let output = state(words);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    // The export of a running daemon follows its changes.
    e2e::until("the export", || {
        // The first one is made some seconds after the first change.
        serde_json::from_slice::<serde_json::Value>(&state(&["dump"]).stdout)
            .is_ok_and(|dump| dump["tables"]["volumes/volumes"]["precious"].is_object())
    });
    assert!(
        !state(&["restore"]).status.success(),
        "restored under a running daemon"
    );
    assert_eq!(daemon.stop(), 0);
    let before = tables(&["dump"]);
    for table in [
        "containers/containers",
        "images/images",
        "images/names",
        "images/layers",
    ] {
        let rows = before["tables"][table].as_object().expect(table);
        assert_eq!(rows.len(), 1, "{table}");
    }
    std::fs::write(daemon.data_root().join("state.redb"), "no tables at all").expect("file");
    assert!(daemon.try_start().is_err(), "a damaged file was taken");
    assert!(daemon.log().contains("dhowd state restore"), "{}", daemon.log());
    let output = state(&["restore"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tables(&["dump"]), before);
    daemon.start();
    assert_eq!(docker.ok(["volume", "ls", "-q"]), "precious");
    assert_eq!(
        docker.ok(["ps", "-a", "--format", "{{.Names}} {{.Image}}"]),
        "kept busybox"
    );
    docker.ok(["rm", "kept"]);
    docker.ok(["volume", "rm", "precious"]);
}
