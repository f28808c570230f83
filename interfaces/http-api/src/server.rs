//! Listening sockets and the connections that come from them.

mod first_line;

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use self::first_line::FirstLine;
use crate::body::RequestBody;
use crate::hijack::{Hijacker, Taken};
use crate::reply::Reply;
use crate::routes::Api;

/// A client may take this long to send the head of a request (Docker's value).
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Largest head of a request in bytes; also bounds what is buffered for each connection.
const BUFFER: usize = 64 << 10;
/// Pause after a failed accept (for lack of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket.
    Unix(UnixListener),
    /// A TCP socket.
    Tcp(TcpListener),
}

/// A client's connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(l) => l.accept().await.map(|(s, _)| Socket::Unix(s)),
            Self::Tcp(l) => {
                let (socket, _) = l.accept().await?;
                socket.set_nodelay(true)?;
                Ok(Socket::Tcp(socket))
            }
        }
    }
}

/// Serves one listener until `stop` becomes true. Connections that are open then may finish their request.
pub async fn serve(listener: Listener, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok(socket) => {
                let api = Arc::clone(&api);
                let handle = move |request, hijacker| {
                    let api = Arc::clone(&api);
                    async move { api.handle(request, hijacker).await }
                };
                tokio::spawn(connection(socket, handle, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Speaks HTTP on one connection until it closes or a handler takes it away.
pub(crate) async fn connection<H, F>(socket: Socket, handle: H, mut stop: watch::Receiver<bool>)
where
    H: Fn(Request<RequestBody>, Hijacker) -> F,
    F: Future<Output = Reply>,
{
    let (hijacker, mut claims) = Hijacker::new();
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = handle(request.map(RequestBody::new), hijacker.clone());
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .half_close(true)
        .max_buf_size(BUFFER)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let mut http = Box::pin(builder.serve_connection(TokioIo::new(FirstLine::new(socket)), service));
    let claim = loop {
        tokio::select! {
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
                return;
            }
            Some(claim) = claims.recv() => break claim,
            _ = stop.wait_for(|stop| *stop), if !*stop.borrow() => http.as_mut().graceful_shutdown(),
        }
    };
    let parts = Pin::into_inner(http).into_parts();
    let (socket, pending) = parts.io.into_inner().into_parts();
    let read = if pending.is_empty() {
        parts.read_buf
    } else {
        [&parts.read_buf[..], &pending[..]].concat().into()
    };
    // A failure means that the task which asked has ended; the socket closes then.
    let _ = claim.send(Taken { socket, read });
}

impl Socket {
    /// The plain, blocking socket.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(s) => {
                let socket = s.into_std()?;
                socket.set_nonblocking(false)?;
                Ok(socket.into())
            }
            Self::Tcp(s) => {
                let socket = s.into_std()?;
                socket.set_nonblocking(false)?;
                Ok(socket.into())
            }
        }
    }
}

macro_rules! forward {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Unix($inner) => $call,
            Socket::Tcp($inner) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, s => Pin::new(s).poll_write(cx, data))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}
