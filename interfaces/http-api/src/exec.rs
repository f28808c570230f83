//! Exec: create, start, resize, inspect.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::exec::{CreateRequest, StartRequest};
use api_types::image::IdResponse;
use containers::{ClientSocket, Containers, ExecStart};
use hyper::StatusCode;

use crate::call::Call;
use crate::containers::{heads, size};
use crate::error::Failure;
use crate::hijack::Taken;
use crate::reply::{self, Outcome};

/// How long a client may take to read why its exec was not started.
const LINGER: Duration = Duration::from_secs(10);

/// `POST /containers/{name}/exec`.
pub(crate) async fn create(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let mut request: CreateRequest = call.json().await?;
    if request.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Failure::bad("No exec command specified"));
    }
    if call.version.before(25) {
        request.env.clear();
    }
    if call.version.before(35) {
        request.working_dir.clear();
    }
    if call.version.before(42) {
        request.console_size = None;
    }
    let id = containers.exec_create(call.name(), request).await?;
    reply::json(StatusCode::CREATED, &IdResponse { id })
}

/// `POST /exec/{id}/start`.
pub(crate) async fn start(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let mut request: StartRequest = call.json().await?;
    if call.version.before(42) || !request.tty {
        request.console_size = None;
    }
    let detach = request.detach;
    let exec = containers.exec_prepare(call.name(), request)?;
    if detach {
        exec.detached().await?;
        return reply::empty(StatusCode::OK);
    }
    let head = heads(&call, exec.is_raw());
    call.hijacker
        .take(move |taken| async move {
            if let Err(error) = hand_over(exec, taken, &head).await {
                tracing::warn!(error = error.message, "exec");
            }
        })
        .await
}

/// Starts the process with the client connected. Once the connection is raw, a failure can only be told in it.
async fn hand_over(exec: ExecStart, mut taken: Taken, head: &str) -> Result<(), Failure> {
    taken.write(head.as_bytes()).await?;
    let raw = exec.is_raw();
    let (fd, read_ahead) = taken.into_fd()?;
    let ours = fd.try_clone()?;
    let Err(failure) = exec
        .serve(ClientSocket {
            fd,
            read_ahead,
            relayed: false,
        })
        .await
    else {
        return Ok(());
    };
    if failure.told {
        return Err(failure.error.into());
    }
    let text = format!("{}\r\n", failure.error);
    let mut message = Vec::new();
    if !raw {
        message.extend([1, 0, 0, 0]);
        message.extend(u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
    }
    message.extend(text.as_bytes());
    // Only what all sockets have in common is used of it, be it TCP or not.
    let mut ours = UnixStream::from(ours);
    // A few bytes into an empty socket buffer: this does not block.
    ours.write_all(&message)?;
    tokio::task::spawn_blocking(move || linger(ours));
    Err(failure.error.into())
}

/// Reads what the client still sends, until it has read our end. A socket closed over unread input is reset, and the client
/// would take that for the failure.
fn linger(mut socket: UnixStream) {
    let deadline = Instant::now() + LINGER;
    let ended = socket
        .shutdown(std::net::Shutdown::Write)
        .and_then(|()| socket.set_nonblocking(false))
        .and_then(|()| socket.set_read_timeout(Some(LINGER)));
    let mut unread = [0; 4096];
    while ended.is_ok() && Instant::now() < deadline && matches!(socket.read(&mut unread), Ok(1..)) {}
}

/// `POST /exec/{id}/resize`.
pub(crate) async fn resize(containers: Arc<Containers>, call: Call) -> Outcome {
    let (rows, columns) = size(&call)?;
    containers.exec_resize(call.name(), rows, columns).await?;
    reply::empty(StatusCode::OK)
}

/// `GET /exec/{id}/json`.
pub(crate) async fn inspect(containers: Arc<Containers>, call: Call) -> Outcome {
    reply::ok(&containers.exec_inspect(call.name()).await?)
}
