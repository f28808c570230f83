//! Failures on their way out: the codes of the distribution protocol and their statuses.

use fault::{Fault, Kind};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

/// The codes that the distribution-spec defines ("Error Codes"), and `UNKNOWN`, which Docker's registry uses for faults of
/// the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    Unknown,
}

impl Code {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::ManifestBlobUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// What it is about: a name, a tag, a digest.
    pub(crate) detail: Option<String>,
}

/// A refused request: what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) complaints: Vec<Complaint>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status: code.status(),
            complaints: vec![Complaint {
                code,
                message,
                detail: None,
            }],
            headers: Vec::new(),
        }
    }

    /// Several at once; the status is that of their code.
    pub(crate) fn all(code: Code, complaints: Vec<Complaint>) -> Self {
        Self {
            status: code.status(),
            complaints,
            headers: Vec::new(),
        }
    }

    pub(crate) fn about(mut self, detail: impl ToString) -> Self {
        if let Some(complaint) = self.complaints.last_mut() {
            complaint.detail = Some(detail.to_string());
        }
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Faults from below: the client learns what its request had to do with it, the log learns all.
impl<E: Fault + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        match error.kind() {
            Kind::NotFound => Self::new(Code::BlobUnknown, error.to_string()),
            Kind::InvalidParameter => Self::new(Code::DigestInvalid, error.to_string()),
            _ => {
                tracing::error!(%error, "a request failed");
                if is_disk_full(&error) {
                    return Self::new(Code::Unknown, "no space left on the registry's storage")
                        .with_status(StatusCode::INSUFFICIENT_STORAGE);
                }
                // Paths of this machine are nobody's business.
                Self::new(Code::Unknown, "the registry failed; its log says why")
            }
        }
    }
}

fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let full = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| matches!(io.raw_os_error(), Some(28 | 122)));
        if full {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_aloud_and_paths_are_not() {
        let full = blobs::BlobError::File {
            step: "write to",
            path: "/secret/place".into(),
            source: std::io::Error::from_raw_os_error(28),
        };
        let failure = Failure::from(full);
        assert_eq!(failure.status, StatusCode::INSUFFICIENT_STORAGE);
        assert!(failure.complaints[0].message.contains("no space left"));
        let other = blobs::BlobError::File {
            step: "write to",
            path: "/secret/place".into(),
            source: std::io::Error::from_raw_os_error(5),
        };
        let failure = Failure::from(other);
        assert_eq!(failure.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!failure.complaints[0].message.contains("secret"));
    }
}
