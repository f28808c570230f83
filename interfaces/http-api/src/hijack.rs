//! Taking a connection away from HTTP, for attach and exec streams.
//!
//! Docker's clients ask with `Upgrade: tcp` and get `101 UPGRADED`; clients from before 1.9 (and some libraries to
//! this day) send no `Upgrade` and get `200 OK`, after which the connection is just as raw. hyper upgrades on 101
//! only, so both ways are done here: the handler asks for the connection and never answers; the task that drives
//! the connection takes it apart and hands over the socket and the bytes that were read beyond the request.

use std::io;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};

use crate::server::Socket;

/// A connection that HTTP has let go.
pub(crate) struct Taken {
    /// The socket.
    pub(crate) socket: Socket,
    /// What the client had sent beyond the request.
    pub(crate) read: Bytes,
}

/// The handler's way to ask for the connection.
#[derive(Clone)]
pub(crate) struct Hijacker(mpsc::Sender<oneshot::Sender<Taken>>);

/// The connection's side of [`Hijacker`].
pub(crate) type Claims = mpsc::Receiver<oneshot::Sender<Taken>>;

impl Hijacker {
    /// A pair for one connection.
    pub(crate) fn new() -> (Self, Claims) {
        let (sender, claims) = mpsc::channel(1);
        (Self(sender), claims)
    }

    /// Ends HTTP on this connection and goes on with `then` in a task of its own. Never returns: whoever awaits
    /// it is dropped together with the connection. The request's body must have been read to its end.
    pub(crate) async fn take<T, F>(self, then: impl FnOnce(Taken) -> F + Send + 'static) -> T
    where
        F: Future<Output = ()> + Send,
    {
        let (claim, taken) = oneshot::channel();
        tokio::spawn(async move {
            if let Ok(taken) = taken.await {
                then(taken).await;
            }
        });
        // If the connection is gone already, so is this handler.
        let _ = self.0.send(claim).await;
        std::future::pending().await
    }
}

impl Taken {
    /// Writes the head of the reply (or anything else that must come before the stream).
    pub(crate) async fn write(&mut self, head: &[u8]) -> io::Result<()> {
        self.socket.write_all(head).await?;
        self.socket.flush().await
    }

    /// The plain, blocking socket, and the bytes that were read already.
    pub(crate) fn into_fd(self) -> io::Result<(OwnedFd, Vec<u8>)> {
        Ok((self.socket.into_fd()?, self.read.to_vec()))
    }
}

#[cfg(test)]
mod tests;
