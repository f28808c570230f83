//! HTTP/1.1 by hand: what a test sends is what the server gets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request that is being put together.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        // A location may be absolute.
        let path = path.find("://").map_or(path, |scheme| {
            let rest = &path[scheme + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        });
        Self {
            address,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a body, whose length is said.
    pub fn body(mut self, body: &[u8]) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// The bytes of the head.
    pub fn head(&self) -> String {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.path, self.address
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let said = |name: &str| self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        if !said("content-length") && !said("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        head + "Connection: close\r\n\r\n"
    }

    /// A connection of its own on which only the head and the body so far were sent.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub fn begin(&self) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).expect("connect");
        socket
            .set_read_timeout(Some(Duration::from_secs(120)))
            .expect("timeout");
        socket.write_all(self.head().as_bytes()).expect("send");
        // A server that has refused may have closed.
        let _ = socket.write_all(&self.body);
        socket
    }

    /// Sends it and reads the reply.
    ///
    /// # Panics
    /// When there is none.
    pub fn send(&self) -> Reply {
        self.try_send().expect("a reply")
    }

    /// Sends it and reads the reply.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn try_send(&self) -> io::Result<Reply> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(120)))?;
        socket.write_all(self.head().as_bytes())?;
        let _ = socket.write_all(&self.body);
        read(&mut BufReader::new(socket), self.method == "HEAD")
    }
}

impl Reply {
    /// The reply on a connection that was begun.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn of(socket: TcpStream) -> io::Result<Self> {
        read(&mut BufReader::new(socket), false)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The header `Location`.
    ///
    /// # Panics
    /// When there is none.
    pub fn location(&self) -> String {
        self.header("location").expect("a location").to_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        let code = &self.json()["errors"][0]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }
}

fn read(socket: &mut impl BufRead, headless: bool) -> io::Result<Reply> {
    let mut line = String::new();
    let mut next = |socket: &mut dyn BufRead| -> io::Result<String> {
        line.clear();
        if socket.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    };
    let mut status = 100;
    let mut headers = Vec::new();
    while status == 100 {
        let first = next(socket)?;
        let number = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        status = number.ok_or(io::ErrorKind::InvalidData)?;
        loop {
            let line = next(socket)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let mut reply = Reply {
        status,
        headers,
        body: Vec::new(),
    };
    if headless || status == 204 || status == 304 {
        return Ok(reply);
    }
    let length = reply
        .header("content-length")
        .and_then(|text| text.parse::<u64>().ok());
    match length {
        Some(length) => {
            socket.take(length).read_to_end(&mut reply.body)?;
            if reply.body.len() as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        None if reply.header("transfer-encoding") == Some("chunked") => reply.body = chunks(socket)?,
        None => drop(socket.read_to_end(&mut reply.body)?),
    }
    Ok(reply)
}

/// A body in chunks (RFC 9112, section 7.1), without trailers.
fn chunks(socket: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        socket.take(length).read_to_end(&mut body)?;
        socket.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}
