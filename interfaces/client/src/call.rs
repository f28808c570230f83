//! One request and its reply.

use std::io;

use api_types::ApiVersion;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Response, header};
use serde::de::DeserializeOwned;

use crate::connection::{Client, NEWEST};
use crate::{ClientError, Query};

/// No reply that is read whole is larger; those without an end are read piece by piece.
const WHOLE_REPLY_LIMIT: usize = 1 << 30;
/// An error's text is cut here.
const ERROR_LIMIT: usize = 1 << 20;

pub(crate) type WireBody = BoxBody<Bytes, io::Error>;

/// What a request carries.
pub enum Body {
    /// Nothing.
    Empty,
    /// JSON text.
    Json(Bytes),
    /// Bytes of this media type.
    Typed(String, Bytes),
    /// A stream of chunks, such as a tar archive; an error ends the request.
    Chunks(tokio::sync::mpsc::Receiver<io::Result<Bytes>>),
}

impl Body {
    /// The JSON text of a value.
    ///
    /// # Errors
    /// [`ClientError::BadRequest`] if the value has no JSON form.
    pub fn json<T: serde::Serialize>(value: &T) -> Result<Self, ClientError> {
        serde_json::to_vec(value)
            .map(|text| Self::Json(text.into()))
            .map_err(|e| ClientError::BadRequest(e.to_string()))
    }

    /// What goes over the wire; a stream goes there once, the others as often as asked for.
    pub(crate) fn wire(&mut self) -> WireBody {
        match self {
            Self::Empty => Empty::new().map_err(|never| match never {}).boxed(),
            Self::Json(text) | Self::Typed(_, text) => {
                Full::new(text.clone()).map_err(|never| match never {}).boxed()
            }
            Self::Chunks(_) => {
                let Self::Chunks(mut receiver) = std::mem::replace(self, Self::Empty) else {
                    return Self::Empty.wire();
                };
                let chunks = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
                BodyExt::boxed(StreamBody::new(chunks.map(|c| c.map(Frame::data))))
            }
        }
    }
}

/// A request under construction.
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Body,
    headers: Vec<(&'static str, String)>,
    upgrade: bool,
    versioned: bool,
}

impl<'a> Call<'a> {
    /// A request to `path`, which has no version and no query yet.
    pub(crate) fn new(client: &'a Client, method: Method, path: impl Into<String>) -> Self {
        Self {
            client,
            method,
            path: path.into(),
            body: Body::Empty,
            headers: Vec::new(),
            upgrade: false,
            versioned: true,
        }
    }

    /// Appends the query.
    #[must_use]
    pub fn query(mut self, query: Query) -> Self {
        self.path.push_str(query.as_str());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn unversioned(mut self) -> Self {
        self.versioned = false;
        self
    }

    pub(crate) fn upgrade(mut self) -> Self {
        self.upgrade = true;
        self
    }

    /// Sends it, and waits for the head of the reply.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with an error ([`ClientError::Daemon`]).
    pub async fn send(mut self) -> Result<Reply, ClientError> {
        let method = static_name(&self.method);
        let mut known = self.client.known_version();
        if self.versioned && known.is_none() && matches!(self.body, Body::Chunks(_)) {
            // What is streamed can be sent once only: no guess.
            known = Some(Box::pin(self.client.version()).await?);
        }
        loop {
            let path = match self.versioned {
                true => format!("/v{}{}", known.unwrap_or(NEWEST), self.path),
                false => self.path.clone(),
            };
            let request = self.request(&path)?;
            let (response, sender) = self.client.exchange(request, self.upgrade, method, &path).await?;
            let reply = Reply {
                response,
                sender: Some(sender),
                path,
                method,
            };
            let said: Option<ApiVersion> = reply.header("api-version").and_then(|v| v.parse().ok());
            if let Some(said) = said.filter(|_| self.versioned && known.is_none()) {
                // An older daemon refuses what is newer than itself, and says in the same reply which version it has.
                let agreed = self.client.learn_version(Some(said)).min(NEWEST);
                if reply.status() == 400 && agreed < NEWEST {
                    known = Some(agreed);
                    continue;
                }
            }
            return reply.check().await;
        }
    }

    fn request(&mut self, path: &str) -> Result<hyper::Request<WireBody>, ClientError> {
        let mut request = hyper::Request::builder()
            .method(self.method.clone())
            .uri(path)
            .header(header::HOST, "api.moby.localhost")
            .header(header::USER_AGENT, self.client.user_agent());
        match &self.body {
            Body::Json(_) => request = request.header(header::CONTENT_TYPE, "application/json"),
            Body::Typed(kind, _) => request = request.header(header::CONTENT_TYPE, kind),
            Body::Chunks(_) => request = request.header(header::CONTENT_TYPE, "application/x-tar"),
            Body::Empty => {}
        }
        if self.upgrade {
            request = request
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "tcp");
        }
        for (name, value) in self.client.headers() {
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request
            .body(self.body.wire())
            .map_err(|e| ClientError::BadRequest(e.to_string()))
    }
}

fn static_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "Get",
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PUT => "Put",
        Method::DELETE => "Delete",
        _ => "Send",
    }
}

/// The reply to a request: its head is there, its body may still be under way.
pub struct Reply {
    response: Response<Incoming>,
    sender: Option<SendRequest<WireBody>>,
    path: String,
    method: &'static str,
}

impl Reply {
    /// HTTP status (a success, or a hand-over).
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Path of the request, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn into_response(self) -> Response<Incoming> {
        self.response
    }

    async fn check(mut self) -> Result<Self, ClientError> {
        let status = self.status();
        if status < 400 {
            return Ok(self);
        }
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            text.extend_from_slice(&chunk);
            if text.len() > ERROR_LIMIT {
                break;
            }
        }
        let message = match serde_json::from_slice::<api_types::ErrorResponse>(&text) {
            Ok(error) if !error.message.is_empty() => error.message,
            _ if text.is_empty() => format!(
                "request returned {} for API route and version {}, check if the server supports the requested API version",
                self.response.status(),
                self.path
            ),
            _ => String::from_utf8_lossy(&text).trim().to_owned(),
        };
        Err(ClientError::Daemon { status, message })
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`ClientError::Broken`] if the connection ends before the body does.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.response.body_mut().frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => {
                    return Err(ClientError::Broken {
                        method: self.method,
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
    }

    /// The whole body. The connection goes back to `client` for its next call.
    ///
    /// # Errors
    /// The connection breaks, or the body is absurdly large.
    pub async fn bytes(mut self, client: &Client) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > WHOLE_REPLY_LIMIT {
                return Err(ClientError::TooLarge {
                    path: self.path,
                    limit: WHOLE_REPLY_LIMIT,
                });
            }
            all.extend_from_slice(&chunk);
        }
        if let Some(sender) = self.sender.take() {
            client.give_back(sender).await;
        }
        Ok(all)
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// As [`Reply::bytes`], or the body is not what the API says.
    pub async fn json<T: DeserializeOwned>(self, client: &Client) -> Result<T, ClientError> {
        let path = self.path.clone();
        let bytes = self.bytes(client).await?;
        api_types::decode::from_slice(&bytes).map_err(|source| ClientError::BadReply { path, source })
    }

    /// Reads the body to its end and forgets it.
    ///
    /// # Errors
    /// As [`Reply::bytes`].
    pub async fn done(self, client: &Client) -> Result<(), ClientError> {
        self.bytes(client).await.map(drop)
    }
}
