//! Addresses of the web, as far as registries need them.

use std::fmt;

use crate::error::DistributionError;

/// An absolute `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Begins with a slash.
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: Option<String>,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, DistributionError> {
        let wrong = |reason| DistributionError::Url {
            url: text.to_owned(),
            reason,
        };
        let (scheme, rest) = text.split_once("://").ok_or(wrong("it has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("only http and https can be fetched")),
        };
        if let Some(bad) = rest.bytes().find(|b| *b <= b' ' || *b >= 0x7f) {
            tracing::debug!(byte = bad, "byte that no URL may have");
            return Err(wrong("it has characters that must be escaped"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (before_query, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query.to_owned())),
            None => (rest, None),
        };
        let (authority, path) = match before_query.find('/') {
            Some(slash) => before_query.split_at(slash),
            None => (before_query, "/"),
        };
        if authority.contains('@') {
            return Err(wrong("user names and passwords do not belong into a URL"));
        }
        let (host, port) = split_port(authority).ok_or(wrong("its host or port is malformed"))?;
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            path: path.to_owned(),
            query,
        })
    }

    /// What `location` means in an answer to this URL.
    pub(crate) fn join(&self, location: &str) -> Result<Self, DistributionError> {
        if location.contains("://") {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        let absolute = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{}{location}", self.path)
        } else {
            let folder = self.path.rfind('/').map_or("/", |slash| &self.path[..=slash]);
            format!("{folder}{location}")
        };
        Self::parse(&format!("{}://{}{absolute}", self.scheme(), self.authority()))
    }

    /// The same place with one more parameter; `value` is escaped.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let pair = format!("{name}={}", escape(value));
        self.query = Some(match self.query.filter(|q| !q.is_empty()) {
            Some(query) => format!("{query}&{pair}"),
            None => pair,
        });
        self
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// `host[:port]` as in the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Path and query as in a request line.
    pub(crate) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Whether both lead to the same server.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host == other.host
    }

    /// For messages: a query may hold a signature that is as good as a password.
    pub(crate) fn without_query(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.target())
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        if host.contains(['[', ']', ':', '\\']) || port.contains(':') {
            return None;
        }
        (host, port)
    };
    match port {
        "" => Some((host, None)),
        port => Some((host, Some(port.parse().ok().filter(|p| *p > 0)?))),
    }
}

/// Percent-encoding of everything that is not unreserved (RFC 3986, 2.3).
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Undoes percent-encoding; what is none stays as it is.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        let check = |text: &str| assert_eq!(Url::parse(text).unwrap().to_string(), text);
        check("http://a/");
        check("https://a:5000/v2/?n=1&x=/");
        check("https://[::1]:5000/x");
        assert_eq!(Url::parse("HTTPS://A.B:443").unwrap().to_string(), "https://a.b/");
        assert_eq!(Url::parse("http://a/b#c").unwrap().to_string(), "http://a/b");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "a/b",
            "ftp://a/",
            "http://",
            "http://a:x/",
            "http://a:99999/",
            "http://a b/",
            "http://u:p@a/",
            "http://[x]/",
            "http://a/\r\nEvil: 1",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_escaped_comes_back() {
        assert_eq!(unescape(&escape("a:ü @%/")), "a:ü @%/".as_bytes());
        assert_eq!(unescape("100%-%4"), b"100%-%4");
    }

    #[test]
    fn locations_are_joined() {
        let base = Url::parse("https://r:1/v2/a/blobs/uploads/?x=1").unwrap();
        let check = |location: &str, expected: &str| {
            assert_eq!(base.join(location).unwrap().to_string(), expected, "{location}");
        };
        check("/v2/u?_state=a%2Fb", "https://r:1/v2/u?_state=a%2Fb");
        check("http://other/z", "http://other/z");
        check("//cdn/z", "https://cdn/z");
        check("uuid", "https://r:1/v2/a/blobs/uploads/uuid");
        check("?a=b", "https://r:1/v2/a/blobs/uploads/?a=b");
        let with = base.clone().with("digest", "sha256:ab").to_string();
        assert_eq!(with, "https://r:1/v2/a/blobs/uploads/?x=1&digest=sha256%3Aab");
    }
}
