//! The answering side.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self as streams, unfold};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::frame::{Messages, encode};
use super::{Code, Status};

/// A reply: some messages, then the outcome.
pub(crate) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Calls that one client may have open.
const CALLS: u32 = 128;
/// What a client may send before it is read, in bytes: for one call, and for all.
const WINDOW: (u32, u32) = (256 << 10, 1 << 20);
/// How often a silent client is asked whether it is there.
const BEAT: Duration = Duration::from_secs(20);

/// A call: its path, metadata and messages.
pub(crate) struct Method {
    /// `/package.Service/Method`.
    pub(crate) path: String,
    pub(crate) metadata: HeaderMap,
    pub(crate) messages: Messages,
}

impl Method {
    /// The call's only message.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn message<M: Message + Default>(&mut self) -> Result<M, Status> {
        let message = self.messages.next().await?;
        message.ok_or_else(|| Status::new(Code::Internal, format!("{}: a message is missing", self.path)))
    }
}

/// Answers the calls of one connection until it closes.
pub(crate) async fn serve<T, H, F>(connection: T, answer: H)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Fn(Method) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Status>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let method = Method {
                path: parts.uri.path().to_owned(),
                metadata: parts.headers,
                messages: Messages::new(body),
            };
            Ok::<_, Infallible>(answer(method).await.unwrap_or_else(|status| failed(&status)))
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(BEAT)
        .max_concurrent_streams(CALLS)
        .initial_stream_window_size(WINDOW.0)
        .initial_connection_window_size(WINDOW.1);
    if let Err(error) = builder.serve_connection(TokioIo::new(connection), service).await {
        tracing::debug!(%error, "a gRPC connection");
    }
}

fn reply(body: UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut reply = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    reply.headers_mut().insert(CONTENT_TYPE, grpc);
    reply
}

fn failed(status: &Status) -> Reply {
    let mut reply = reply(http_body_util::Empty::new().boxed_unsync());
    reply.headers_mut().extend(Status::trailers(Some(status)));
    reply
}

/// A reply of one message.
pub(crate) fn unary(message: &impl Message) -> Reply {
    let frames = [
        Frame::data(encode(message)),
        Frame::trailers(Status::trailers(None)),
    ];
    reply(StreamBody::new(streams::iter(frames.map(Ok))).boxed_unsync())
}

/// A reply of the messages that come through a channel, up to its end or the first failure.
pub(crate) fn stream<M: Message + 'static>(receiver: mpsc::Receiver<Result<M, Status>>) -> Reply {
    let frames = unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        Some(match receiver.recv().await {
            Some(Ok(message)) => (Ok(Frame::data(encode(&message))), Some(receiver)),
            Some(Err(status)) => (Ok(Frame::trailers(Status::trailers(Some(&status)))), None),
            None => (Ok(Frame::trailers(Status::trailers(None))), None),
        })
    });
    reply(StreamBody::new(frames).boxed_unsync())
}
