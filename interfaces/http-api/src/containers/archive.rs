//! Files of a container: export, `docker cp`.

use std::sync::Arc;

use ::containers::{Containers, PutArchive, TarStream};
use api_types::container::PathStat;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome, Reply};

const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

fn path(call: &Call) -> Result<&str, Failure> {
    match call.query.text("path") {
        "" => Err(Failure::bad("bad parameter: path cannot be empty")),
        path => Ok(path),
    }
}

fn with_stat(mut reply: Reply, stat: &PathStat) -> Outcome {
    let json = serde_json::to_vec(stat).map_err(std::io::Error::from)?;
    let value = HeaderValue::from_str(&STANDARD.encode(json))
        .map_err(|e| Failure::new(fault::Kind::System, format!("encode the path's stat: {e}")))?;
    reply.headers_mut().insert(STAT, value);
    Ok(reply)
}

/// An error cuts the body, so that nobody takes half an archive for a whole one.
fn body(media_type: &'static str, tar: TarStream) -> Outcome {
    let chunks = unfold(tar, |mut tar| async move {
        let chunk = tar.next().await?.map(Bytes::from).map_err(std::io::Error::other);
        Some((chunk, tar))
    });
    reply::stream(media_type, chunks)
}

/// `GET /containers/{name}/export`.
pub(crate) async fn export(containers: Arc<Containers>, call: Call) -> Outcome {
    body("application/octet-stream", containers.export(call.name()).await?)
}

/// `HEAD /containers/{name}/archive`.
pub(crate) async fn path_stat(containers: Arc<Containers>, call: Call) -> Outcome {
    let stat = containers.path_stat(call.name(), path(&call)?).await?;
    with_stat(reply::empty(StatusCode::OK)?, &stat)
}

/// `GET /containers/{name}/archive`.
pub(crate) async fn get_archive(containers: Arc<Containers>, call: Call) -> Outcome {
    let tar = containers.get_archive(call.name(), path(&call)?).await?;
    let stat = tar.stat().cloned();
    let reply = body("application/x-tar", tar)?;
    match stat {
        Some(stat) => with_stat(reply, &stat),
        None => Ok(reply),
    }
}

/// `PUT /containers/{name}/archive`.
pub(crate) async fn put_archive(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let request = PutArchive {
        path: path(&call)?.to_owned(),
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        // Since 1.30.
        copy_uid_gid: call.version.at_least(30) && call.query.flag("copyUIDGID"),
    };
    let mut sink = containers.put_archive(call.name(), request).await?;
    while let Some(frame) = call.body.frame().await {
        let frame = frame.map_err(|e| Failure::bad(format!("read the request body: {e}")))?;
        if let Some(data) = frame.data_ref()
            && sink.write(data).await.is_err()
        {
            break;
        }
    }
    sink.finish().await?;
    reply::empty(StatusCode::OK)
}
