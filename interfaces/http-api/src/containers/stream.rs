//! Attaching: the client's connection becomes the container's input and output.

use std::io;
use std::sync::Arc;

use ::containers::{AttachRequest, Attachment, ClientSocket, Containers};
use api_types::ApiVersion;

use crate::call::Call;
use crate::error::Failure;
use crate::hijack::Taken;
use crate::reply::Outcome;
use crate::websocket;

const RAW: &str = "application/vnd.docker.raw-stream";
const FRAMED: &str = "application/vnd.docker.multiplexed-stream";

/// The media type of a stream; versions before 1.42 call every stream raw.
pub(crate) fn raw_or_framed(version: ApiVersion, terminal: bool) -> &'static str {
    if terminal || version.before(42) {
        RAW
    } else {
        FRAMED
    }
}

/// The head of the reply before a raw stream.
pub(crate) fn heads(call: &Call, terminal: bool) -> String {
    if !call.headers.contains_key("upgrade") {
        return format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n\r\n");
    }
    let media_type = raw_or_framed(call.version, terminal);
    format!(
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: {media_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    )
}

fn request(call: &Call) -> AttachRequest {
    AttachRequest {
        logs: call.query.flag("logs"),
        stream: call.query.flag("stream"),
        stdin: call.query.flag("stdin"),
        stdout: call.query.flag("stdout"),
        stderr: call.query.flag("stderr"),
        detach_keys: call.query.text("detachKeys").to_owned(),
    }
}

/// `POST /containers/{name}/attach`.
pub(crate) async fn attach(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let attachment = containers.attach(call.name(), request(&call)).await?;
    call.bytes(64 << 10).await?;
    let head = heads(&call, attachment.is_terminal());
    call.hijacker
        .take(move |taken| async move {
            if let Err(error) = hand_over(attachment, taken, &head).await {
                tracing::warn!(error = error.message, "attach");
            }
        })
        .await
}

async fn hand_over(attachment: Attachment, mut taken: Taken, head: &str) -> Result<(), Failure> {
    taken.write(head.as_bytes()).await?;
    let (fd, read_ahead) = taken.into_fd()?;
    attachment
        .serve(ClientSocket {
            fd,
            read_ahead,
            relayed: false,
        })
        .await?;
    Ok(())
}

/// `GET /containers/{name}/attach/ws`: the same over a WebSocket, both outputs in one stream.
pub(crate) async fn attach_ws(containers: Arc<Containers>, call: Call) -> Outcome {
    let mut wanted = request(&call);
    if call.version.before(42) {
        // The parameters were documented but ignored.
        (wanted.stdin, wanted.stdout, wanted.stderr) = (true, true, true);
    }
    let attachment = containers.attach(call.name(), wanted).await?;
    let head = websocket::accept(&call.headers)?;
    let frames = if call.version.before(28) {
        websocket::Frames::Text
    } else {
        websocket::Frames::Binary
    };
    call.hijacker
        .take(move |taken| async move {
            if let Err(error) = relay(attachment, taken, &head, frames).await {
                tracing::warn!(error = error.message, "attach by websocket");
            }
        })
        .await
}

async fn relay(
    attachment: Attachment,
    mut taken: Taken,
    head: &str,
    frames: websocket::Frames,
) -> Result<(), Failure> {
    taken.write(head.as_bytes()).await?;
    let (near, far) = tokio::net::UnixStream::pair()?;
    let framed = !attachment.is_terminal();
    let fd = into_blocking(far)?;
    attachment
        .serve(ClientSocket {
            fd,
            read_ahead: Vec::new(),
            relayed: true,
        })
        .await?;
    websocket::relay(taken, near, frames, framed).await?;
    Ok(())
}

fn into_blocking(socket: tokio::net::UnixStream) -> io::Result<std::os::fd::OwnedFd> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}
