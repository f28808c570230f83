//! Images: list, inspect, history, tag, remove, prune, commit.

mod beside;
pub(crate) mod documents;
mod platforms;
mod registry;
mod transfer;

use std::sync::Arc;

use ::containers::{CommitRequest, Containers};
use ::images::{Images, RemoveOptions};
use api_types::container::Config;
use api_types::decode;
use api_types::image::IdResponse;
use hyper::StatusCode;

pub(crate) use beside::{differences, layers, squash};
pub(crate) use registry::{distribution, login, push, search};
pub(crate) use transfer::{create, files, load, reader, save, save_all};

use platforms::Platforms;

use crate::call::{Call, invalid_json};
use crate::error::Failure;
use crate::gates;
use crate::reply::{self, Outcome};

/// `GET /images/json`.
pub(crate) async fn list(images: Arc<Images>, call: Call) -> Outcome {
    let mut filters = call.query.filters()?;
    if call.version.before(41)
        && let Some(name) = call.query.get("filter").filter(|f| !f.is_empty())
    {
        filters.add("reference", name);
    }
    let shared_size = call.version.at_least(42) && call.query.flag("shared-size");
    let mut list = images.summaries(call.query.flag("all"), &filters, shared_size)?;
    // Who asks for the identity of manifests gets the manifests; what is known of their origin is not kept.
    let manifests = (call.version.at_least(47) && call.query.flag("manifests"))
        || (call.version.at_least(54) && call.query.flag("identity"));
    for summary in &mut list {
        gates::image_summary(call.version, summary);
        let id = summary.id.parse().ok().filter(|_| manifests);
        // One that is deleted meanwhile has none.
        summary.manifests = id.map(|id| images.manifest_summary(&id).into_iter().collect());
    }
    reply::ok(&list)
}

/// `GET /images/{name}/json`.
pub(crate) async fn inspect(images: Arc<Images>, call: Call) -> Outcome {
    let platforms = platforms::asked(&call, Platforms::one_since(49))?;
    let manifests = call.version.at_least(48) && call.query.flag("manifests");
    if manifests && !platforms.is_empty() {
        return Err(Failure::bad(
            "conflicting options: manifests and platform options cannot both be set",
        ));
    }
    let image = images.resolve(call.name())?;
    image.check_platform(&platforms)?;
    let mut shown = gates::image_inspect(call.version, images.inspect(call.name())?);
    if manifests && let Some(shown) = shown.as_object_mut() {
        let summary = images.manifest_summary(&image.id)?;
        shown.insert("Manifests".to_owned(), serde_json::json!([summary]));
    }
    reply::ok(&shown)
}

/// `GET /images/{name}/history`.
pub(crate) async fn history(images: Arc<Images>, call: Call) -> Outcome {
    let platforms = platforms::asked(&call, Platforms::one_since(48))?;
    images.resolve(call.name())?.check_platform(&platforms)?;
    reply::ok(&images.history(call.name())?)
}

/// `POST /images/{name}/tag`.
pub(crate) async fn tag(images: Arc<Images>, call: Call) -> Outcome {
    images
        .tag(call.name(), call.query.text("repo"), call.query.text("tag"))
        .await?;
    reply::empty(StatusCode::CREATED)
}

/// `DELETE /images/{name}`.
pub(crate) async fn remove(images: Arc<Images>, call: Call) -> Outcome {
    // One store, one platform of each image: to name another one is to name an image that is not here.
    let platforms = call.query.all("platforms").filter(|_| call.version.at_least(50));
    let platforms = platforms.map(platforms::parse).collect::<Result<Vec<_>, _>>()?;
    if !platforms.is_empty() {
        images.resolve(call.name())?.check_platform(&platforms)?;
    }
    let options = RemoveOptions {
        force: call.query.flag("force"),
        no_prune: call.query.flag("noprune"),
    };
    reply::ok(&images.remove(call.name(), options).await?)
}

/// `POST /images/prune`.
pub(crate) async fn prune(images: Arc<Images>, call: Call) -> Outcome {
    reply::ok(&images.prune(&call.query.filters()?).await?)
}

/// `POST /commit`.
pub(crate) async fn commit(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let text = call.json_text().await?;
    let config: Option<Config> = decode::from_slice(&text).map_err(|error| invalid_json(&text, &error))?;
    let (repository, tag) = (call.query.text("repo"), call.query.text("tag"));
    let request = CommitRequest {
        reference: if tag.is_empty() {
            repository.to_owned()
        } else {
            format!("{repository}:{tag}")
        },
        comment: call.query.text("comment").to_owned(),
        author: call.query.text("author").to_owned(),
        pause: call.query.text("pause").is_empty() || call.query.flag("pause"),
        changes: call.query.all("changes").map(str::to_owned).collect(),
        config,
    };
    if repository.is_empty() && !tag.is_empty() {
        return Err(Failure::bad("invalid reference format"));
    }
    let id = containers.commit(call.query.text("container"), request).await?;
    reply::json(StatusCode::CREATED, &IdResponse { id })
}
