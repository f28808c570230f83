//! Endpoints of dhow's own: the documents of a registry, for `manifest` and `trust` of the command.
//!
//! Docker's command asks registries itself for these. Here the daemon does, so that its mirrors, certificates, proxies and
//! blocked registries hold for all of them, and a command on another machine needs no way to the registry.

use std::sync::Arc;

use ::images::{Asked, CopyOptions, Images, SMALL_BLOB};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use distribution::Credentials;
use distribution::manifest::MANIFEST_LIMIT;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use oci::digest::Digest;
use oci::reference::Reference;

use super::platforms::platform;
use super::registry::credentials;
use super::transfer::told;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome, Reply};

/// The registry's own header for the digest of a manifest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

fn asked(call: &Call) -> Result<Asked, Failure> {
    Ok(Asked {
        reference: Reference::parse_docker(call.name())?,
        credentials: credentials(call),
        insecure: call.query.flag("insecure"),
    })
}

fn blob(call: &Call) -> Result<Digest, Failure> {
    let text = call.names.get(1).map_or("", String::as_str);
    text.parse()
        .map_err(|_| Failure::bad(format!("invalid digest {text:?}")))
}

/// `value`, if it can stand in a header; a registry may say anything.
fn header(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// `GET /distribution/{name}/manifest`.
pub(crate) async fn manifest(images: Arc<Images>, call: Call) -> Outcome {
    let document = images.remote_manifest(&asked(&call)?).await?;
    let mut reply = reply::with_type(StatusCode::OK, "application/json", document.bytes);
    header(&mut reply, CONTENT_TYPE, &document.media_type);
    header(&mut reply, CONTENT_DIGEST, &document.digest.to_string());
    Ok(reply)
}

/// `PUT /distribution/{name}/manifest`.
pub(crate) async fn put_manifest(images: Arc<Images>, mut call: Call) -> Outcome {
    let asked = asked(&call)?;
    let kind = call.header(CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
    let from = call.query.get("from").filter(|from| !from.is_empty());
    let from = from.map(str::to_owned);
    let bytes = call.bytes(MANIFEST_LIMIT).await?;
    let stored = images
        .put_remote_manifest(&asked, &kind, bytes.to_vec(), from.as_deref())
        .await?;
    let mut reply = reply::empty(StatusCode::CREATED)?;
    header(&mut reply, CONTENT_DIGEST, &stored.to_string());
    Ok(reply)
}

/// `DELETE /distribution/{name}/manifest`.
pub(crate) async fn delete_manifest(images: Arc<Images>, call: Call) -> Outcome {
    images.delete_remote_manifest(&asked(&call)?).await?;
    reply::no_content()
}

/// `GET /distribution/{name}/blobs/{digest}`.
pub(crate) async fn get_blob(images: Arc<Images>, call: Call) -> Outcome {
    let bytes = images.remote_blob(&asked(&call)?, &blob(&call)?).await?;
    Ok(reply::with_type(
        StatusCode::OK,
        "application/octet-stream",
        bytes,
    ))
}

/// `PUT /distribution/{name}/blobs/{digest}`.
pub(crate) async fn put_blob(images: Arc<Images>, mut call: Call) -> Outcome {
    let (asked, named) = (asked(&call)?, blob(&call)?);
    let bytes = call.bytes(SMALL_BLOB).await?;
    if !named.verifies(&bytes) {
        return Err(Failure::bad(format!("the content is not that of {named}")));
    }
    images.put_remote_blob(&asked, &named, &bytes).await?;
    reply::empty(StatusCode::CREATED)
}

/// `GET /distribution/{name}/tags`.
pub(crate) async fn tags(images: Arc<Images>, call: Call) -> Outcome {
    reply::ok(&images.remote_tags(&asked(&call)?).await?)
}

/// `POST /distribution/{name}/copy`: the image `from` of any registry becomes this one; progress as of a push. Who asks there
/// stands in a header of its own.
pub(crate) async fn copy(images: Arc<Images>, call: Call) -> Outcome {
    let header = call.header("x-registry-auth-from").unwrap_or_default();
    let from = Asked {
        reference: Reference::parse_docker(call.query.text("from"))?,
        credentials: Credentials::from_header(header).unwrap_or_default(),
        insecure: call.query.flag("insecure"),
    };
    let options = CopyOptions {
        from,
        to: asked(&call)?,
        platform: platform(call.version, call.query.text("platform"))?,
        referrers: call.query.flag("referrers"),
    };
    told(|progress| async move { images.copy_remote(options, progress).await }).await
}

/// `GET /distribution/{name}/signatures`.
pub(crate) async fn signatures(images: Arc<Images>, call: Call) -> Outcome {
    let found = images.remote_signatures(&asked(&call)?).await?;
    let one = |one: &distribution::policy::Signature| serde_json::json!({"payload": STANDARD.encode(&one.payload), "signature": one.signature});
    reply::ok(&found.iter().map(one).collect::<Vec<_>>())
}

/// `GET /distribution/{name}/referrers`.
pub(crate) async fn referrers(images: Arc<Images>, call: Call) -> Outcome {
    reply::ok(&images.remote_referrers(&asked(&call)?).await?)
}
