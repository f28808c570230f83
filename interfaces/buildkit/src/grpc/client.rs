//! The calling side, on a connection that the other side opened.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::frame::{Messages, encode};
use super::{Code, Status};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Messages of one call that may wait for the peer.
const WAITING: usize = 16;
/// What a peer may send before it is read, in bytes: for one call, and for all.
const WINDOW: (u32, u32) = (256 << 10, 1 << 20);

/// A connection on which this side calls.
#[derive(Clone, Debug)]
pub(crate) struct Channel(SendRequest<Body>);

/// The messages that are sent in a call; the call's request ends when they are dropped.
#[derive(Debug)]
pub(crate) struct Questions<M>(mpsc::Sender<Bytes>, PhantomData<fn(M)>);

impl<M: Message> Questions<M> {
    /// Sends a message; false when the peer wants none any more.
    pub(crate) async fn send(&self, message: &M) -> bool {
        self.0.send(encode(message)).await.is_ok()
    }

    /// Sends from a thread that may block; false also when who waits for that thread's work is `gone`.
    pub(crate) fn send_blocking(
        &self,
        handle: &Handle,
        gone: &mut oneshot::Receiver<()>,
        message: &M,
    ) -> bool {
        handle.block_on(async {
            tokio::select! {
                biased;
                _ = gone => false,
                sent = self.send(message) => sent,
            }
        })
    }
}

type Pending = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

/// The messages that come back.
pub(crate) struct Answers<M> {
    state: State,
    _of: PhantomData<fn() -> M>,
}

enum State {
    Waiting(Pending),
    Reading(Messages),
    Over,
}

impl<M: Message + Default> Answers<M> {
    /// The next message; nothing when the call ended well.
    ///
    /// # Errors
    /// What the peer said, or that it is gone.
    pub(crate) async fn next(&mut self) -> Result<Option<M>, Status> {
        let outcome = self.read().await;
        if !matches!(outcome, Ok(Some(_))) {
            self.state = State::Over;
        }
        outcome
    }

    async fn read(&mut self) -> Result<Option<M>, Status> {
        if let State::Waiting(pending) = &mut self.state {
            let response = pending.await.map_err(Status::broken)?;
            if !response.status().is_success() {
                return Err(Status::broken(response.status()));
            }
            if let Some(Err(status)) = Status::read(response.headers()) {
                return Err(status);
            }
            self.state = State::Reading(Messages::new(response.into_body()));
        }
        let State::Reading(messages) = &mut self.state else {
            return Ok(None);
        };
        if let Some(message) = messages.next().await? {
            return Ok(Some(message));
        }
        match messages.trailers().and_then(Status::read) {
            Some(Err(status)) => Err(status),
            _ => Ok(None),
        }
    }
}

impl Channel {
    /// Begins HTTP/2 on a connection. The future drives it until it closes.
    ///
    /// # Errors
    /// The peer does not speak HTTP/2.
    pub(crate) async fn open<T>(connection: T) -> Result<(Self, impl Future<Output = ()> + Send), Status>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW.0)
            .initial_connection_window_size(WINDOW.1)
            .handshake(TokioIo::new(connection))
            .await
            .map_err(Status::broken)?;
        Ok((Self(sender), async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a session's connection");
            }
        }))
    }

    /// Whether the peer is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Begins a call in which both sides send as they like.
    pub(crate) fn duplex<Q: Message, A: Message + Default>(
        &self,
        method: &str,
        metadata: &[(String, String)],
    ) -> Result<(Questions<Q>, Answers<A>), Status> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let frames = unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
        });
        let mut request = Request::new(StreamBody::new(frames).boxed_unsync());
        *request.method_mut() = hyper::Method::POST;
        let invalid = |_| Status::new(Code::InvalidArgument, format!("{method} cannot be called"));
        *request.uri_mut() = format!("http://localhost{method}").parse().map_err(invalid)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        for (name, value) in metadata {
            let unfit = || Status::new(Code::InvalidArgument, format!("{name}: {value:?} cannot be sent"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            // Names of files may have letters beyond ASCII, and Go sends them as they are.
            headers.append(
                name,
                HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unfit())?,
            );
        }
        let mut connection = self.0.clone();
        // The head of the reply may come only after messages were sent: nobody waits for it here.
        let pending = Box::pin(async move {
            connection.ready().await?;
            connection.send_request(request).await
        });
        let answers = Answers {
            state: State::Waiting(pending),
            _of: PhantomData,
        };
        Ok((Questions(sender, PhantomData), answers))
    }

    /// One question, one answer.
    ///
    /// # Errors
    /// What the peer said, or that it is gone.
    pub(crate) async fn unary<Q: Message, A: Message + Default>(
        &self,
        method: &str,
        question: &Q,
    ) -> Result<A, Status> {
        let (questions, mut answers) = self.duplex::<Q, A>(method, &[])?;
        questions.send(question).await;
        drop(questions);
        let answer = answers.next().await?;
        answer.ok_or_else(|| Status::broken(format!("{method} was not answered")))
    }
}
