//! From a request's path to its handler: version prefix, route table, headers of every reply.

use std::future::Future;
use std::pin::Pin;

use api_types::ApiVersion;
use fault::Kind;
use hyper::header::{HeaderName, HeaderValue, SERVER};
use hyper::{Method, Request, StatusCode};

use crate::body::RequestBody;
use crate::call::Call;
use crate::error::Failure;
use crate::hijack::Hijacker;
use crate::query::{Query, unescape};
use crate::reply::{self, Outcome, Reply};
use crate::routes::{Api, ROUTES};

/// A handler's future.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One line of the route table.
pub(crate) struct Route {
    /// Method of the request.
    pub(crate) method: Method,
    /// Path with `{name}` for parts that may be anything, slashes included.
    pub(crate) path: &'static str,
    /// What answers.
    pub(crate) handler: fn(&Api, Call) -> Pending,
}

impl Api {
    /// Answers one request.
    pub(crate) async fn handle(&self, request: Request<RequestBody>, hijacker: Hijacker) -> Reply {
        let mut reply = match self.dispatch(request, hijacker).await {
            Ok(reply) => reply,
            Err(failure) => reply::failure(&failure),
        };
        let headers = reply.headers_mut();
        let fixed = |name: &'static str| HeaderName::from_static(name);
        headers.insert(fixed("api-version"), HeaderValue::from_static("1.56"));
        headers.insert(fixed("docker-experimental"), HeaderValue::from_static("false"));
        headers.insert(fixed("ostype"), HeaderValue::from_static("linux"));
        headers.insert(
            SERVER,
            HeaderValue::from_static(concat!("Dhow/", env!("CARGO_PKG_VERSION"), " (linux)")),
        );
        reply
    }

    async fn dispatch(&self, request: Request<RequestBody>, hijacker: Hijacker) -> Outcome {
        let (parts, body) = request.into_parts();
        let path = unescape(parts.uri.path(), false).ok_or_else(|| Failure::bad("malformed path"))?;
        let (version, path) = split_version(&path);
        if parts.method == Method::OPTIONS {
            return reply::empty(StatusCode::OK);
        }
        let (route, names) = find(&parts.method, path).ok_or_else(not_found)?;
        let version = match version {
            Some(text) => in_window(text, self.daemon.api_floor)?,
            None => ApiVersion::MAX,
        };
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let names = names.into_iter().map(str::to_owned).collect();
        let call = Call {
            version,
            names,
            query,
            headers: parts.headers,
            body,
            hijacker,
        };
        (route.handler)(self, call).await
    }
}

fn not_found() -> Failure {
    Failure::new(Kind::NotFound, "page not found")
}

/// Splits `/v1.50/info` into `1.50` and `/info`; a path without a version stays as it is.
fn split_version(path: &str) -> (Option<&str>, &str) {
    let Some(rest) = path.strip_prefix("/v") else {
        return (None, path);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (version, tail) = rest.split_at(end);
    let numeric = version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric {
        (Some(version), tail)
    } else {
        (None, path)
    }
}

/// The version asked for, if this daemon serves it; the texts are Docker's.
fn in_window(text: &str, floor: ApiVersion) -> Result<ApiVersion, Failure> {
    // As in Docker `1` is 1.0, and what is no number counts as too new.
    let mut parts = text.split('.').map(|p| {
        if p.is_empty() {
            0
        } else {
            p.parse().unwrap_or(u16::MAX)
        }
    });
    let version = ApiVersion::new(parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < floor {
        return Err(Failure::bad(format!(
            "client version {text} is too old. Minimum supported API version is {floor}, please upgrade your client to a newer version"
        )));
    }
    if version > ApiVersion::MAX {
        return Err(Failure::bad(format!(
            "client version {text} is too new. Maximum supported API version is {}",
            ApiVersion::MAX
        )));
    }
    Ok(version)
}

/// The first route that fits, and what its `{...}` stand for.
fn find<'p>(method: &Method, path: &'p str) -> Option<(&'static Route, Vec<&'p str>)> {
    ROUTES
        .iter()
        .filter(|r| r.method == *method)
        .find_map(|r| Some((r, matches(r.path, path)?)))
}

/// Matches a path with a pattern of one or two `{...}`; the first takes as much as it can.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return (pattern == path).then(Vec::new);
    };
    let (_, after) = rest.split_once('}')?;
    let tail = path.strip_prefix(before)?;
    if let Some((middle, _)) = after.split_once('{') {
        let at = tail.rfind(middle)?;
        let (first, second) = (&tail[..at], &tail[at + middle.len()..]);
        return (!first.is_empty() && !second.is_empty()).then(|| vec![first, second]);
    }
    let name = tail.strip_suffix(after)?;
    (!name.is_empty()).then(|| vec![name])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &str) -> Option<(&'static str, Vec<&str>)> {
        find(&method, path).map(|(r, names)| (r.path, names))
    }

    #[test]
    fn the_version_prefix_is_split_off_only_where_there_is_one() {
        for (path, version, rest) in [
            ("/v1.50/info", Some("1.50"), "/info"),
            ("/info", None, "/info"),
            ("/version", None, "/version"),
            ("/volumes", None, "/volumes"),
            ("/v1.50", Some("1.50"), ""),
            ("/v1.x/info", None, "/v1.x/info"),
        ] {
            assert_eq!(split_version(path), (version, rest), "{path}");
        }
    }

    #[test]
    fn versions_outside_the_window_are_refused_in_dockers_words() {
        let text = |v| in_window(v, ApiVersion::MIN).unwrap_err().message;
        assert_eq!(
            text("1.57"),
            "client version 1.57 is too new. Maximum supported API version is 1.56"
        );
        assert_eq!(
            text("1.23"),
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert!(text("1").contains("too old") && text("99999999.1").contains("too new"));
        assert_eq!(in_window("1.24", ApiVersion::MIN).unwrap(), ApiVersion::MIN);
    }

    #[test]
    fn literal_paths_win_over_names() {
        assert_eq!(
            route(Method::GET, "/containers/json"),
            Some(("/containers/json", vec![]))
        );
        assert_eq!(route(Method::GET, "/images/get"), Some(("/images/get", vec![])));
        assert_eq!(
            route(Method::GET, "/images/get/get"),
            Some(("/images/{name}/get", vec!["get"]))
        );
    }

    #[test]
    fn names_may_contain_slashes() {
        let name = "registry.example/team/app:1.0";
        let path = format!("/images/{name}/json");
        assert_eq!(
            route(Method::GET, &path),
            Some(("/images/{name}/json", vec![name]))
        );
        assert_eq!(
            route(Method::DELETE, "/images/a/b"),
            Some(("/images/{name}", vec!["a/b"]))
        );
        assert_eq!(
            matches("/c/{a}/checkpoints/{b}", "/c/x/checkpoints/y"),
            Some(vec!["x", "y"])
        );
    }

    #[test]
    fn what_is_in_no_route_is_not_found() {
        assert!(route(Method::GET, "/containers//json").is_none());
        assert!(route(Method::PUT, "/containers/json").is_none());
        assert!(route(Method::GET, "/nonsense").is_none());
        assert!(route(Method::POST, "/containers/x/copy").is_none());
    }
}
