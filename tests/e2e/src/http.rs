//! Plain HTTP over the daemon's socket, for tests of the wire itself.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::{Daemon, LONGEST};

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers; names in small letters.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of an error.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection to the daemon; reads fail after [`LONGEST`].
///
/// # Panics
/// When it cannot be reached.
pub fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("connect");
    stream.set_read_timeout(Some(LONGEST)).expect("timeout");
    stream
}

/// Sends a request and reads the whole reply.
///
/// # Panics
/// When the daemon does not answer in HTTP.
pub fn request(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let body = body.map(Value::to_string).unwrap_or_default();
    let header = (!body.is_empty()).then_some(("Content-Type", "application/json"));
    send(daemon, method, path, header, body.as_bytes())
}

/// Sends a request with one more header and reads the whole reply.
///
/// # Panics
/// When the daemon does not answer in HTTP.
pub fn send(daemon: &Daemon, method: &str, path: &str, header: Option<(&str, &str)>, body: &[u8]) -> Reply {
    let mut stream = connect(daemon);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: dhow\r\nConnection: close\r\n");
    if let Some((name, value)) = header {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    // A daemon that answers before it has all of the body may close; what it has said then lies in the socket.
    let gone =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
    match stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()) {
        Err(error) if !gone(&error) => panic!("send: {error}"),
        _ => {}
    }
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if !gone(&error) => panic!("receive: {error}"),
        _ => {}
    }
    parse(&all)
}

/// `GET`, which must succeed.
///
/// # Panics
/// When it does not.
pub fn get(daemon: &Daemon, path: &str) -> Value {
    let reply = request(daemon, "GET", path, None);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

/// A JSON document as part of a path.
pub fn escaped(value: &Value) -> String {
    let text = value.to_string();
    text.bytes()
        .map(|b| match b.is_ascii_alphanumeric() {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

/// The actions of all events so far that pass the filters, as a client of this version sees them.
///
/// # Panics
/// When the daemon does not answer with events.
pub fn actions(daemon: &Daemon, version: &str, filters: &Value) -> Vec<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let path = format!(
        "/{version}/events?since=1&until={}.{:09}&filters={}",
        now.as_secs(),
        now.subsec_nanos(),
        escaped(filters)
    );
    let text = request(daemon, "GET", &path, None).text();
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    events
        .map(|event| event["Action"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Takes a reply apart.
///
/// # Panics
/// When it is no HTTP.
pub fn parse(all: &[u8]) -> Reply {
    let end = all
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("the end of the head");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|l| l.split(' ').nth(1)?.parse().ok())
        .expect("a status");
    let headers: BTreeMap<_, _> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let rest = &all[end + 4..];
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v == "chunked");
    let body = if chunked { join_chunks(rest) } else { rest.to_vec() };
    Reply {
        status,
        headers,
        body,
    }
}

fn join_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..line]).into_owned();
        let size = usize::from_str_radix(&size, 16).expect("the size of a chunk");
        if size == 0 {
            break;
        }
        body.extend(&rest[line + 2..][..size]);
        rest = &rest[line + 2 + size + 2..];
    }
    body
}
