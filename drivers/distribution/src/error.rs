//! What can go wrong with a registry; the texts are Docker's where clients show or parse them.

use fault::{Fault, Kind};
use oci::digest::Digest;

/// Why an operation on a registry failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DistributionError {
    /// A text is not a URL that can be fetched.
    #[error("invalid URL {url:?}: {reason}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The server cannot be reached, or broke the connection.
    #[error("{method} \"{url}\": {reason}")]
    Connection {
        /// `Get`, `Post`, …
        method: &'static str,
        /// Without query.
        url: String,
        /// Why, in Go's words where Docker's users know them.
        reason: String,
    },
    /// The server refuses these credentials, or wants some.
    #[error("{url}: unauthorized: {reason}")]
    Unauthorized {
        /// What was asked for.
        url: String,
        /// What the server says.
        reason: String,
    },
    /// The server refuses the request, whoever asks.
    #[error("denied: {0}")]
    Denied(String),
    /// There is no such manifest.
    #[error("manifest unknown: {0}")]
    ManifestUnknown(String),
    /// There is no such repository.
    #[error("name unknown: {0}")]
    NameUnknown(String),
    /// There is no such blob.
    #[error("blob unknown to registry: {0}")]
    BlobUnknown(Digest),
    /// Any other status that is no success.
    #[error("{method} \"{url}\": received unexpected HTTP status: {status}{}", detail(.reason))]
    Status {
        /// `Get`, `Post`, …
        method: &'static str,
        /// Without query.
        url: String,
        /// As in `500 Internal Server Error`.
        status: String,
        /// What the body says.
        reason: String,
    },
    /// The same, and trying later may help (429, 5xx).
    #[error("{method} \"{url}\": {status}{}", detail(.reason))]
    Busy {
        /// `Get`, `Post`, …
        method: &'static str,
        /// Without query.
        url: String,
        /// As in `429 Too Many Requests`.
        status: String,
        /// What the body says.
        reason: String,
        /// How long the server asks to wait, in seconds.
        retry_after: Option<u64>,
    },
    /// The server's answer is not what the protocol says.
    #[error("{url}: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The server sent other bytes than it promised.
    #[error(
        "{what}: content has digest {actual}, expected {expected}: the registry (or a proxy on the way) is broken or lies"
    )]
    Digest {
        /// `layer`, `manifest` …
        what: &'static str,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The server sent more or fewer bytes than it promised.
    #[error("{digest}: the registry sent {actual} bytes where {expected} were promised")]
    Size {
        /// The blob.
        digest: Digest,
        /// Promised.
        expected: u64,
        /// Sent.
        actual: u64,
    },
    /// The redirects do not end.
    #[error("Get \"{url}\": stopped after {limit} redirects")]
    Redirects {
        /// The first URL.
        url: String,
        /// How many were followed.
        limit: usize,
    },
    /// The daemon's configuration forbids this registry.
    #[error("access to {name} is blocked by \"blocked-registries\" of the daemon's configuration ({rule})")]
    Blocked {
        /// The repository.
        name: String,
        /// The rule.
        rule: String,
    },
    /// The policy on signatures refuses an image.
    #[error("{name} is refused by \"signature-policy\" of the daemon's configuration ({rule}): {reason}")]
    Untrusted {
        /// The repository and the digest.
        name: String,
        /// The rule.
        rule: String,
        /// Why.
        reason: String,
    },
    /// A file with certificates cannot be used.
    #[error("certificates for {host}: {path}: {reason}")]
    Certificate {
        /// For which registry.
        host: String,
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A document is of a kind that cannot be used here.
    #[error("{0}")]
    Unsupported(String),
}

fn detail(reason: &str) -> String {
    if reason.is_empty() {
        return String::new();
    }
    format!(": {reason}")
}

impl DistributionError {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Busy { .. })
    }

    /// Whether another place (a mirror, the registry itself) may know better.
    pub fn may_be_elsewhere(&self) -> bool {
        !matches!(self, Self::Blocked { .. } | Self::Url { .. })
    }
}

impl Fault for DistributionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Url { .. } => Kind::InvalidParameter,
            Self::Unauthorized { .. } => Kind::Unauthorized,
            Self::Denied(_) | Self::Blocked { .. } | Self::Untrusted { .. } => Kind::Forbidden,
            Self::ManifestUnknown(_) | Self::NameUnknown(_) | Self::BlobUnknown(_) => Kind::NotFound,
            Self::Unsupported(_) => Kind::NotImplemented,
            Self::Busy { .. } => Kind::Unavailable,
            Self::Connection { .. }
            | Self::Status { .. }
            | Self::Protocol { .. }
            | Self::Digest { .. }
            | Self::Size { .. }
            | Self::Redirects { .. }
            | Self::Certificate { .. } => Kind::System,
        }
    }
}
