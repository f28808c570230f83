//! One request as a handler sees it.

use api_types::{ApiVersion, decode};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body as _;
use hyper::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::body::RequestBody;
use crate::error::Failure;
use crate::hijack::Hijacker;
use crate::query::Query;

/// Largest JSON body that is read, in bytes. Docker knows no limit; the largest real ones are some 100 KiB.
const JSON_LIMIT: usize = 16 << 20;

/// A request.
pub(crate) struct Call {
    /// The version asked for by the path, or the newest.
    pub(crate) version: ApiVersion,
    /// What the `{...}` of the route stand for, decoded.
    pub(crate) names: Vec<String>,
    /// The parameters.
    pub(crate) query: Query,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: RequestBody,
    /// The way to the raw connection.
    pub(crate) hijacker: Hijacker,
}

impl Call {
    /// What the route's first `{...}` stands for.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Text of a header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// True if the request says that it has no body.
    pub(crate) fn has_no_body(&self) -> bool {
        self.body.size_hint().exact() == Some(0)
    }

    /// The body as JSON; an absent body is the zero value.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let text = self.json_text().await?;
        decode::from_slice(&text).map_err(|error| invalid_json(&text, &error))
    }

    /// The body's bytes, checked to be declared as JSON; `null` for an absent body.
    pub(crate) async fn json_text(&mut self) -> Result<Bytes, Failure> {
        let absent = self.has_no_body();
        self.check_json_type(absent)?;
        if absent {
            return Ok(Bytes::from_static(b"null"));
        }
        let text = self.bytes(JSON_LIMIT).await?;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::bad("invalid JSON: got EOF while reading request body"));
        }
        Ok(text)
    }

    /// The whole body.
    pub(crate) async fn bytes(&mut self, limit: usize) -> Result<Bytes, Failure> {
        match Limited::new(&mut self.body, limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => {
                Err(Failure::bad(format!("request body is larger than {limit} bytes")))
            }
            Err(e) => Err(Failure::bad(format!("read the request body: {e}"))),
        }
    }

    fn check_json_type(&self, absent: bool) -> Result<(), Failure> {
        let Some(value) = self.headers.get(CONTENT_TYPE) else {
            if absent {
                return Ok(());
            }
            return Err(Failure::bad(
                "malformed Content-Type header (): mime: no media type",
            ));
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        let kind = text
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if kind == "application/json" {
            return Ok(());
        }
        Err(Failure::bad(format!(
            "unsupported Content-Type header ({text}): must be 'application/json'"
        )))
    }
}

/// The failure for a body that is no JSON of the right shape. What is no JSON at all is told in the words of Go's decoder,
/// which are in Docker's tests and in the logs that people search.
pub(crate) fn invalid_json(text: &[u8], error: &serde_json::Error) -> Failure {
    let said = error.to_string();
    let place = || {
        let line = text
            .split(|byte| *byte == b'\n')
            .nth(error.line().checked_sub(1)?)?;
        Some(match *line.get(error.column().checked_sub(1)?)? {
            b'"' => "\"".to_owned(),
            byte => char::from(byte).escape_default().to_string(),
        })
    };
    let looking_for = [
        (
            "key must be a string",
            "looking for beginning of object key string",
        ),
        ("expected value", "looking for beginning of value"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
    ];
    let known = looking_for.iter().find(|(ours, _)| said.starts_with(ours));
    Failure::bad(match (known, place()) {
        (Some((_, what)), Some(character)) => {
            format!("invalid JSON: invalid character '{character}' {what}")
        }
        _ if error.is_eof() => "invalid JSON: unexpected EOF".to_owned(),
        _ if said.starts_with("trailing characters") => "unexpected content after JSON".to_owned(),
        _ => format!("invalid JSON: {said}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_is_told_in_dockers_words() {
        for (text, told) in [
            (
                "{invalid json",
                "invalid JSON: invalid character 'i' looking for beginning of object key string",
            ),
            (
                "{\"a\":\n x}",
                "invalid JSON: invalid character 'x' looking for beginning of value",
            ),
            (
                "{\"a\" 1}",
                "invalid JSON: invalid character '1' after object key",
            ),
            (
                "{\"a\":1 \"b\":2}",
                "invalid JSON: invalid character '\"' after object key:value pair",
            ),
            ("[1 2]", "invalid JSON: invalid character '2' after array element"),
            ("{\"a\":", "invalid JSON: unexpected EOF"),
            ("{} x", "unexpected content after JSON"),
        ] {
            let error = decode::from_slice::<serde_json::Value>(text.as_bytes()).unwrap_err();
            assert_eq!(invalid_json(text.as_bytes(), &error).message, told, "{text}");
        }
    }
}
