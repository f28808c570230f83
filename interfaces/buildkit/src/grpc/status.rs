//! The outcome of a call.

use fault::{Fault, Kind};
use hyper::HeaderMap;
use hyper::header::HeaderValue;

/// Codes that are made or looked at here (gRPC `status codes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    fn from_number(number: &str) -> Self {
        match number {
            "0" => Self::Ok,
            "1" => Self::Cancelled,
            "3" => Self::InvalidArgument,
            "5" => Self::NotFound,
            "6" => Self::AlreadyExists,
            "7" => Self::PermissionDenied,
            "8" => Self::ResourceExhausted,
            "12" => Self::Unimplemented,
            "13" => Self::Internal,
            "14" => Self::Unavailable,
            "16" => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// A connection or body that broke.
    pub(crate) fn broken(error: impl std::fmt::Display) -> Self {
        Self::new(
            Code::Unavailable,
            format!("the connection to the client broke: {error}"),
        )
    }

    /// An error of a service.
    pub(crate) fn of(error: &impl Fault) -> Self {
        let code = match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::InvalidParameter => Code::InvalidArgument,
            Kind::Conflict => Code::AlreadyExists,
            Kind::Unauthorized => Code::Unauthenticated,
            Kind::Unavailable => Code::Unavailable,
            Kind::Forbidden => Code::PermissionDenied,
            Kind::NotImplemented => Code::Unimplemented,
            Kind::Cancelled => Code::Cancelled,
            Kind::System | Kind::NotModified => Code::Unknown,
        };
        Self::new(code, error.to_string())
    }

    /// From the trailers, or from the head of a reply that has nothing else.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Result<(), Self>> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let code = Code::from_number(text("grpc-status")?);
        if code == Code::Ok {
            return Some(Ok(()));
        }
        Some(Err(Self::new(
            code,
            decode(text("grpc-message").unwrap_or_default()),
        )))
    }

    /// As trailers; no status is success.
    pub(crate) fn trailers(status: Option<&Self>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let code = status.map_or(Code::Ok, |status| status.code);
        headers.insert("grpc-status", HeaderValue::from(code as u16));
        if let Some(status) = status
            && let Ok(message) = HeaderValue::from_str(&encode(&status.message))
        {
            headers.insert("grpc-message", message);
        }
        headers
    }
}

/// Longer messages are cut: they travel in headers, whose size peers limit.
const LONGEST: usize = 4 << 10;

fn encode(message: &str) -> String {
    let mut encoded = String::new();
    for byte in message.bytes().take(LONGEST) {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decode(message: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = message.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_way_through_trailers() {
        let status = Status::new(Code::NotFound, "no säcret\n100%");
        let trailers = Status::trailers(Some(&status));
        assert_eq!(Status::read(&trailers), Some(Err(status)));
        assert_eq!(Status::read(&Status::trailers(None)), Some(Ok(())));
        assert_eq!(Status::read(&HeaderMap::new()), None);
        assert_eq!(decode("a%zz%4"), "a%zz%4");
    }
}
