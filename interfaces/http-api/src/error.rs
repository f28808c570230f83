//! Failures on their way out: the only table from [`Kind`] to HTTP status.

use fault::{Fault, Kind};
use hyper::StatusCode;

/// A failed call: what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Status of the reply.
    pub(crate) status: StatusCode,
    /// Text of the reply.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status: status(kind),
            message: message.into(),
        }
    }

    /// The request itself is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, message)
    }
}

/// Every error of every service becomes a failure by its kind.
impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::InvalidParameter => StatusCode::BAD_REQUEST,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        // Docker has no status of its own for what was given up.
        Kind::System | Kind::Cancelled => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_dockers_status() {
        let table = [
            (Kind::NotFound, 404),
            (Kind::InvalidParameter, 400),
            (Kind::Conflict, 409),
            (Kind::Unauthorized, 401),
            (Kind::Unavailable, 503),
            (Kind::Forbidden, 403),
            (Kind::System, 500),
            (Kind::NotModified, 304),
            (Kind::NotImplemented, 501),
            (Kind::Cancelled, 500),
        ];
        for (kind, code) in table {
            assert_eq!(Failure::new(kind, "").status.as_u16(), code, "{kind:?}");
        }
    }
}
