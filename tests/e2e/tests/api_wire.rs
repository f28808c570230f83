//! What goes over the wire: versions, headers, errors, and connections that become raw streams.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use e2e::{Daemon, daemon, http, until};
use serde_json::{Value, json};

fn create(daemon: &Daemon, body: &Value) -> String {
    let reply = http::request(daemon, "POST", "/containers/create", Some(body));
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["Id"].as_str().expect("an id").to_owned()
}

fn post(daemon: &Daemon, path: &str, status: u16) {
    let reply = http::request(daemon, "POST", path, None);
    assert_eq!(reply.status, status, "{path}: {}", reply.text());
}

/// Sends a request and reads the head of the reply; what follows stays in the socket.
fn open(daemon: &Daemon, head: &str) -> (UnixStream, String) {
    open_with(daemon, head, &[])
}

/// The same with a body.
fn open_with(daemon: &Daemon, head: &str, body: &[u8]) -> (UnixStream, String) {
    let mut stream = http::connect(daemon);
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(body).expect("send the body");
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of the reply");
        read.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&read).into_owned())
}

fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("the stream");
    all
}

/// One frame of a multiplexed stream.
fn frame(stream: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a short frame").to_be_bytes();
    [&[stream, 0, 0, 0], &length[..], data].concat()
}

/// What a multiplexed stream of frames of this one stream carries: a terminal's line and its end may come apart.
fn unframed(stream: u8, mut frames: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some((head, rest)) = frames.split_first_chunk::<8>() {
        assert_eq!(head[..4], [stream, 0, 0, 0], "{frames:?}");
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        all.extend(&rest[..length]);
        frames = &rest[length..];
    }
    assert_eq!(frames, b"", "half a frame");
    all
}

#[test]
fn every_reply_says_what_the_daemon_is_and_versions_outside_the_window_are_refused() {
    let Some(daemon) = daemon() else { return };
    for path in ["/_ping", "/v1.24/_ping", "/nosuch", "/v1.99/info"] {
        let reply = http::request(&daemon, "GET", path, None);
        assert_eq!(reply.headers["api-version"], "1.56", "{path}");
        assert_eq!(reply.headers["ostype"], "linux", "{path}");
        assert_eq!(reply.headers["docker-experimental"], "false", "{path}");
    }
    let ping = http::request(&daemon, "HEAD", "/_ping", None);
    assert_eq!(
        (ping.status, ping.body.len(), ping.headers["swarm"].as_str()),
        (200, 0, "inactive")
    );
    assert_eq!(http::request(&daemon, "GET", "/_ping", None).text(), "OK");
    let refused = |path: &str| {
        let reply = http::request(&daemon, "GET", path, None);
        (reply.status, reply.message())
    };
    let (status, text) = refused("/v1.57/info");
    assert_eq!(
        (status, text.as_str()),
        (
            400,
            "client version 1.57 is too new. Maximum supported API version is 1.56"
        )
    );
    assert_eq!(refused("/v1.23/info").0, 400);
    assert_eq!(refused("/v1.50/nosuch"), (404, "page not found".to_owned()));
    let (status, text) = refused("/swarm");
    assert!(
        status == 503 && text.starts_with("This node is not a swarm manager"),
        "{status} {text}"
    );
}

#[test]
fn bodies_are_read_as_leniently_as_docker_reads_them_and_no_more() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let raw = |content_type: &str, body: &str| {
        let mut stream = http::connect(&daemon);
        let head = format!(
            "POST /containers/create HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("send");
        http::parse(&rest(stream))
    };
    assert_eq!(
        raw("text/plain", "{}").message(),
        "unsupported Content-Type header (text/plain): must be 'application/json'"
    );
    assert!(raw("application/json", "{").message().starts_with("invalid JSON"));
    assert_eq!(
        raw("application/json", "").message(),
        "config cannot be empty in order to create a container"
    );
    let nulls = r#"{"image":"busybox","Cmd":"true","Env":null,"Unknown":[1],
        "HostConfig":{"PortBindings":{"80/tcp":null},"NetworkMode":null},"NetworkingConfig":{"EndpointsConfig":{"bridge":null}}}"#;
    let made = raw("application/json; charset=utf-8", nulls);
    assert_eq!(made.status, 201, "{}", made.text());
}

#[test]
fn a_container_of_nothing_is_refused_for_what_it_lacks() {
    let Some(daemon) = daemon() else { return };
    for (body, why) in [
        (json!({}), "config cannot be empty in order to create a container"),
        (
            json!({"HostConfig": {"Memory": 0}}),
            "config cannot be empty in order to create a container",
        ),
        (json!({"Image": ""}), "no command specified"),
    ] {
        let reply = http::request(&daemon, "POST", "/containers/create", Some(&body));
        assert_eq!((reply.status, reply.message().as_str()), (400, why), "{body}");
    }
    assert_eq!(
        http::request(&daemon, "OPTIONS", "/containers/json", None).status,
        200
    );
}

#[test]
fn quotes_in_a_target_are_taken_as_people_type_them() {
    let Some(daemon) = daemon() else { return };
    for filters in [
        r#"{"status":["running"]}"#,
        "null",
        "%7B%22status%22%3A%5B%22running%22%5D%7D",
    ] {
        let mut stream = http::connect(&daemon);
        let head = format!(
            "GET /containers/json?filters={filters} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("send");
        let reply = http::parse(&rest(stream));
        assert_eq!((reply.status, reply.json()), (200, json!([])), "{filters}");
    }
}

#[test]
fn attach_serves_clients_with_and_without_an_upgrade() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let cat = json!({ "Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true, "AttachStdin": true });
    let framed = "application/vnd.docker.multiplexed-stream";
    let raw = "application/vnd.docker.raw-stream";
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
    for (version, headers, status, media_type) in [
        ("v1.50", upgrade, "HTTP/1.1 101 UPGRADED", framed),
        ("v1.41", upgrade, "HTTP/1.1 101 UPGRADED", raw),
        ("v1.50", "", "HTTP/1.1 200 OK", raw),
    ] {
        let id = create(&daemon, &cat);
        let path = format!("/{version}/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
        let (mut stream, head) = open(
            &daemon,
            &format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: 0\r\n\r\n"),
        );
        assert!(
            head.starts_with(status) && head.contains(&format!("Content-Type: {media_type}\r\n")),
            "{head}"
        );
        post(&daemon, &format!("/containers/{id}/start"), 204);
        stream.write_all(b"over the wire\n").expect("send");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        // The end of the input ends `cat`, and that the stream.
        assert_eq!(rest(stream), frame(1, b"over the wire\n"), "{version} {headers}");
    }
}

#[test]
fn a_client_that_wants_the_log_too_may_attach_before_the_start() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = create(
        &daemon,
        &json!({ "Image": "busybox", "Cmd": ["echo", "all of it"] }),
    );
    let attach = || {
        let path = format!("/v1.43/containers/{id}/attach?logs=1&stream=1&stdout=1");
        open(
            &daemon,
            &format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        )
        .0
    };
    let once = frame(1, b"all of it\n");
    let stream = attach();
    post(&daemon, &format!("/containers/{id}/start"), 204);
    assert_eq!(rest(stream), once);
    // At the second start the log of the first comes before the new line.
    post(&daemon, &format!("/containers/{id}/wait"), 200);
    let stream = attach();
    post(&daemon, &format!("/containers/{id}/start"), 204);
    assert_eq!(rest(stream), once.repeat(2));
}

#[test]
fn what_cannot_be_attached_to_is_an_ordinary_error() {
    let Some(daemon) = daemon() else { return };
    let reply = http::request(&daemon, "POST", "/containers/nosuch/attach?stream=1", None);
    assert_eq!(
        (reply.status, reply.message().as_str()),
        (404, "No such container: nosuch")
    );
    // A client that asks without upgrading hears of that before.
    let reply = http::request(&daemon, "GET", "/containers/nosuch/attach/ws", None);
    assert_eq!(reply.status, 404);
    let reply = http::request(&daemon, "POST", "/exec/nosuch/start", Some(&json!({})));
    assert_eq!(
        (reply.status, reply.message().as_str()),
        (404, "No such exec instance: nosuch")
    );
}

/// `bytes` as the command `tool` packs them.
fn packed(tool: &str, bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(bytes).expect("write");
    let output = std::process::Command::new(tool)
        .arg("-c")
        .arg(file.path())
        .output();
    output.unwrap_or_else(|error| panic!("{tool}: {error}")).stdout
}

#[test]
fn an_archive_for_a_container_may_be_compressed() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = create(
        &daemon,
        &json!({ "Image": "busybox", "Cmd": ["cat", "/tmp/gzip", "/tmp/bzip2", "/tmp/xz", "/tmp/none"] }),
    );
    // Docker's word for no changes.
    let changes = || http::get(&daemon, &format!("/containers/{id}/changes"));
    assert_eq!(changes(), Value::Null);
    let path = format!("/containers/{id}/archive?path=/tmp");
    let put = |body: &[u8]| http::send(&daemon, "PUT", &path, None, body);
    let tar = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut header, name, content).expect("tar");
        tar.into_inner().expect("tar")
    };
    for tool in ["gzip", "bzip2", "xz", "none"] {
        let plain = tar(tool, format!("by {tool}\n").as_bytes());
        let reply = put(&match tool {
            "none" => plain,
            tool => packed(tool, &plain),
        });
        assert_eq!(reply.status, 200, "{tool}: {}", reply.text());
    }
    assert_eq!(
        changes(),
        json!([{ "Path": "/tmp", "Kind": 0 }, { "Path": "/tmp/bzip2", "Kind": 1 },
        { "Path": "/tmp/gzip", "Kind": 1 }, { "Path": "/tmp/none", "Kind": 1 }, { "Path": "/tmp/xz", "Kind": 1 }])
    );

    // More than all buffers on the way hold, and cut off in the middle.
    let large: Vec<u8> = (0..1_500_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let mut large = packed("gzip", &tar("large", &large));
    assert_eq!(put(&large).status, 200);
    large.truncate(large.len() / 2);
    let reply = put(&large);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(
        reply.message().starts_with("decompress the archive: "),
        "{}",
        reply.text()
    );
    // What is wrong with the tar inside is told as for a plain one.
    let reply = put(&packed("gzip", b"this is no tar"));
    assert!(
        reply.message().starts_with("archive is truncated"),
        "{}",
        reply.text()
    );

    post(&daemon, &format!("/containers/{id}/start"), 204);
    post(&daemon, &format!("/containers/{id}/wait"), 200);
    let log = http::request(&daemon, "GET", &format!("/containers/{id}/logs?stdout=1"), None);
    let lines = ["gzip", "bzip2", "xz", "none"].map(|tool| frame(1, format!("by {tool}\n").as_bytes()));
    assert_eq!(log.body, lines.concat(), "{}", log.text());
}

#[test]
fn a_prune_of_build_caches_that_finds_nothing_says_null() {
    let Some(daemon) = daemon() else { return };
    let filters = http::escaped(&json!({ "label": ["none"] }));
    let reply = http::request(&daemon, "POST", &format!("/build/prune?filters={filters}"), None);
    assert_eq!(
        reply.json(),
        json!({ "CachesDeleted": null, "SpaceReclaimed": 0 }),
        "{}",
        reply.text()
    );
}

#[test]
fn a_container_that_does_not_start_has_the_exit_code_128() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let source = daemon.folder().join("unshared");
    let host = json!({ "Binds": [format!("{}:/x:rshared", source.display())] });
    let id = create(&daemon, &json!({ "Image": "busybox", "HostConfig": host }));
    let started = http::request(&daemon, "POST", &format!("/containers/{id}/start"), None);
    assert!(started.status >= 400, "{}", started.text());
    let state = http::get(&daemon, &format!("/containers/{id}/json"))["State"].clone();
    assert_eq!(
        (&state["Status"], &state["ExitCode"]),
        (&json!("created"), &json!(128)),
        "{state}"
    );
    let path = format!(
        "/containers/json?filters={}",
        http::escaped(&json!({ "status": ["created"] }))
    );
    assert_eq!(http::get(&daemon, &path)[0]["Status"], "Created");
    let id = create(&daemon, &json!({ "Image": "busybox", "Cmd": ["/nosuch"] }));
    let started = http::request(&daemon, "POST", &format!("/containers/{id}/start"), None);
    assert_eq!(started.status, 400, "{}", started.text());
    assert_eq!(
        http::get(&daemon, &format!("/containers/{id}/json"))["State"]["ExitCode"],
        127
    );
}

#[test]
fn an_exec_streams_over_the_connection_that_started_it() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = create(&daemon, &json!({ "Image": "busybox", "Cmd": ["sleep", "600"] }));
    post(&daemon, &format!("/containers/{id}/start"), 204);
    let start = |command: Value, terminal: bool, tty: bool| {
        let body = json!({ "Cmd": command, "Tty": terminal, "AttachStdin": true, "AttachStdout": true, "AttachStderr": true });
        let made = http::request(&daemon, "POST", &format!("/containers/{id}/exec"), Some(&body));
        let exec = made.json()["Id"].as_str().expect("an id").to_owned();
        let body = json!({ "Tty": tty }).to_string();
        let head = format!(
            "POST /v1.50/exec/{exec}/start HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (stream, head) = open(&daemon, &head);
        assert!(head.starts_with("HTTP/1.1 101 UPGRADED"), "{head}");
        (exec, stream)
    };
    let (exec, mut stream) = start(json!(["sh", "-c", "cat; exit 5"]), false, false);
    stream.write_all(b"in").expect("send");
    stream.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(rest(stream), frame(1, b"in"));
    assert_eq!(http::get(&daemon, &format!("/exec/{exec}/json"))["ExitCode"], 5);
    let (_, stream) = start(json!(["echo", "raw"]), true, true);
    assert_eq!(rest(stream), b"raw\r\n");
    // The start says how the stream is to be written, whatever the exec was created with.
    let (_, stream) = start(json!(["echo", "framed"]), true, false);
    assert_eq!(unframed(1, &rest(stream)), b"framed\r\n");
    let (_, stream) = start(json!(["sh", "-c", "echo plain >&2"]), false, true);
    assert_eq!(rest(stream), b"plain\n");
    let (_, stream) = start(json!(["nosuch"]), false, false);
    let text = String::from_utf8_lossy(&rest(stream)).into_owned();
    assert!(text.contains("nosuch"), "{text:?}");
}

#[test]
fn a_size_that_is_told_before_the_start_of_an_exec_is_its_size() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = create(&daemon, &json!({ "Image": "busybox", "Cmd": ["sleep", "600"] }));
    post(&daemon, &format!("/containers/{id}/start"), 204);
    let script = "while [ \"$(stty size 2>/dev/null)\" != '33 77' ]; do sleep 0.1; done; echo sized";
    let body = json!({ "Cmd": ["sh", "-c", script], "Tty": true, "AttachStdin": true, "AttachStdout": true });
    let made = http::request(&daemon, "POST", &format!("/containers/{id}/exec"), Some(&body));
    let exec = made.json()["Id"].as_str().expect("an id").to_owned();
    let mut resize = http::connect(&daemon);
    let path = format!("/v1.50/exec/{exec}/resize?h=33&w=77");
    let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    resize.write_all(head.as_bytes()).expect("send");
    let started = http::request(
        &daemon,
        "POST",
        &format!("/exec/{exec}/start"),
        Some(&json!({ "Tty": true })),
    );
    assert_eq!(
        (started.status, started.body.as_slice()),
        (200, &b"sized\r\n"[..])
    );
    assert_eq!(http::parse(&rest(resize)).status, 200);
}

#[test]
fn a_websocket_carries_the_containers_stream() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = create(
        &daemon,
        &json!({ "Image": "busybox", "Cmd": ["sh", "-c", "read x; echo got $x"], "OpenStdin": true }),
    );
    let head = format!(
        "GET /v1.50/containers/{id}/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let (mut stream, reply) = open(&daemon, &head);
    assert!(
        reply.starts_with("HTTP/1.1 101") && reply.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{reply}"
    );
    post(&daemon, &format!("/containers/{id}/start"), 204);
    // A masked binary frame with a mask of zeros: "ping\n".
    stream.write_all(b"\x82\x85\0\0\0\0ping\n").expect("send");
    let mut frame = [0; 11];
    stream.read_exact(&mut frame).expect("a frame");
    assert_eq!(&frame, b"\x82\x09got ping\n");
}

#[test]
fn a_wait_answers_at_once_with_its_head_and_later_with_its_body() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = create(
        &daemon,
        &json!({ "Image": "busybox", "Cmd": ["sh", "-c", "exit 4"] }),
    );
    let path = format!("/v1.50/containers/{id}/wait?condition=next-exit");
    let (stream, head) = open(
        &daemon,
        &format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
    );
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    post(&daemon, &format!("/containers/{id}/start"), 204);
    let body = String::from_utf8_lossy(&rest(stream)).into_owned();
    assert!(body.contains(r#""StatusCode":4"#), "{body}");
    let wrong = http::request(
        &daemon,
        "POST",
        &format!("/v1.50/containers/{id}/wait?condition=never"),
        None,
    );
    assert_eq!(
        (wrong.status, wrong.message().as_str()),
        (400, "invalid condition: \"never\"")
    );
}

/// Docker's own tests load an image into a daemon like this: they hang up once they have the head.
#[test]
fn the_head_of_a_quiet_load_comes_when_the_image_is_there() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    post(&daemon, "/images/busybox/tag?repo=loaded-quietly", 201);
    let archive = http::request(&daemon, "GET", "/images/get?names=loaded-quietly", None).body;
    let gone = http::request(&daemon, "DELETE", "/images/loaded-quietly", None);
    assert_eq!(gone.status, 200, "{}", gone.text());
    let head = format!(
        "POST /images/load?quiet=1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        archive.len()
    );
    let (stream, head) = open_with(&daemon, &head, &archive);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(stream);
    let there = http::request(&daemon, "GET", "/images/loaded-quietly/json", None);
    assert_eq!(there.status, 200, "{}", there.text());
}

#[test]
fn an_empty_list_of_hidden_paths_hides_nothing() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for (host, masked, read_only) in [
        (json!({ "MaskedPaths": [] }), 0, true),
        (json!({ "ReadonlyPaths": [] }), 1, false),
        (json!({ "MaskedPaths": [], "ReadonlyPaths": [] }), 0, false),
    ] {
        // Its exit code says what the container sees: 1 for a masked /sys/firmware, 2 for a read-only /proc/sys.
        let look = "c=0; grep -q ' /sys/firmware ' /proc/mounts && c=1; grep -q ' /proc/sys ' /proc/mounts && c=$((c+2)); exit $c";
        let id = create(
            &daemon,
            &json!({ "Image": "busybox", "Cmd": ["sh", "-c", look], "HostConfig": host }),
        );
        let shown = http::get(&daemon, &format!("/containers/{id}/json"));
        let list = |key: &str| shown["HostConfig"][key].as_array().expect("a list").len();
        assert_eq!(
            (list("MaskedPaths") > 0, list("ReadonlyPaths") > 0),
            (masked > 0, read_only),
            "{host}"
        );
        post(&daemon, &format!("/containers/{id}/start"), 204);
        let ended = http::request(&daemon, "POST", &format!("/containers/{id}/wait"), None).json();
        assert_eq!(
            ended["StatusCode"],
            masked + if read_only { 2 } else { 0 },
            "{host}"
        );
    }
}

#[test]
fn a_wait_for_the_end_is_answered_by_a_run_whose_restart_is_due() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let always = json!({ "RestartPolicy": { "Name": "always" } });
    let id = create(
        &daemon,
        &json!({ "Image": "busybox", "Cmd": ["sh", "-c", "exit 6"], "HostConfig": always }),
    );
    post(&daemon, &format!("/containers/{id}/start"), 204);
    let reply = http::request(&daemon, "POST", &format!("/containers/{id}/wait"), None);
    assert_eq!(reply.json()["StatusCode"], 6);
    let reply = http::request(&daemon, "DELETE", &format!("/containers/{id}?force=1"), None);
    assert_eq!(reply.status, 204, "{}", reply.text());
}

#[test]
fn a_refused_upload_is_told_to_a_client_that_is_still_sending() {
    let Some(daemon) = daemon() else { return };
    let mut stream = http::connect(&daemon);
    let head = "PUT /containers/nosuch/archive?path=/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4194304\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("send");
    for _ in 0..64 {
        stream.write_all(&[0; 65536]).expect("the daemon still reads");
    }
    assert_eq!(http::parse(&rest(stream)).status, 404);
}

#[test]
fn slow_readers_of_events_do_not_stop_the_daemon() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let (_lazy, _) = open(&daemon, "GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..20 {
        let id = create(&daemon, &json!({ "Image": "busybox" }));
        assert_eq!(
            http::request(&daemon, "DELETE", &format!("/containers/{id}"), None).status,
            204
        );
    }
    until("the daemon answers", || {
        http::request(&daemon, "GET", "/_ping", None).status == 200
    });
}
