//! WebSocket attach: frames in and out of a plain stream.

use std::io;

use futures_util::{SinkExt, StreamExt};
use hyper::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::error::Failure;
use crate::hijack::Taken;

/// Largest message of a client in bytes.
const LARGEST: usize = 1 << 20;

/// Kind of the frames that are sent: text up to API 1.27, binary since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    Text,
    Binary,
}

/// The head of the reply that accepts a WebSocket (RFC 6455, section 4.2).
pub(crate) fn accept(headers: &HeaderMap) -> Result<String, Failure> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    let key = text("sec-websocket-key");
    if !text("upgrade").eq_ignore_ascii_case("websocket") || key.is_empty() {
        return Err(Failure::bad(
            "bad request: this endpoint speaks the WebSocket protocol only",
        ));
    }
    if text("sec-websocket-version") != "13" {
        return Err(Failure::bad(
            "bad request: only version 13 of the WebSocket protocol is spoken",
        ));
    }
    let answer = derive_accept_key(key.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {answer}\r\n\r\n"
    ))
}

/// Carries bytes between a client's WebSocket and `stream` until one of them ends. With `framed` the stream has
/// Docker's frames around its output, which are taken away.
pub(crate) async fn relay(taken: Taken, stream: UnixStream, frames: Frames, framed: bool) -> io::Result<()> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let read = taken.read.to_vec();
    let socket = WebSocketStream::from_partially_read(taken.socket, read, Role::Server, Some(config)).await;
    let (mut sink, mut source) = socket.split();
    let (mut output, mut input) = stream.into_split();
    let to_container = async {
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Binary(data) => input.write_all(&data).await?,
                Message::Text(text) => input.write_all(text.as_bytes()).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        input.shutdown().await
    };
    let to_client = async {
        let mut unframe = Unframe::default();
        let mut buffer = vec![0; 32 << 10];
        loop {
            let n = output.read(&mut buffer).await?;
            if n == 0 {
                break;
            }
            let data = if framed {
                unframe.feed(&buffer[..n])
            } else {
                buffer[..n].to_vec()
            };
            if data.is_empty() {
                continue;
            }
            let message = match frames {
                Frames::Binary => Message::binary(data),
                Frames::Text => Message::text(String::from_utf8_lossy(&data).into_owned()),
            };
            sink.send(message).await.map_err(io::Error::other)?;
        }
        sink.close().await.map_err(io::Error::other)
    };
    tokio::select! {
        ended = to_client => ended,
        // The client is gone: what the container still says has no reader.
        ended = to_container => ended,
    }
}

/// Takes Docker's frames (stream, three zeros, length, data) away, however they are cut.
#[derive(Debug, Default)]
struct Unframe {
    head: Vec<u8>,
    left: usize,
}

impl Unframe {
    fn feed(&mut self, mut data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len());
        while !data.is_empty() {
            if self.left == 0 {
                let n = data.len().min(8 - self.head.len());
                self.head.extend(&data[..n]);
                data = &data[n..];
                if let [_, _, _, _, a, b, c, d] = self.head[..] {
                    self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(0);
                    self.head.clear();
                }
                continue;
            }
            let n = data.len().min(self.left);
            out.extend(&data[..n]);
            self.left -= n;
            data = &data[n..];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_away_however_they_are_cut() {
        let whole = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x02!\n";
        for cut in 1..whole.len() {
            let mut unframe = Unframe::default();
            let out: Vec<u8> = whole.chunks(cut).flat_map(|c| unframe.feed(c)).collect();
            assert_eq!(out, b"hello!\n", "cut every {cut} bytes");
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "WebSocket".parse().unwrap());
        headers.insert("sec-websocket-version", "13".parse().unwrap());
        assert!(accept(&headers).is_err());
        headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        assert!(accept(&headers).unwrap().contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}
