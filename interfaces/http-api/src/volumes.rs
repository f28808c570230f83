//! Volumes: list, inspect, create, remove, prune.

use std::sync::Arc;

use api_types::volume as api;
use fault::Kind;
use hyper::StatusCode;
use volumes::{CreateOptions, Volume, Volumes};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome};

/// `GET /volumes`.
pub(crate) async fn list(volumes: Arc<Volumes>, call: Call) -> Outcome {
    let found = volumes.list(&call.query.filters()?)?;
    reply::ok(&api::ListResponse {
        volumes: found.into_iter().map(shown).collect(),
        warnings: None,
    })
}

/// `GET /volumes/{name}`.
pub(crate) async fn inspect(volumes: Arc<Volumes>, call: Call) -> Outcome {
    reply::ok(&shown(volumes.inspect(call.name())?))
}

/// `POST /volumes/create`.
pub(crate) async fn create(volumes: Arc<Volumes>, mut call: Call) -> Outcome {
    let request: api::CreateRequest = call.json().await?;
    if request.cluster_volume_spec.is_some() && call.version.at_least(42) {
        return Err(Failure::new(
            Kind::Unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    let options = CreateOptions {
        name: request.name,
        driver: request.driver,
        options: request.driver_opts.unwrap_or_default(),
        labels: request.labels.unwrap_or_default(),
    };
    let volume = volumes.create(options).await?;
    reply::json(StatusCode::CREATED, &shown(volume))
}

/// `PUT /volumes/{name}`: cluster volumes only.
pub(crate) async fn update(volumes: Arc<Volumes>, call: Call) -> Outcome {
    volumes.inspect(call.name())?;
    Err(Failure::new(
        Kind::InvalidParameter,
        "volume is not a cluster volume",
    ))
}

/// `DELETE /volumes/{name}`.
pub(crate) async fn remove(volumes: Arc<Volumes>, call: Call) -> Outcome {
    // `force` came with 1.25.
    let force = call.version.at_least(25) && call.query.flag("force");
    volumes.remove(call.name(), force).await?;
    reply::no_content()
}

/// `POST /volumes/prune`: anonymous volumes only, unless the filter `all` says otherwise (before 1.42: always all).
pub(crate) async fn prune(volumes: Arc<Volumes>, call: Call) -> Outcome {
    let mut filters = call.query.filters()?;
    if call.version.before(42) && !filters.contains("all") {
        filters.add("all", "true");
    }
    reply::ok(&volumes.prune(&filters).await?)
}

/// A volume in the API's shape. Docker shows a list of options or labels that was never given as null; here it is
/// not known any more whether an empty one was given.
pub(crate) fn shown(volume: Volume) -> api::Volume {
    let created = jiff::Timestamp::from_second(volume.created).unwrap_or_default();
    api::Volume {
        created_at: created.to_string(),
        driver: volume.driver,
        labels: (!volume.labels.is_empty()).then_some(volume.labels),
        mountpoint: volume.mountpoint.display().to_string(),
        name: volume.name,
        options: (!volume.options.is_empty()).then_some(volume.options),
        scope: volume.scope.to_owned(),
        status: None,
        usage_data: None,
    }
}
