//! The body of a request, which is read to its end whatever becomes of the request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

/// So long a client may go on sending what nobody wants any more.
const LINGER: Duration = Duration::from_secs(30);

/// What a client sends behind the head of its request.
///
/// A handler may answer before it has read all, and drop this: the rest is read and thrown away. Were the connection
/// closed under a client that is still sending, it would not see the reply (RFC 9112, section 9.6).
pub(crate) struct RequestBody(Option<Incoming>);

impl RequestBody {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = self.0.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER, async move {
                while let Some(Ok(_)) = body.frame().await {}
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::sync::watch;

    use crate::reply;
    use crate::server::{Socket, connection};

    #[tokio::test]
    async fn a_client_can_send_all_of_a_body_that_nobody_wants_and_hears_the_reply() {
        const LENGTH: usize = 8 << 20;
        let (mut client, server) = UnixStream::pair().unwrap();
        let (_keep, stop) = watch::channel(false);
        let refuse =
            |_request, _hijacker| async { reply::with_type(StatusCode::BAD_REQUEST, "text/plain", "no") };
        tokio::spawn(connection(Socket::Unix(server), refuse, stop));
        for _ in 0..2 {
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(&vec![b'x'; LENGTH]).await.unwrap();
        }
        client.shutdown().await.unwrap();
        let mut replies = String::new();
        client.read_to_string(&mut replies).await.unwrap();
        assert_eq!(replies.matches("HTTP/1.1 400").count(), 2, "{replies}");
    }
}
