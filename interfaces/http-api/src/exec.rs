//! Exec: create, start, resize, inspect.

use std::io::Write;
use std::sync::Arc;

use api_types::exec::{CreateRequest, StartRequest};
use api_types::image::IdResponse;
use containers::{ClientSocket, Containers, ExecStart};
use hyper::StatusCode;

use crate::call::Call;
use crate::containers::{heads, size};
use crate::error::Failure;
use crate::hijack::Taken;
use crate::reply::{self, Outcome};

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
    let head = heads(&call, exec.is_terminal());
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
    let terminal = exec.is_terminal();
    let (fd, read_ahead) = taken.into_fd()?;
    let ours = fd.try_clone()?;
    let Err(error) = exec
        .serve(ClientSocket {
            fd,
            read_ahead,
            relayed: false,
        })
        .await
    else {
        return Ok(());
    };
    let text = format!("{error}\r\n");
    let mut message = Vec::new();
    if !terminal {
        message.extend([1, 0, 0, 0]);
        message.extend(u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
    }
    message.extend(text.as_bytes());
    // A few bytes into an empty socket buffer: this does not block.
    std::fs::File::from(ours).write_all(&message)?;
    Err(error.into())
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
