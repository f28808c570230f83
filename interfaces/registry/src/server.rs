//! Listening sockets and the connections that come from them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, Sleep};

use crate::registry::{Peer, Registry};
use crate::tls::Shown;

/// A client may take this long to send the head of a request, also the next one on a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A client may take this long to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection on which nothing moves for so long is cut.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest head of a request in bytes; also bounds what is buffered for each connection.
const BUFFER: usize = 128 << 10;
/// As many clients are served at a time; the others wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 4096;
/// Pause after a failed accept (for lack of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Becomes true when the server is to end.
pub type Stopping = watch::Receiver<bool>;

/// Serves one listener until `stop` becomes true, then lets open requests finish.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, mut stop: Stopping) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // Closed never: the semaphore lives as long as this function.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((socket, address)) => {
                let _ = socket.set_nodelay(true);
                let (registry, stop) = (Arc::clone(&registry), stop.clone());
                tokio::spawn(async move {
                    registry.metrics.open.fetch_add(1, Ordering::Relaxed);
                    encrypted_or_not(socket, address, &registry, stop).await;
                    registry.metrics.open.fetch_sub(1, Ordering::Relaxed);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // All places are free when all connections have ended.
    let all = u32::try_from(MOST_CONNECTIONS).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

/// Greets a client, with TLS where it is set up.
async fn encrypted_or_not(socket: TcpStream, address: SocketAddr, registry: &Arc<Registry>, stop: Stopping) {
    let registry = Arc::clone(registry);
    let Some(tls) = registry.tls.as_ref().map(Shown::acceptor) else {
        let secure = false;
        return connection(socket, Peer { address, secure }, registry, stop).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await {
        Ok(Ok(socket)) => {
            let secure = true;
            connection(socket, Peer { address, secure }, registry, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "a client did not agree on TLS"),
        Err(_) => tracing::debug!(%address, "a client did not finish the TLS handshake"),
    }
}

/// Speaks HTTP on one connection until it closes.
async fn connection<S>(socket: S, peer: Peer, registry: Arc<Registry>, mut stop: Stopping)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| {
        let registry = Arc::clone(&registry);
        async move { Ok::<_, Infallible>(registry.handle(request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(BUFFER)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let socket = Patient::new(socket, STALL_TIMEOUT);
    let mut http = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
    loop {
        tokio::select! {
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !*stop.borrow() => http.as_mut().graceful_shutdown(),
        }
    }
}

/// A socket that gives up when nothing moves: a client that reads or sends nothing must not cost anything for ever.
struct Patient<S> {
    socket: S,
    patience: Duration,
    end: Pin<Box<Sleep>>,
    /// Whether the time runs: something is waited for.
    waits: bool,
}

impl<S> Patient<S> {
    fn new(socket: S, patience: Duration) -> Self {
        Self {
            socket,
            patience,
            end: Box::pin(tokio::time::sleep(patience)),
            waits: false,
        }
    }

    /// Passes an outcome on; an error when it has been waited for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waits = false;
            return outcome;
        }
        if !self.waits {
            self.waits = true;
            let end = Instant::now() + self.patience;
            self.end.as_mut().reset(end);
        }
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.watch(cx, outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, data);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, data);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_socket_on_which_nothing_moves_is_given_up() {
        let (mut near, far) = tokio::io::duplex(8);
        let mut far = Patient::new(far, Duration::from_secs(5));
        near.write_all(b"x").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
        assert_eq!(far.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        far.write_all(b"12345678").await.unwrap();
        assert_eq!(
            far.write_all(b"9").await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }
}
