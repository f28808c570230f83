//! The client against a daemon of a few lines: what is on the wire, and what becomes of strange replies.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use client::{AttachOptions, Client, ClientError, Endpoint, WaitCondition};

type Answer = fn(&str, &mut UnixStream) -> bool;

/// A daemon that answers each request head with `answer` (false ends the connection), and notes what it was asked.
struct Daemon {
    path: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    _dir: tempfile::TempDir,
}

fn daemon(answer: Answer) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = Daemon {
        path,
        asked: Arc::default(),
        connections: Arc::default(),
        _dir: dir,
    };
    let (asked, connections) = (daemon.asked.clone(), daemon.connections.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            *connections.lock().unwrap() += 1;
            let asked = asked.clone();
            std::thread::spawn(move || serve(stream, &asked, answer));
        }
    });
    daemon
}

fn serve(stream: UnixStream, asked: &Mutex<Vec<String>>, answer: Answer) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if let Some(n) = header.to_lowercase().strip_prefix("content-length: ") {
                length = n.trim().parse().unwrap();
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
        asked.lock().unwrap().push(
            format!("{line} {}", String::from_utf8_lossy(&body))
                .trim()
                .to_owned(),
        );
        if line.contains("/_ping") {
            writer
                .write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        } else if !answer(&line, &mut writer) {
            return;
        }
    }
}

fn reply(stream: &mut UnixStream, status: &str, body: &str) -> bool {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nApi-Version: 1.56\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .is_ok()
}

fn run<T>(daemon: &Daemon, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let endpoint = Endpoint::Unix(daemon.path.display().to_string());
    let client = Client::new(endpoint, None, "test", Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(&client))
}

#[test]
fn calls_share_one_connection_and_the_version_agreed_on() {
    let daemon = daemon(|_, s| reply(s, "200 OK", "[]"));
    run(&daemon, async |client: &Client| {
        let filters = api_types::Filters::default();
        for _ in 0..3 {
            client.container_list(true, false, 0, &filters).await.unwrap();
        }
    });
    let asked = daemon.asked.lock().unwrap();
    assert_eq!(asked[..], ["GET /v1.50/containers/json?all=1"; 3]);
    assert_eq!(*daemon.connections.lock().unwrap(), 1);
}

#[test]
fn an_older_daemon_is_asked_again_in_its_own_version() {
    let daemon = daemon(|line, s| {
        let (status, body) = match line.contains("/v1.41/") {
            true => ("200 OK", "[]"),
            false => (
                "400 Bad Request",
                r#"{"message":"client version 1.50 is too new"}"#,
            ),
        };
        write!(
            s,
            "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .is_ok()
    });
    run(&daemon, async |client: &Client| {
        let filters = api_types::Filters::default();
        for _ in 0..2 {
            client.container_list(true, false, 0, &filters).await.unwrap();
        }
    });
    let asked = daemon.asked.lock().unwrap();
    let path = |version: &str| format!("GET /v{version}/containers/json?all=1");
    assert_eq!(asked[..], [path("1.50"), path("1.41"), path("1.41")]);
}

#[test]
fn errors_of_the_daemon_keep_its_words_and_its_status() {
    let daemon = daemon(|line, s| match line.contains("odd") {
        true => reply(s, "500 Oops", "no json"),
        false => reply(s, "404 Not Found", r#"{"message":"No such container: x"}"#),
    });
    run(&daemon, async |client: &Client| {
        let error = client.container_kill("x", "").await.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(
            error.to_string(),
            "Error response from daemon: No such container: x"
        );
        let error = client.container_kill("odd", "").await.unwrap_err();
        assert_eq!(error.to_string(), "Error response from daemon: no json");
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_is_made_anew() {
    // Answers once, then hangs up.
    let daemon = daemon(|_, s| {
        reply(s, "200 OK", "{}");
        false
    });
    run(&daemon, async |client: &Client| {
        for _ in 0..3 {
            client.container_inspect("x", false).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_question_on_a_connection_that_is_closed_under_it_is_asked_again() {
    // Answers the first on a connection, and hangs up over the second.
    let daemon = daemon(|_, s| {
        // The time-out marks the connection: nothing is read that is not there.
        let is_first = s.read_timeout().unwrap().is_none();
        s.set_read_timeout(Some(std::time::Duration::from_secs(600)))
            .unwrap();
        is_first && reply(s, "200 OK", "{}")
    });
    run(&daemon, async |client: &Client| {
        for _ in 0..3 {
            client.container_inspect("x", false).await.unwrap();
        }
    });
    let questions = daemon.asked.lock().unwrap();
    assert_eq!(questions.len(), 5, "two were asked again: {questions:?}");
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let endpoint = Endpoint::Unix("/nonexistent/d.sock".to_owned());
    let client = Client::new(endpoint, None, "test", Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(client.ping()).unwrap_err();
    assert!(matches!(error, ClientError::NoDaemon(_)) && error.is_lost_connection());
    assert_eq!(
        error.to_string(),
        "Cannot connect to the Docker daemon at unix:///nonexistent/d.sock. Is the docker daemon running?"
    );
}

#[test]
fn an_attached_stream_is_handed_over_with_what_came_ahead_and_input_can_end_first() {
    let daemon = daemon(|line, s| {
        assert!(
            line.starts_with("POST /v1.50/containers/x/attach?stream=1&stdin=1&stdout=1"),
            "{line}"
        );
        s.write_all(
            b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
              Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0\0\0\0\x03abc",
        )
        .unwrap();
        let mut input = String::new();
        s.read_to_string(&mut input).unwrap();
        write!(s, "\x01\0\0\0\0\0\0\x05{input}").unwrap();
        false
    });
    run(&daemon, async |client: &Client| {
        let options = AttachOptions {
            stream: true,
            stdin: true,
            stdout: true,
            ..AttachOptions::default()
        };
        let hijacked = client.container_attach("x", &options).await.unwrap();
        assert_eq!(hijacked.multiplexed, Some(true));
        let (mut output, mut input) = hijacked.split();
        input.write_all(b"hello").unwrap();
        input.finish();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        client::frames::copy(&mut output, &mut out, &mut err).unwrap();
        assert_eq!((out.as_slice(), err.as_slice()), (&b"abchello"[..], &b""[..]));
    });
}

#[test]
fn a_wait_whose_daemon_dies_says_so() {
    let daemon = daemon(|_, s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        false
    });
    run(&daemon, async |client: &Client| {
        let reply = client.container_wait("x", WaitCondition::NextExit).await.unwrap();
        assert!(client.wait_result(reply).await.unwrap_err().is_lost_connection());
    });
}
