//! The daemon itself: ping, version, info, disk usage.

use std::sync::Arc;

use containers::Containers;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue, PRAGMA};
use images::Images;

use crate::call::Call;
use crate::daemon::Daemon;
use crate::gates;
use crate::reply::{self, Outcome};

/// `GET` and `HEAD /_ping`: `OK` with headers that say what the daemon is; hyper leaves the body of a `HEAD` away.
pub(crate) async fn ping(_: Call) -> Outcome {
    let mut reply = reply::with_type(StatusCode::OK, "text/plain; charset=utf-8", "OK");
    let headers = reply.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    // The builder that a client should use by itself: 1 is that of `POST /build`, which needs no session.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    Ok(reply)
}

/// `OPTIONS` of anything.
pub(crate) async fn options(_: Call) -> Outcome {
    reply::empty(StatusCode::OK)
}

/// `GET /version`.
pub(crate) async fn version(daemon: Arc<Daemon>, _: Call) -> Outcome {
    reply::ok(&daemon.version)
}

/// `GET /info`.
pub(crate) async fn info(
    daemon: Arc<Daemon>,
    containers: Arc<Containers>,
    images: Arc<Images>,
    call: Call,
) -> Outcome {
    let mut info = daemon.info();
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let counts = containers.counts();
    info.containers_running = number(counts.running);
    info.containers_paused = number(counts.paused);
    info.containers_stopped = number(counts.stopped);
    info.containers = number(counts.running + counts.paused + counts.stopped);
    info.images = number(images.count());
    info.driver = images.driver_name().to_owned();
    info.driver_status = images.driver_status().into_iter().map(|(k, v)| [k, v]).collect();
    info.n_fd = number(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count));
    info.n_goroutines = number(std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count));
    info.system_time = format!("{:.9}", jiff::Timestamp::now());
    reply::ok(&gates::info(call.version, info))
}
