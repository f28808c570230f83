//! Replies: how bodies and their headers are made.

use std::convert::Infallible;

use api_types::ErrorResponse;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::error::Failure;

/// Any reply's body. An error in it cuts the connection, so that the client sees an unfinished body.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;
/// A whole reply.
pub(crate) type Reply = Response<Body>;
/// What a handler returns.
pub(crate) type Outcome = Result<Reply, Failure>;

/// A reply of one JSON value, with the newline that Go's encoder writes.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Outcome {
    let mut text = serde_json::to_vec(value)
        .map_err(|e| Failure::new(fault::Kind::System, format!("encode the reply: {e}")))?;
    text.push(b'\n');
    Ok(with_type(status, "application/json", Bytes::from(text)))
}

/// 200 with one JSON value.
pub(crate) fn ok<T: Serialize>(value: &T) -> Outcome {
    json(StatusCode::OK, value)
}

/// A reply without a body.
pub(crate) fn empty(status: StatusCode) -> Outcome {
    let mut reply = Response::new(whole(Bytes::new()));
    *reply.status_mut() = status;
    Ok(reply)
}

/// 204.
pub(crate) fn no_content() -> Outcome {
    empty(StatusCode::NO_CONTENT)
}

/// A reply of a few bytes of some media type.
pub(crate) fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(whole(body.into()));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// 200 with a body that comes bit by bit; each item is sent at once.
pub(crate) fn stream<S>(media_type: &'static str, items: S) -> Outcome
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    let mut reply = Response::new(StreamBody::new(items.map_ok(Frame::data)).boxed_unsync());
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(reply)
}

/// The reply of a failed call: `{"message": "..."}`, or nothing where HTTP allows no body.
pub(crate) fn failure(failure: &Failure) -> Reply {
    if failure.status == StatusCode::NOT_MODIFIED {
        let mut reply = Response::new(whole(Bytes::new()));
        *reply.status_mut() = failure.status;
        return reply;
    }
    let text = serde_json::to_string(&ErrorResponse::new(&failure.message)).unwrap_or_default() + "\n";
    with_type(failure.status, "application/json", text)
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}
