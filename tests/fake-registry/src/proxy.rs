//! A proxy before one server: for plain requests, and as a tunnel (RFC 9110, 7.6 and 9.3.6).

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::door::Door;
use crate::lock;

/// A running proxy: whatever host is asked for, the answer comes from the same server. Ends when dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    _door: Door,
}

struct Shared {
    address: SocketAddr,
    server: SocketAddr,
    /// What `Proxy-Authorization` must say, if anything.
    wanted: Option<String>,
    log: Mutex<Vec<String>>,
}

impl Proxy {
    /// Before this server, for everybody, or for those who show `authorization` (`Basic …`).
    ///
    /// # Panics
    /// Without a port.
    pub fn start(server: SocketAddr, authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("address"),
            server,
            wanted: authorization.map(str::to_owned),
            log: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        // What a client breaks off is no failure of the test.
        let door = Door::open(listener, move |stream| drop(forward(&own, stream)));
        Self { shared, _door: door }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The first line of each request so far: `CONNECT host:443 HTTP/1.1`, `GET http://host/v2/ HTTP/1.1`.
    pub fn log(&self) -> Vec<String> {
        lock(&self.shared.log).clone()
    }
}

fn forward(shared: &Shared, client: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut out = client.try_clone()?;
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    lock(&shared.log).push(lines[0].clone());
    let shown = |line: &&String| line.to_ascii_lowercase().starts_with("proxy-authorization:");
    let shown = lines.iter().find(shown).and_then(|l| l.split_once(": "));
    if shared
        .wanted
        .as_deref()
        .is_some_and(|wanted| shown.map(|s| s.1) != Some(wanted))
    {
        return out.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(shared.server)?;
    if lines[0].starts_with("CONNECT ") {
        out.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        // The server knows paths only.
        let mut words = lines[0].splitn(3, ' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
        let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
        lines[0] = format!("{method} {path} HTTP/1.1");
        server.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    }
    let mut back = server.try_clone()?;
    let backwards = std::thread::spawn(move || {
        let _ = io::copy(&mut back, &mut out);
        let _ = out.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut reader, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = backwards.join();
    Ok(())
}
