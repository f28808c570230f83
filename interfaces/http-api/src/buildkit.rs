//! BuildKit's protocol: the connections that it takes away from HTTP, and builds of docker's command that use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::buildkit::{BuildKit, Line, Order};
use api_types::progress::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::unfold;
use hyper::StatusCode;
use hyper::header::UPGRADE;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::Receiver;

use crate::builds::{BEAT, json as parameter, line, request};
use crate::call::Call;
use crate::error::Failure;
use crate::hijack::Taken;
use crate::images::reader;
use crate::reply::{self, Outcome};

const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
/// What the id of an upload begins with; the id of its build follows.
const UPLOAD: &str = "upload-request:";

fn check_upgrade(call: &Call) -> Result<(), Failure> {
    match call.headers.get(UPGRADE).and_then(|value| value.to_str().ok()) {
        Some("h2c") => Ok(()),
        Some(other) => Err(Failure::bad(format!("protocol {other} not supported"))),
        None => Err(Failure::bad("no upgrade proto in request")),
    }
}

/// Answers that HTTP/2 is spoken from here on.
async fn upgraded(mut taken: Taken) -> std::io::Result<impl AsyncRead + AsyncWrite + Send + Unpin> {
    taken.write(HEAD.as_bytes()).await?;
    let (read, write) = tokio::io::split(taken.socket);
    Ok(tokio::io::join(
        std::io::Cursor::new(taken.read).chain(read),
        write,
    ))
}

/// `POST /session`: from here on the daemon calls.
pub(crate) async fn session(buildkit: Arc<BuildKit>, mut call: Call) -> Outcome {
    check_upgrade(&call)?;
    BuildKit::check_session(&call.headers)?;
    call.bytes(64 << 10).await?;
    let headers = call.headers;
    call.hijacker
        .take(move |taken| async move {
            match upgraded(taken).await {
                Ok(connection) => buildkit.session(&headers, connection).await,
                Err(error) => tracing::debug!(%error, "a BuildKit session"),
            }
        })
        .await
}

/// `POST /grpc`: from here on the client calls services.
pub(crate) async fn grpc(buildkit: Arc<BuildKit>, mut call: Call) -> Outcome {
    check_upgrade(&call)?;
    call.bytes(64 << 10).await?;
    call.hijacker
        .take(move |taken| async move {
            match upgraded(taken).await {
                Ok(connection) => buildkit.grpc(connection).await,
                Err(error) => tracing::debug!(%error, "a gRPC connection"),
            }
        })
        .await
}

/// `POST /build/agent`, of `dhow build` only: a connection that waits for a step that asks an ssh agent of the client's.
pub(crate) async fn agent(buildkit: Arc<BuildKit>, mut call: Call) -> Outcome {
    const HEAD: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    call.bytes(64 << 10).await?;
    let (build, agent) = (
        call.query.text("id").to_owned(),
        call.query.text("agent").to_owned(),
    );
    call.hijacker
        .take(move |mut taken| async move {
            if taken.write(HEAD.as_bytes()).await.is_ok() {
                let (read, write) = tokio::io::split(taken.socket);
                let read = std::io::Cursor::new(taken.read).chain(read);
                buildkit.offer_agent(&build, &agent, tokio::io::join(read, write));
            }
        })
        .await
}

/// `POST /build?version=2`.
pub(crate) async fn build(buildkit: &Arc<BuildKit>, call: Call) -> Outcome {
    if let Some(id) = call.query.text("buildid").strip_prefix(UPLOAD) {
        let id = id.to_owned();
        buildkit.upload(&id, Box::new(reader(call.body))).await?;
        return reply::empty(StatusCode::OK);
    }
    let request = request(&call)?;
    let quiet = request.quiet;
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        #[serde(rename = "Type", default)]
        kind: String,
        #[serde(default)]
        attrs: Option<BTreeMap<String, String>>,
    }
    let outputs: Vec<Output> = parameter(&call, "outputs")?;
    let outputs = outputs
        .into_iter()
        .map(|output| (output.kind, output.attrs.unwrap_or_default()));
    let lines = buildkit.build(Order {
        request,
        session: call.query.text("session").to_owned(),
        body: Box::new(reader(call.body)),
        outputs: outputs.collect(),
    });
    reply::stream(
        "application/json",
        unfold(lines, move |mut lines: Receiver<Line>| async move {
            let text = match tokio::time::timeout(BEAT, next(&mut lines, quiet)).await {
                Ok(told) => line(&told?),
                // A client that is gone is noticed by writing only.
                Err(_) => Bytes::from_static(b"\r\n"),
            };
            Some((Ok(text), lines))
        }),
    )
}

/// The next line; to a quiet client only the end is told.
async fn next(lines: &mut Receiver<Line>, quiet: bool) -> Option<Message> {
    loop {
        return match lines.recv().await? {
            Line::Trace(_) if quiet => continue,
            Line::Image(id) if quiet => Some(Message {
                stream: format!("{id}\n"),
                ..Message::default()
            }),
            told => Some(message(told)),
        };
    }
}

fn message(told: Line) -> Message {
    let aux = |id: &str, aux: serde_json::Value| Message {
        id: id.to_owned(),
        aux: Some(aux),
        ..Message::default()
    };
    match told {
        Line::Trace(status) => aux("moby.buildkit.trace", json!(STANDARD.encode(status))),
        Line::Image(id) => aux("moby.image.id", json!({ "ID": id })),
        Line::Error(text) => Message::error(text),
    }
}
