//! Webhooks: what happened is told to other programs, in the form of Docker's registry notifications.
//!
//! Each receiver has a queue of its own and a task that sends its events in order, again and again until they are taken; when the
//! queue is full, the newest are lost and counted. No request waits for a receiver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use oci::digest::Digest;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::config::Notification;
use crate::metrics::Metrics;

/// As many events may wait for one receiver.
const QUEUE: usize = 1000;
/// As many go in one request.
const BATCH: usize = 50;
/// Pauses after a failure, doubled each time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";

/// Everybody who wants to know.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    receivers: Vec<(Notification, Sender<Value>)>,
    metrics: Arc<Metrics>,
}

/// Something that happened.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// `push`, `pull`, `delete` or `mount`.
    pub(crate) action: &'static str,
    pub(crate) repository: &'a str,
    pub(crate) digest: Option<&'a Digest>,
    pub(crate) tag: Option<&'a str>,
    pub(crate) media_type: &'a str,
    pub(crate) size: u64,
    pub(crate) user: Option<&'a str>,
    pub(crate) peer: SocketAddr,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) agent: &'a str,
}

impl Notifier {
    /// Starts to send; call it within the runtime.
    pub(crate) fn start(notifications: &[Notification], metrics: Arc<Metrics>) -> Self {
        let receivers = notifications.iter().map(|notification| {
            let (sender, queue) = channel(QUEUE);
            tokio::spawn(deliver(notification.clone(), queue));
            (notification.clone(), sender)
        });
        Self {
            receivers: receivers.collect(),
            metrics,
        }
    }

    /// Whether nobody wants to know anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.receivers.is_empty()
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        let mut wanting = self
            .receivers
            .iter()
            .filter(|(wanted, _)| wanted.wants(event))
            .peekable();
        if wanting.peek().is_none() {
            return;
        }
        let value = envelope(event);
        for (wanted, queue) in wanting {
            if queue.try_send(value.clone()).is_err() {
                self.metrics.lost_notifications.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(url = wanted.url, "a notification is lost: too many wait already");
            }
        }
    }
}

impl Notification {
    fn wants(&self, event: &Event<'_>) -> bool {
        let action = self.actions.is_empty() || self.actions.iter().any(|action| action == event.action);
        action && self.repositories.fits(event.repository)
    }
}

fn envelope(event: &Event<'_>) -> Value {
    let id: u128 = rand::random();
    let mut target = json!({
        "mediaType": event.media_type,
        "size": event.size,
        "length": event.size,
        "repository": event.repository,
    });
    if let Some(digest) = event.digest {
        target["digest"] = json!(digest);
    }
    if let Some(tag) = event.tag {
        target["tag"] = json!(tag);
    }
    json!({
        "id": format!("{id:032x}"),
        "timestamp": jiff::Timestamp::now().to_string(),
        "action": event.action,
        "target": target,
        "request": {
            "addr": event.peer.to_string(),
            "host": event.host,
            "method": event.method,
            "useragent": event.agent,
        },
        "actor": event.user.map_or(json!({}), |user| json!({"name": user})),
    })
}

/// Sends what is in the queue until the registry ends.
async fn deliver(to: Notification, mut queue: Receiver<Value>) {
    let mut events = Vec::new();
    while queue.recv_many(&mut events, BATCH).await > 0 {
        let body = Bytes::from(json!({ "events": events }).to_string());
        let mut pause = PAUSES.0;
        loop {
            let sent = tokio::time::timeout(to.timeout, send(&to, body.clone())).await;
            let problem = match sent {
                Ok(Ok(status)) if status.is_success() => break,
                Ok(Ok(status)) => format!("it answered {status}"),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it did not answer in time".to_owned(),
            };
            tracing::warn!(url = to.url, problem, "a notification is sent again later");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        events.clear();
    }
}

/// Why an event did not arrive.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("not an http:// address")]
    Address,
    #[error("connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

async fn send(to: &Notification, body: Bytes) -> Result<hyper::StatusCode, SendError> {
    let uri: Uri = to.url.parse().map_err(|_| SendError::Address)?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority = authority.ok_or(SendError::Address)?;
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, port))
        .await
        .map_err(SendError::Connect)?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .body(Full::new(body))
        .map_err(|_| SendError::Address)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Ok(value) = HeaderValue::from_str(authority.as_str()) {
        headers.insert(HOST, value);
    }
    for (name, value) in &to.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    let connection = tokio::spawn(connection);
    let status = client.send_request(request).await.map(|reply| reply.status());
    connection.abort();
    Ok(status?)
}
