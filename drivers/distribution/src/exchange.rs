//! One request and its answer on the wire; answers are bounded and cannot stall.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use hyper::{Method, StatusCode};
use tokio::sync::mpsc;

use crate::connect::io_reason;
use crate::error::DistributionError;
use crate::session::Session;
use crate::url::Url;

pub(crate) type WireBody = BoxBody<Bytes, io::Error>;

/// The text of an error is cut here.
const ERROR_LIMIT: usize = 64 << 10;
/// What is left of an answer is read up to here, so that its connection can be used again.
const DISCARD_LIMIT: usize = 64 << 10;

/// What a request carries.
pub(crate) enum Payload {
    Nothing,
    Bytes(Bytes),
    /// Chunks without their first bytes, which the server has already: so many.
    Chunks(mpsc::Receiver<Bytes>, u64),
}

impl Payload {
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Chunks(..) => None,
        }
    }

    /// The same again, if it is there still.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Nothing => Some(Self::Nothing),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Chunks(..) => None,
        }
    }

    /// `taken` counts the chunks that have gone out.
    pub(crate) fn into_wire(self, taken: &Arc<AtomicU64>) -> WireBody {
        match self {
            Self::Nothing => Empty::new().map_err(|never| match never {}).boxed(),
            Self::Bytes(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed(),
            Self::Chunks(mut receiver, mut skip) => {
                let taken = Arc::clone(taken);
                let frames = poll_fn(move |cx| {
                    loop {
                        let next = ready!(receiver.poll_recv(cx));
                        taken.fetch_add(1, Ordering::Relaxed);
                        let Some(mut chunk) = next else {
                            return Poll::Ready(None);
                        };
                        let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                        skip -= known as u64;
                        let _ = chunk.split_to(known);
                        if !chunk.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(chunk))));
                        }
                    }
                });
                BodyExt::boxed(StreamBody::new(frames))
            }
        }
    }
}

/// How a method is called in messages.
pub(crate) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "Get",
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PUT => "Put",
        Method::PATCH => "Patch",
        Method::DELETE => "Delete",
        _ => "Send",
    }
}

/// The answer to a request; its body may still be under way.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Where it came from after all redirects.
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) body: Incoming,
    pub(crate) stall: Duration,
    /// The way back of the connection.
    pub(crate) lender: Option<(Arc<Session>, SendRequest<WireBody>)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the server says that the body's size is.
    pub(crate) fn length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, DistributionError> {
        loop {
            let frame = match tokio::time::timeout(self.stall, self.body.frame()).await {
                Ok(frame) => frame,
                Err(_) => {
                    let reason = format!("no data for {} s", self.stall.as_secs_f32());
                    return Err(self.broken(reason));
                }
            };
            match frame {
                None => {
                    self.give_back();
                    return Ok(None);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(self.broken(hyper_reason(&error))),
            }
        }
    }

    /// The whole body, if it is not larger than `limit`.
    pub(crate) async fn bytes(&mut self, limit: usize) -> Result<Bytes, DistributionError> {
        let too_large = |answer: &Self| DistributionError::Protocol {
            url: answer.url.without_query(),
            reason: format!("the answer is larger than the {limit} bytes that are allowed here"),
        };
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(too_large(self));
        }
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Err(too_large(self));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }

    /// Reads the rest, if it is short, for the connection's sake.
    pub(crate) async fn discard(mut self) {
        let mut read = 0;
        while let Ok(Some(chunk)) = self.chunk().await {
            read += chunk.len();
            if read > DISCARD_LIMIT {
                return;
            }
        }
    }

    fn give_back(&mut self) {
        if let Some((session, sender)) = self.lender.take() {
            session.give_back(&self.url, sender);
        }
    }

    /// A success, or the error that the server tells.
    pub(crate) async fn check(mut self) -> Result<Self, DistributionError> {
        if self.headers.contains_key(CONTENT_ENCODING) && self.header("content-encoding") != Some("identity")
        {
            // Nobody asked for it, and a few bytes may become gigabytes.
            return Err(self.protocol("the answer is compressed although that was not asked for"));
        }
        if self.status.is_success() {
            if self.body.is_end_stream() {
                self.give_back();
            }
            return Ok(self);
        }
        Err(self.failure().await)
    }

    pub(crate) fn protocol(&self, reason: impl Into<String>) -> DistributionError {
        DistributionError::Protocol {
            url: self.url.without_query(),
            reason: reason.into(),
        }
    }

    fn broken(&self, reason: String) -> DistributionError {
        DistributionError::Connection {
            method: verb(&self.method),
            url: self.url.without_query(),
            reason,
        }
    }

    async fn failure(mut self) -> DistributionError {
        let (method, url) = (verb(&self.method), self.url.without_query());
        let status = self.status;
        let retry_after = self
            .headers
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() > ERROR_LIMIT {
                break;
            }
        }
        let said = Said::read(&text);
        let reason = said.message;
        match (status.as_u16(), said.code.as_str()) {
            (401, _) => DistributionError::Unauthorized {
                url,
                reason: or(reason, "authentication required"),
            },
            (_, "UNAUTHORIZED") => DistributionError::Unauthorized { url, reason },
            (_, "DENIED") | (403, _) => {
                DistributionError::Denied(or(reason, "requested access to the resource is denied"))
            }
            (_, "MANIFEST_UNKNOWN") => DistributionError::ManifestUnknown(or(reason, "manifest unknown")),
            (_, "NAME_UNKNOWN") => {
                DistributionError::NameUnknown(or(reason, "repository name not known to registry"))
            }
            (408 | 425 | 429 | 500 | 502..=504, _) => DistributionError::Busy {
                method,
                url,
                status: status.to_string(),
                reason,
                retry_after,
            },
            _ => DistributionError::Status {
                method,
                url,
                status: status.to_string(),
                reason,
            },
        }
    }
}

fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text }
}

/// A hyper error with the cause that means something.
pub(crate) fn hyper_reason(error: &hyper::Error) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io_reason(io);
        }
        source = cause.source();
    }
    if error.is_incomplete_message() {
        return "unexpected EOF".to_owned();
    }
    error.to_string()
}

/// What an error's body says: JSON as the distribution-spec has it, or plain text.
#[derive(Default)]
struct Said {
    code: String,
    message: String,
}

impl Said {
    fn read(text: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Errors {
            #[serde(default)]
            errors: Vec<One>,
            #[serde(default)]
            details: String,
        }
        #[derive(serde::Deserialize)]
        struct One {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        if let Ok(mut errors) = serde_json::from_slice::<Errors>(text) {
            if errors.errors.is_empty() {
                return Self {
                    code: String::new(),
                    message: printable(&errors.details),
                };
            }
            let first = errors.errors.swap_remove(0);
            return Self {
                code: first.code.to_ascii_uppercase(),
                message: printable(&first.message),
            };
        }
        let plain = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        let is_page = plain.trim_start().starts_with('<');
        Self {
            code: String::new(),
            message: if is_page {
                String::new()
            } else {
                printable(plain.trim())
            },
        }
    }
}

/// A server's text goes to a terminal: no control characters, and not too much of it.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
