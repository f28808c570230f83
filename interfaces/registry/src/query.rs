//! Query strings: decoding them, and writing values into links.

use crate::error::{Code, Failure};

/// The decoded parameters of a request in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part after the `?`; pairs whose escapes are broken are dropped.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key, true)?, unescape(value, true)?))
        });
        Self(decoded.collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The length of a page, if one is asked for.
    pub(crate) fn page(&self) -> Result<Option<usize>, Failure> {
        match self.get("n") {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                Failure::new(
                    Code::Unsupported,
                    "the parameter n must be a number that is not negative",
                )
                .with_status(hyper::StatusCode::BAD_REQUEST)
                .about(text)
            }),
        }
    }
}

/// Resolves `%XX`, and `+` where it stands for a space; `None` for broken escapes or text that is not UTF-8.
pub(crate) fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => out.push(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?),
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

/// Writes a value so that it can stand in a query.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_being_written_and_read() {
        for text in ["plain", "a+b c&d=e%", "sha256:ab", "ü"] {
            let query = Query::parse(&format!("x=1&v={}", escape(text)));
            assert_eq!(query.get("v"), Some(text));
        }
        assert!(Query::parse("v=%zz").get("v").is_none());
        assert_eq!(Query::parse("tag=a&tag=b").all("tag").count(), 2);
    }

    #[test]
    fn a_page_that_is_no_number_is_refused() {
        assert_eq!(Query::parse("n=7").page().unwrap(), Some(7));
        assert_eq!(Query::parse("").page().unwrap(), None);
        assert!(Query::parse("n=-1").page().is_err() && Query::parse("n=x").page().is_err());
    }
}
