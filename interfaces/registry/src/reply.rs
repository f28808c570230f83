//! Replies: how they and their headers are made.

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::body::Body;
use crate::error::Failure;

/// A whole reply.
pub(crate) type Reply = Response<Body>;
/// What a handler returns.
pub(crate) type Outcome = Result<Reply, Failure>;

/// The digest of what is sent or was received.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The name of an upload.
pub(crate) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// A reply without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        reply
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    reply
}

/// A reply of bytes at hand.
pub(crate) fn whole(media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let body = body.into();
    let mut reply = Response::new(Body::empty());
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    *reply.body_mut() = Body::Whole(body);
    reply
}

/// 201 or 202 with the place where to look or to go on.
pub(crate) fn at(status: StatusCode, location: &str) -> Reply {
    let mut reply = empty(status);
    set(reply.headers_mut(), LOCATION, location);
    reply
}

/// Sets a header whose value was checked before: names, digests, tags, numbers.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The reply of a refused request.
pub(crate) fn failure(failure: Failure) -> Reply {
    let errors = failure.complaints.iter().map(|complaint| {
        json!({
            "code": complaint.code.text(),
            "message": complaint.message,
            "detail": complaint.detail,
        })
    });
    let text = json!({ "errors": errors.collect::<Vec<_>>() }).to_string() + "\n";
    let mut reply = whole("application/json", text);
    *reply.status_mut() = failure.status;
    reply.headers_mut().extend(failure.headers);
    reply
}
