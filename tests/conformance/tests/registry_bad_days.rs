//! Bad days of a registry: cut connections, slow and greedy clients, a full disk, many at once; nothing is lost or left.

use std::io::Write;
use std::net::Shutdown;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use conformance::{Reply, Server, server, server_with, with};
use oci::digest::Digest;
use serde_json::json;

fn begin(server: &Server) -> String {
    let reply = server.post("/v2/app/blobs/uploads/").send();
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.location()
}

/// How many bytes of an upload have arrived.
fn arrived(server: &Server, place: &str) -> usize {
    let reply = server.get(place).send();
    assert_eq!(reply.status, 204, "{reply:?}");
    let range = reply.header("range").expect("a range");
    let last: usize = range
        .split_once('-')
        .expect("a range")
        .1
        .parse()
        .expect("a number");
    if last == 0 { 0 } else { last + 1 }
}

#[test]
fn an_upload_that_was_cut_goes_on_where_it_stopped_also_after_a_kill() {
    let Some(mut server) = server() else { return };
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let place = begin(&server);
    let length = content.len().to_string();
    let request = server
        .patch(&place)
        .header("Content-Length", &length)
        .body(&content[..1_500_000]);
    let socket = request.begin();
    e2e::until("most of it has arrived", || {
        // Asking waits for the request that writes: the file is looked at instead.
        let files = std::fs::read_dir(server.root().join("uploads")).expect("uploads");
        files
            .flatten()
            .any(|file| file.metadata().is_ok_and(|status| status.len() >= 1_000_000))
    });
    socket.shutdown(Shutdown::Both).expect("cut");
    drop(socket);
    let first = arrived(&server, &place);
    assert!((1_000_000..=1_500_000).contains(&first), "{first}");
    server.kill();
    server.start();
    let second = arrived(&server, &place);
    assert_eq!(second, first, "a kill loses nothing");
    let range = format!("{second}-{}", content.len() - 1);
    let path = with(&place, &format!("digest={}", Digest::sha256(&content)));
    let reply = server
        .put(&path)
        .header("Content-Range", &range)
        .body(&content[second..])
        .send();
    assert_eq!(reply.status, 201, "{reply:?}");
    assert!(server.get(&reply.location()).send().body == content);
}

#[test]
fn many_pushes_of_one_blob_at_once_store_it_once() {
    let Some(server) = server() else { return };
    let content = vec![7; 500_000];
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (server, content) = (&server, &content);
            scope.spawn(move || server.push_blob(&format!("app{}", number % 4), content));
        }
    });
    let stored = std::fs::read_dir(server.root().join("blobs/sha256"))
        .expect("content")
        .count();
    let unfinished = std::fs::read_dir(server.root().join("uploads"))
        .expect("uploads")
        .count();
    assert_eq!((stored, unfinished), (1, 0));
    let digest = Digest::sha256(&content);
    assert!((0..4).all(|n| server.get(&format!("/v2/app{n}/blobs/{digest}")).send().body == content));
}

#[test]
fn pushes_go_on_while_garbage_is_collected_all_the_time() {
    let config = json!({"garbage-collection": {"interval": "1ms", "grace": "1h"}});
    let Some(server) = server_with(config) else { return };
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..20 {
                    // The same layers come and go in all repositories.
                    let layer = format!("layer {}", round % 5);
                    let name = format!("app{}", worker % 2);
                    let tag = format!("{worker}-{round}");
                    let (_, digest) = server.push_image(&name, &tag, layer.as_bytes());
                    let got = server.get(&format!("/v2/{name}/manifests/{tag}")).send();
                    assert_eq!(got.status, 200);
                    let layer = Digest::sha256(layer);
                    assert_eq!(
                        server.get(&format!("/v2/{name}/blobs/{layer}")).send().status,
                        200
                    );
                    if round % 3 == 0 {
                        server.delete(&format!("/v2/{name}/manifests/{tag}")).send();
                        server.delete(&format!("/v2/{name}/blobs/{digest}")).send();
                    }
                }
            });
        }
    });
}

#[test]
fn slow_clients_hold_nobody_up() {
    let Some(server) = server() else { return };
    // Each sends the head of an upload, and nothing more.
    let stalled: Vec<_> = (0..64)
        .map(|_| {
            let place = begin(&server);
            server
                .patch(&place)
                .header("Content-Length", "1000000")
                .body(b"x")
                .begin()
        })
        .collect();
    // Each asks for much and reads nothing.
    let digest = server.push_blob("app", &vec![1; 8 << 20]);
    let silent: Vec<_> = (0..64)
        .map(|_| server.get(&format!("/v2/app/blobs/{digest}")).begin())
        .collect();
    // Each sends half of a head.
    let mute: Vec<_> = (0..64)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(server.address()).expect("connect");
            socket.write_all(b"GET /v2/ HTTP/1.1\r\nHost: ").expect("send");
            socket
        })
        .collect();
    server.push_image("app", "1", b"layer");
    assert_eq!(server.get("/v2/app/manifests/1").send().status, 200);
    drop((stalled, silent, mute));
}

#[test]
fn requests_that_make_no_sense_are_refused_and_harm_nobody() {
    let Some(server) = server() else { return };
    let send = |bytes: &[u8]| {
        let mut socket = std::net::TcpStream::connect(server.address()).expect("connect");
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(Shutdown::Write);
        Reply::of(socket).map(|reply| reply.status).unwrap_or(0)
    };
    let long = format!("GET /v2/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    let heads = format!(
        "GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: y\r\n".repeat(100_000)
    );
    for bytes in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET",
        b"\0\0\0\0\r\n\r\n",
        long.as_bytes(),
        heads.as_bytes(),
    ] {
        let status = send(bytes);
        assert!(status == 0 || (400..500).contains(&status), "{status}");
    }
    let both = "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n";
    let mut socket = std::net::TcpStream::connect(server.address()).expect("connect");
    socket.write_all(both.as_bytes()).expect("send");
    let status = Reply::of(socket).map(|reply| reply.status).unwrap_or(400);
    assert!(status == 202 || status == 400, "no request is smuggled: {status}");
    assert_eq!(server.get("/v2/").send().status, 200);
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    if !rustix::process::geteuid().is_root() {
        conformance::say("skipped: needs root");
        return;
    }
    let Some(mut server) = server() else { return };
    server.kill();
    // A small disk that nobody else sees and that ends with the registry.
    let plain = server.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command
        .arg("mount -t tmpfs -o size=4m none \"$0\" && exec \"$@\"")
        .arg(server.root());
    command.arg(plain.get_program()).args(plain.get_args());
    server.start_as(command);
    let (manifest, _) = server.push_image("app", "1", b"layer");
    let large = vec![1; 8 << 20];
    let place = begin(&server);
    let path = with(&place, &format!("digest={}", Digest::sha256(&large)));
    let reply = server.put(&path).body(&large).send();
    assert_eq!(reply.status, 507, "{reply:?}");
    assert!(String::from_utf8_lossy(&reply.body).contains("no space left"));
    assert_eq!(
        server.get("/v2/app/manifests/1").send().body,
        manifest.to_string().as_bytes()
    );
    assert_eq!(server.delete(&place).send().status, 204, "the client may give up");
    server.push_image("app", "2", b"another layer");
    assert_eq!(
        server.get("/v2/app/tags/list").send().json()["tags"],
        json!(["1", "2"])
    );
}

#[test]
fn a_registry_that_is_told_to_end_lets_requests_finish() {
    let Some(mut server) = server() else { return };
    let content = vec![3; 800_000];
    let place = begin(&server);
    let path = with(&place, &format!("digest={}", Digest::sha256(&content)));
    let length = content.len().to_string();
    let (first, rest) = content.split_at(600_000);
    let mut socket = server
        .put(&path)
        .header("Content-Length", &length)
        .body(first)
        .begin();
    e2e::until("the request is under way: some of it is written", || {
        let files = std::fs::read_dir(server.root().join("uploads")).expect("uploads");
        files
            .flatten()
            .any(|file| file.metadata().is_ok_and(|status| status.len() > 0))
    });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (server, done) = (&mut server, &done);
        scope.spawn(move || {
            assert!(server.stop(), "it ends well");
            assert!(done.load(Ordering::SeqCst), "it waits for the request");
        });
        // Before the last of it is sent, or the registry may have ended already.
        done.store(true, Ordering::SeqCst);
        socket.write_all(rest).expect("the rest");
        assert_eq!(Reply::of(socket).expect("a reply").status, 201);
    });
    server.start();
    let blob = format!("/v2/app/blobs/{}", Digest::sha256(&content));
    assert!(server.get(&blob).send().body == content);
}

#[test]
fn two_registries_do_not_share_a_folder() {
    let Some(server) = server() else { return };
    let second = server.command().output().expect("a second one");
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && text.contains("is in use by another daemon"),
        "{text}"
    );
    assert!(text.contains(&server.pid().to_string()), "{text}");
}
