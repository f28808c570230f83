//! As much of HTTP/1.1 as a registry needs.

use std::io::{self, BufRead, BufReader, Read, Write};

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The head of the next request of a connection; `None` when the client is gone.
    pub(crate) fn read<S: Read + Write>(stream: &mut BufReader<S>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(request))
    }

    /// Reads the body, or its first `most` bytes and perhaps some more.
    pub(crate) fn read_body<S: Read + Write>(
        &mut self,
        stream: &mut BufReader<S>,
        most: usize,
    ) -> io::Result<()> {
        if self.header("transfer-encoding").is_some() {
            self.body = chunked(stream, most)?;
        } else if let Some(length) = self.header("content-length").and_then(|l| l.parse().ok()) {
            self.body = vec![0; most.min(length)];
            stream.read_exact(&mut self.body)?;
        }
        Ok(())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// A parameter, with its escapes undone.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(n, _)| *n == name)?.1;
        Some(value.replace("%3A", ":").replace("%2F", "/"))
    }
}

fn chunked(stream: &mut impl BufRead, most: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        stream.read_line(&mut String::new())?;
        if size == 0 || body.len() >= most {
            return Ok(body);
        }
    }
}

/// An answer.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, line: impl Into<String>) -> Self {
        self.headers.push(line.into());
        self
    }

    pub(crate) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// The distribution-spec's form of an error.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let text = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::new(status)
            .header("Content-Type: application/json")
            .body(text.to_string())
    }

    pub(crate) fn head(&self, length: Option<usize>) -> String {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        // Old commands of docker's take nothing else for a registry.
        head.push_str("Docker-Distribution-Api-Version: registry/2.0\r\n");
        match length {
            Some(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            None => head.push_str("Connection: close\r\n"),
        }
        for line in &self.headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head + "\r\n"
    }
}
