//! What Docker's API does not have: the layers of an image, two images beside each other, many layers in one.

use std::sync::Arc;

use ::images::{Images, SquashOptions};
use api_types::image::IdResponse;
use hyper::StatusCode;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome};

/// `GET /images/{name}/layers`.
pub(crate) async fn layers(images: Arc<Images>, call: Call) -> Outcome {
    reply::ok(&images.layers_of(call.name())?)
}

/// `GET /images/{name}/changes?since=IMAGE`.
pub(crate) async fn differences(images: Arc<Images>, call: Call) -> Outcome {
    let since = call.query.text("since");
    if since.is_empty() {
        return Err(Failure::bad("since must name an image"));
    }
    reply::ok(&images.differences(since, call.name()).await?)
}

/// `POST /images/{name}/squash?since=IMAGE&repo=NAME&tag=TAG`.
pub(crate) async fn squash(images: Arc<Images>, call: Call) -> Outcome {
    let (repository, tag) = (call.query.text("repo"), call.query.text("tag"));
    if repository.is_empty() && !tag.is_empty() {
        return Err(Failure::bad("invalid reference format"));
    }
    let options = SquashOptions {
        since: call
            .query
            .get("since")
            .filter(|s| !s.is_empty())
            .map(str::to_owned),
        reference: (!repository.is_empty()).then(|| (repository.to_owned(), tag.to_owned())),
    };
    let image = images.squash(call.name(), options).await?;
    let id = image.id.to_string();
    reply::json(StatusCode::CREATED, &IdResponse { id })
}
