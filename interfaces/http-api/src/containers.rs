//! Containers: everything but streams and archives.

mod archive;
mod create;
mod logs;
mod stats;
mod stream;

use std::sync::Arc;

use ::containers::{Containers, ListRequest, RemoveRequest, StopRequest, WaitCondition};
use api_types::container::{UpdateRequest, WaitResponse};
use bytes::Bytes;
use futures_util::stream::once;
use hyper::StatusCode;

pub(crate) use archive::{export, get_archive, path_stat, put_archive};
pub(crate) use create::create;
pub(crate) use logs::logs;
pub(crate) use stats::stats;
pub(crate) use stream::{attach, attach_ws, heads, raw_or_framed};

use crate::call::Call;
use crate::error::Failure;
use crate::gates;
use crate::reply::{self, Outcome};

/// `GET /containers/json`.
pub(crate) async fn list(containers: Arc<Containers>, call: Call) -> Outcome {
    let request = ListRequest {
        all: call.query.flag("all"),
        limit: usize::try_from(call.query.number("limit")?.unwrap_or(0)).unwrap_or(0),
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    let mut list = containers.list(request).await?;
    list.iter_mut()
        .for_each(|c| gates::container_summary(call.version, c));
    reply::ok(&list)
}

/// `GET /containers/{name}/json`.
pub(crate) async fn inspect(containers: Arc<Containers>, call: Call) -> Outcome {
    let found = containers.inspect(call.name(), call.query.flag("size")).await?;
    reply::ok(&gates::container_inspect(call.version, found))
}

/// `POST /containers/{name}/start`.
pub(crate) async fn start(containers: Arc<Containers>, mut call: Call) -> Outcome {
    // Some clients send `{}` or `null`; a real HostConfig is longer than that.
    if !call.has_no_body() && call.bytes(1 << 20).await?.len() > 7 {
        return Err(Failure::bad(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    if !call.query.text("checkpoint").is_empty() {
        let what = "starting from a checkpoint".to_owned();
        return Err(containers::Error::NotAvailable(what).into());
    }
    containers.start(call.name()).await?;
    reply::no_content()
}

fn stop_request(call: &Call) -> Result<StopRequest, Failure> {
    let signal = call
        .query
        .get("signal")
        .filter(|s| !s.is_empty() && call.version.at_least(42));
    Ok(StopRequest {
        signal: signal.map(str::to_owned),
        timeout: call.query.number("t")?,
    })
}

/// `POST /containers/{name}/stop`.
pub(crate) async fn stop(containers: Arc<Containers>, call: Call) -> Outcome {
    containers.stop(call.name(), stop_request(&call)?).await?;
    reply::no_content()
}

/// `POST /containers/{name}/restart`.
pub(crate) async fn restart(containers: Arc<Containers>, call: Call) -> Outcome {
    containers.restart(call.name(), stop_request(&call)?).await?;
    reply::no_content()
}

/// `POST /containers/{name}/kill`.
pub(crate) async fn kill(containers: Arc<Containers>, call: Call) -> Outcome {
    containers
        .kill(call.name(), call.query.get("signal").filter(|s| !s.is_empty()))
        .await?;
    reply::no_content()
}

/// `POST /containers/{name}/pause`.
pub(crate) async fn pause(containers: Arc<Containers>, call: Call) -> Outcome {
    containers.pause(call.name()).await?;
    reply::no_content()
}

/// `POST /containers/{name}/unpause`.
pub(crate) async fn unpause(containers: Arc<Containers>, call: Call) -> Outcome {
    containers.unpause(call.name()).await?;
    reply::no_content()
}

/// `DELETE /containers/{name}`.
pub(crate) async fn remove(containers: Arc<Containers>, call: Call) -> Outcome {
    let request = RemoveRequest {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
    };
    if call.query.flag("link") {
        containers.remove_link(call.name()).await?;
        return reply::no_content();
    }
    containers.remove(call.name(), request).await?;
    reply::no_content()
}

/// `POST /containers/{name}/rename`.
pub(crate) async fn rename(containers: Arc<Containers>, call: Call) -> Outcome {
    containers.rename(call.name(), call.query.text("name")).await?;
    reply::no_content()
}

/// `POST /containers/{name}/update`.
pub(crate) async fn update(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let mut request: UpdateRequest = call.json().await?;
    gates::update_request(call.version, &mut request);
    reply::ok(&containers.update(call.name(), request).await?)
}

/// `POST /containers/{name}/resize`.
pub(crate) async fn resize(containers: Arc<Containers>, call: Call) -> Outcome {
    let (rows, columns) = size(&call)?;
    containers.resize(call.name(), rows, columns).await?;
    reply::empty(StatusCode::OK)
}

/// The parameters `h` and `w` of a terminal.
pub(crate) fn size(call: &Call) -> Result<(u16, u16), Failure> {
    let one = |name| {
        let text = call.query.text(name);
        text.parse()
            .map_err(|_| Failure::bad(format!("invalid resize parameter {name}: {text:?} is no size")))
    };
    Ok((one("h")?, one("w")?))
}

/// `GET /containers/{name}/top`.
pub(crate) async fn top(containers: Arc<Containers>, call: Call) -> Outcome {
    let arguments = call
        .query
        .get("ps_args")
        .filter(|a| !a.is_empty())
        .unwrap_or("-ef");
    reply::ok(&containers.top(call.name(), arguments).await?)
}

/// `GET /containers/{name}/changes`; `null` for none, as Docker has it.
pub(crate) async fn changes(containers: Arc<Containers>, call: Call) -> Outcome {
    let changes = containers.changes(call.name()).await?;
    reply::ok(&(!changes.is_empty()).then_some(changes))
}

/// `POST /containers/prune`.
pub(crate) async fn prune(containers: Arc<Containers>, call: Call) -> Outcome {
    reply::ok(&containers.prune(&call.query.filters()?).await?)
}

/// `POST /containers/{name}/wait`: the head of the reply says that the wait has begun, the body comes when it ends.
pub(crate) async fn wait(containers: Arc<Containers>, call: Call) -> Outcome {
    let version = call.version;
    let condition = match call.query.text("condition") {
        _ if version.before(30) => WaitCondition::NotRunning,
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Failure::bad(format!("invalid condition: {other:?}"))),
    };
    let waiter = containers.wait(call.name(), condition)?;
    if version.before(30) {
        return reply::ok(&waiter.outcome().await);
    }
    reply::stream(
        "application/json",
        once(async move { Ok(wait_body(version, waiter.outcome().await)) }),
    )
}

/// Before 1.34 a failed removal could be told by an empty body only.
fn wait_body(version: api_types::ApiVersion, outcome: WaitResponse) -> Bytes {
    if version.before(34) && outcome.error.is_some() {
        return Bytes::new();
    }
    let mut text = serde_json::to_vec(&outcome).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use api_types::ApiVersion;
    use api_types::container::WaitError;

    use super::*;

    #[test]
    fn a_failed_removal_is_told_to_those_who_wait_since_1_34() {
        let outcome = || WaitResponse {
            status_code: 7,
            error: Some(WaitError {
                message: "busy".into(),
            }),
        };
        assert!(wait_body(ApiVersion::new(1, 33), outcome()).is_empty());
        let told = wait_body(ApiVersion::new(1, 34), outcome());
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(
            (told["StatusCode"].as_i64(), told["Error"]["Message"].as_str()),
            (Some(7), Some("busy"))
        );
    }
}
