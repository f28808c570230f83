//! What came to the API in one version or another, asked of one daemon in the version before and in that version.
//!
//! What a unit test beside the gate holds is not here; `docs/formats/engine-api.md` says which test answers for what.

#[path = "api_history/images.rs"]
mod images;
#[path = "api_history/networks.rs"]
mod networks;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use e2e::http::{self, actions, escaped};
use e2e::{Daemon, shared_daemon, until};
use serde_json::{Value, json};

fn send(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
    let reply = http::request(daemon, method, path, body);
    assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

fn get(daemon: &Daemon, path: &str) -> Value {
    send(daemon, "GET", path, None, 200)
}

fn post(daemon: &Daemon, path: &str, body: Value, status: u16) -> Value {
    send(daemon, "POST", path, Some(&body), status)
}

/// A container of these settings, in this version.
fn create(daemon: &Daemon, version: &str, name: &str, settings: Value) -> String {
    let mut body = json!({ "Image": "busybox", "Cmd": ["sleep", "1000"] });
    let more = settings.as_object().expect("settings").clone();
    body.as_object_mut().expect("a body").extend(more);
    let made = post(
        daemon,
        &format!("/{version}/containers/create?name={name}"),
        body,
        201,
    );
    made["Id"].as_str().expect("an id").to_owned()
}

fn start(daemon: &Daemon, name: &str) {
    send(daemon, "POST", &format!("/containers/{name}/start"), None, 204);
}

fn run(daemon: &Daemon, name: &str, settings: Value) -> String {
    let id = create(daemon, "v1.56", name, settings);
    start(daemon, name);
    id
}

fn remove(daemon: &Daemon, name: &str) {
    send(
        daemon,
        "DELETE",
        &format!("/containers/{name}?force=1&v=1"),
        None,
        204,
    );
}

fn logs(daemon: &Daemon, name: &str) -> String {
    http::request(
        daemon,
        "GET",
        &format!("/containers/{name}/logs?stdout=1&stderr=1"),
        None,
    )
    .text()
}

/// What an exec of these settings says on its terminal, all of it in this version.
fn exec(daemon: &Daemon, version: &str, name: &str, settings: &Value) -> String {
    let mut body = json!({ "AttachStdout": true, "Tty": true });
    let more = settings.as_object().expect("settings").clone();
    body.as_object_mut().expect("a body").extend(more);
    let made = post(daemon, &format!("/{version}/containers/{name}/exec"), body, 201);
    let path = format!("/{version}/exec/{}/start", made["Id"].as_str().expect("an id"));
    http::request(daemon, "POST", &path, Some(&json!({ "Tty": true }))).text()
}

/// Sends a request and reads the head of the reply; what follows stays in the socket.
fn open(daemon: &Daemon, request: &str) -> UnixStream {
    let mut stream = http::connect(daemon);
    stream.write_all(request.as_bytes()).expect("send");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of the reply");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("the stream");
    all
}

#[test]
fn a_terminal_has_its_size_from_the_beginning_since_1_42() {
    let Some(daemon) = shared_daemon() else { return };
    run(&daemon, "sized", json!({}));
    let size = json!({ "Cmd": ["stty", "size"], "ConsoleSize": [33, 77] });
    assert_ne!(exec(&daemon, "v1.41", "sized", &size), "33 77\r\n");
    assert_eq!(exec(&daemon, "v1.42", "sized", &size), "33 77\r\n");
    remove(&daemon, "sized");
    let terminal = json!({ "Cmd": ["stty", "size"], "Tty": true, "HostConfig": { "ConsoleSize": [33, 77] } });
    for (version, is_heard) in [("v1.41", false), ("v1.42", true)] {
        create(&daemon, version, "sized", terminal.clone());
        start(&daemon, "sized");
        send(&daemon, "POST", "/containers/sized/wait", None, 200);
        assert_eq!(logs(&daemon, "sized") == "33 77\r\n", is_heard, "{version}");
        remove(&daemon, "sized");
    }
}

#[test]
fn what_is_copied_in_belongs_to_the_containers_user_if_asked_since_1_30() {
    let Some(daemon) = shared_daemon() else { return };
    run(&daemon, "owner", json!({ "User": "1234:1235" }));
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "file", &b"hi"[..])
        .expect("an archive");
    let archive = archive.into_inner().expect("an archive");
    for (version, owner) in [("v1.29", "0:0\r\n"), ("v1.30", "1234:1235\r\n")] {
        let mut stream = http::connect(&daemon);
        let head = format!(
            "PUT /{version}/containers/owner/archive?path=/tmp&copyUIDGID=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
             Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
            archive.len()
        );
        stream.write_all(head.as_bytes()).expect("send");
        stream.write_all(&archive).expect("send");
        let reply = http::parse(&rest(stream));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let stat = json!({ "Cmd": ["stat", "-c", "%u:%g", "/tmp/file"] });
        assert_eq!(exec(&daemon, "v1.56", "owner", &stat), owner, "{version}");
    }
    remove(&daemon, "owner");
}

#[test]
fn one_sample_is_enough_if_asked_since_1_41() {
    let Some(daemon) = shared_daemon() else { return };
    run(&daemon, "measured", json!({}));
    let sample = |version: &str| {
        let path = format!("/{version}/containers/measured/stats?stream=0&one-shot=1");
        let sample = get(&daemon, &path);
        (
            sample["preread"] == "0001-01-01T00:00:00Z",
            sample["cpu_stats"]["online_cpus"].is_u64(),
            sample["os_type"] == "linux",
        )
    };
    assert_eq!(sample("v1.26"), (false, false, false));
    assert_eq!(sample("v1.41"), (true, true, false));
    assert_eq!(sample("v1.52"), (true, true, true));
    let both = "/v1.41/containers/measured/stats?stream=1&one-shot=1";
    send(&daemon, "GET", both, None, 400);
    remove(&daemon, "measured");
}

#[test]
fn the_signal_of_a_stop_is_heard_since_1_42() {
    let Some(daemon) = shared_daemon() else { return };
    let script = "trap 'exit 3' USR1; trap 'exit 4' TERM; echo ready; while :; do sleep 0.1; done";
    for (how, version, code) in [
        ("stop", "v1.41", 4),
        ("stop", "v1.42", 3),
        ("restart", "v1.42", 3),
    ] {
        let id = run(&daemon, "signalled", json!({ "Cmd": ["sh", "-c", script] }));
        until("both traps", || logs(&daemon, "signalled").contains("ready"));
        let path = format!("/{version}/containers/signalled/{how}?signal=USR1&t=-1");
        send(&daemon, "POST", &path, None, 204);
        let died = json!({ "container": [id], "event": ["die"], "label": [format!("exitCode={code}")] });
        until("the end", || !actions(&daemon, "v1.56", &died).is_empty());
        remove(&daemon, "signalled");
    }
}

/// Attaches by WebSocket, starts the container, and answers all that comes.
fn by_websocket(daemon: &Daemon, version: &str, parameters: &str) -> Vec<u8> {
    let script = "echo out; echo err >&2";
    create(daemon, "v1.56", "socket", json!({ "Cmd": ["sh", "-c", script] }));
    let stream = open(
        daemon,
        &format!(
            "GET /{version}/containers/socket/attach/ws?stream=1{parameters} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
    );
    start(daemon, "socket");
    let all = rest(stream);
    remove(daemon, "socket");
    all
}

#[test]
fn a_websocket_has_text_before_1_28_and_the_streams_that_were_asked_for_since_1_42() {
    let Some(daemon) = shared_daemon() else { return };
    let has = |all: &[u8], part: &[u8]| all.windows(part.len()).any(|window| window == part);
    // The head of a frame: text is 1, bytes are 2.
    assert!(by_websocket(&daemon, "v1.27", "").starts_with(b"\x81"));
    let both = by_websocket(&daemon, "v1.41", "&stderr=1");
    assert!(
        both.starts_with(b"\x82") && has(&both, b"out\n") && has(&both, b"err\n"),
        "{both:?}"
    );
    let one = by_websocket(&daemon, "v1.42", "&stderr=1");
    assert!(!has(&one, b"out\n") && has(&one, b"err\n"), "{one:?}");
}

#[test]
fn volumes_tell_more_and_may_be_gone_already() {
    let Some(daemon) = shared_daemon() else { return };
    let delete = |version: &str| {
        let path = format!("/{version}/volumes/nosuch?force=1");
        http::request(&daemon, "DELETE", &path, None).status
    };
    assert_eq!((delete("v1.24"), delete("v1.25")), (404, 204));
    let body = json!({ "Name": "told", "DriverOpts": { "type": "tmpfs", "device": "tmpfs" } });
    let made = post(&daemon, "/v1.31/volumes/create", body, 201);
    let shown = get(&daemon, "/v1.31/volumes/told");
    let used = get(&daemon, "/v1.31/system/df");
    let mut used = used["Volumes"].as_array().expect("volumes").iter();
    let used = used.find(|volume| volume["Name"] == "told").expect("ours");
    for volume in [&made, &shown, used] {
        assert_eq!(volume["Options"]["type"], "tmpfs");
        assert!(
            volume["CreatedAt"]
                .as_str()
                .is_some_and(|at| at.starts_with("20")),
            "{volume}"
        );
    }
    send(&daemon, "DELETE", "/volumes/told", None, 204);
}

#[test]
fn whoever_detaches_is_told_to_those_who_listen() {
    let Some(daemon) = shared_daemon() else { return };
    let terminal = json!({ "Tty": true, "OpenStdin": true, "AttachStdin": true, "Cmd": ["cat"] });
    run(&daemon, "left", terminal);
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
    let attach = "POST /v1.24/containers/left/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: h\r\n";
    let mut stream = open(&daemon, &format!("{attach}{upgrade}Content-Length: 0\r\n\r\n"));
    stream.write_all(b"\x10\x11").expect("the detach keys");
    rest(stream);
    let body = json!({ "Cmd": ["cat"], "Tty": true, "AttachStdin": true, "AttachStdout": true });
    let made = post(&daemon, "/v1.24/containers/left/exec", body, 201);
    let id = made["Id"].as_str().expect("an id");
    let body = json!({ "Tty": true }).to_string();
    let head = format!(
        "POST /v1.24/exec/{id}/start HTTP/1.1\r\nHost: h\r\n{upgrade}Content-Type: application/json\r\n"
    );
    let mut stream = open(
        &daemon,
        &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
    );
    let pid = || get(&daemon, &format!("/v1.25/exec/{id}/json"))["Pid"].as_i64();
    // The head of the reply comes before the process.
    until("a process", || pid() > Some(0));
    stream.write_all(b"\x10\x11").expect("the detach keys");
    rest(stream);
    let told = |action: &str| {
        let filters = json!({ "container": ["left"], "event": [action] });
        !actions(&daemon, "v1.24", &filters).is_empty()
    };
    until("both were told", || told("detach") && told("exec_detach"));
    remove(&daemon, "left");
}

#[test]
fn the_daemon_tells_of_itself_what_the_version_promises() {
    let Some(daemon) = shared_daemon() else { return };
    for method in ["GET", "HEAD"] {
        let ping = http::request(&daemon, method, "/_ping", None);
        assert_eq!(ping.status, 200);
        assert!(ping.headers["cache-control"].contains("no-store") && ping.headers["pragma"] == "no-cache");
        assert!(ping.headers.contains_key("builder-version") && ping.headers.contains_key("swarm"));
    }
    let version = get(&daemon, "/v1.35/version");
    assert_eq!(version["MinAPIVersion"], "1.24");
    assert!(version["Platform"]["Name"].is_string());
    let engine = &version["Components"][0];
    assert_eq!(
        (&engine["Name"], &engine["Version"]),
        (&json!("Engine"), &version["Version"])
    );
    for detail in [
        "ApiVersion",
        "Arch",
        "GitCommit",
        "KernelVersion",
        "MinAPIVersion",
        "Os",
    ] {
        assert_eq!(engine["Details"][detail], version[detail], "{detail}");
    }
    let info = get(&daemon, "/v1.30/info");
    let drivers = info["Plugins"]["Log"].as_array().expect("log drivers");
    assert!(drivers.contains(&json!("json-file")));
    let image = get(&daemon, "/v1.31/images/busybox/json");
    assert!(
        image["Metadata"]["LastTagTime"]
            .as_str()
            .is_some_and(|at| at.starts_with("20")),
        "{image}"
    );
}

#[test]
fn health_and_removal_are_words_of_the_filter_of_containers() {
    let Some(daemon) = shared_daemon() else { return };
    let ports = json!({ "ExposedPorts": { "7001/sctp": {}, "7002/udp": {} } });
    run(&daemon, "filtered", ports);
    let found = |filters: Value| {
        let list = get(
            &daemon,
            &format!("/v1.28/containers/json?all=1&filters={}", escaped(&filters)),
        );
        !list.as_array().expect("a list").is_empty()
    };
    assert!(!found(json!({ "name": ["filtered"], "status": ["removing"] })));
    assert!(found(
        json!({ "name": ["filtered"], "health": ["none"], "is-task": ["false"] })
    ));
    assert!(!found(json!({ "name": ["filtered"], "is-task": ["true"] })));
    assert!(found(json!({ "expose": ["7001/sctp"] })) && !found(json!({ "expose": ["7001"] })));
    assert!(found(json!({ "expose": ["7000-7010/udp"] })));
    assert!(found(json!({ "name": ["filtered"], "network": ["bridge"] })));
    send(
        &daemon,
        "GET",
        &format!(
            "/containers/json?filters={}",
            escaped(&json!({ "status": ["x"] }))
        ),
        None,
        400,
    );
    remove(&daemon, "filtered");
}

#[test]
fn devices_rules_and_hints_of_mounts_are_taken() {
    let Some(daemon) = shared_daemon() else { return };
    let host = json!({
        "DeviceCgroupRules": ["c 42:* rwm"],
        "Mounts": [{ "Type": "bind", "Source": "/tmp", "Target": "/host", "Consistency": "cached" }],
    });
    create(&daemon, "v1.28", "ruled", json!({ "HostConfig": host }));
    start(&daemon, "ruled");
    let shown = get(&daemon, "/v1.28/containers/ruled/json")["HostConfig"].clone();
    assert_eq!(shown["DeviceCgroupRules"], host["DeviceCgroupRules"]);
    assert_eq!(shown["Mounts"][0]["Consistency"], "cached");
    remove(&daemon, "ruled");
    let wrong =
        json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": { "DeviceCgroupRules": ["everything"] } });
    let refused = http::request(
        &daemon,
        "POST",
        "/v1.28/containers/create?name=ruled",
        Some(&wrong),
    );
    assert_eq!(refused.status, 400, "{}", refused.text());
    for (option, word) in [
        (json!({ "sise": "1g" }), "Unknown option sise"),
        (json!({ "size": "big" }), "invalid size"),
    ] {
        let body = json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": { "StorageOpt": option } });
        let refused = http::request(
            &daemon,
            "POST",
            "/v1.24/containers/create?name=ruled",
            Some(&body),
        );
        assert!(
            refused.status == 400 && refused.text().contains(word),
            "{}",
            refused.text()
        );
    }
    let gpu =
        json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": { "DeviceRequests": [{ "Count": -1 }] } });
    let refused = http::request(&daemon, "POST", "/v1.40/containers/create?name=ruled", Some(&gpu));
    assert!(
        refused.status == 501 && refused.text().contains("--gpus"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_container_has_its_own_kernel_parameters_and_may_see_the_processes_of_another() {
    let Some(daemon) = shared_daemon() else { return };
    let host = json!({ "Sysctls": { "net.ipv4.ip_default_ttl": "77" } });
    create(&daemon, "v1.24", "tuned", json!({ "HostConfig": host }));
    start(&daemon, "tuned");
    let read = json!({ "Cmd": ["cat", "/proc/sys/net/ipv4/ip_default_ttl"] });
    assert_eq!(exec(&daemon, "v1.24", "tuned", &read), "77\r\n");
    create(
        &daemon,
        "v1.24",
        "seeing",
        json!({ "HostConfig": { "PidMode": "container:tuned" }, "Cmd": ["sleep", "1001"] }),
    );
    start(&daemon, "seeing");
    // A program that is still being loaded has no words yet.
    until("both programs", || {
        let both = exec(&daemon, "v1.24", "tuned", &json!({ "Cmd": ["ps", "-o", "args"] }));
        both.contains("sleep 1000") && both.contains("sleep 1001")
    });
    remove(&daemon, "seeing");
    remove(&daemon, "tuned");
}

#[test]
fn what_went_away_with_1_24_is_not_heard() {
    let Some(daemon) = shared_daemon() else { return };
    create(&daemon, "v1.24", "old", json!({}));
    post(
        &daemon,
        "/v1.24/containers/old/copy",
        json!({ "Resource": "/etc" }),
        404,
    );
    for _ in 0..2 {
        // A name is moved without any force.
        send(
            &daemon,
            "POST",
            "/v1.24/images/busybox/tag?repo=history/moved&tag=1&force=0",
            None,
            201,
        );
    }
    send(&daemon, "DELETE", "/images/history/moved:1", None, 200);
    let info = get(&daemon, "/v1.24/info");
    assert!(info.get("ExecutionDriver").is_none() && info["SecurityOptions"].is_array());
    remove(&daemon, "old");
}

#[test]
fn parts_that_are_not_there_say_so() {
    let Some(daemon) = shared_daemon() else { return };
    for (method, path, status, word) in [
        ("GET", "/services", 503, "swarm"),
        ("POST", "/services/create", 503, "swarm"),
        ("GET", "/tasks", 503, "swarm"),
        ("GET", "/nodes", 503, "swarm"),
        ("GET", "/secrets", 503, "swarm"),
        ("GET", "/configs", 503, "swarm"),
        ("GET", "/swarm", 503, "swarm"),
        ("POST", "/swarm/init", 501, "swarm mode"),
        ("POST", "/swarm/join", 501, "swarm mode"),
        ("POST", "/swarm/update", 503, "swarm"),
        ("POST", "/plugins/pull", 501, "plugin"),
        ("POST", "/plugins/x/enable", 501, "plugin"),
        ("POST", "/plugins/x/upgrade", 501, "plugin"),
        ("GET", "/plugins/x/json", 404, "plugin"),
        ("DELETE", "/plugins/x", 404, "plugin"),
        ("GET", "/images/busybox/attestations", 501, "attestations"),
        ("GET", "/containers/x/checkpoints", 501, "checkpoint"),
        ("POST", "/build/prune?min-free-space=5", 501, "min-free-space"),
        ("GET", "/debug/vars", 404, "page not found"),
    ] {
        let reply = http::request(&daemon, method, path, None);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert!(
            reply.message().contains(word),
            "{method} {path}: {}",
            reply.text()
        );
    }
    let cluster = json!({ "Name": "x", "ClusterVolumeSpec": {} });
    post(&daemon, "/v1.42/volumes/create", cluster, 503);
    let global = json!({ "Name": "x", "Scope": "swarm" });
    post(&daemon, "/networks/create", global, 503);
}
