//! From a path to what it names. Everything that a client writes into a path is checked here and nowhere else.

use hyper::Method;
use oci::digest::Digest;
use oci::reference::{is_repository, is_tag};

use crate::auth::Action;
use crate::error::{Code, Failure};
use crate::query::{Query, unescape};

/// What names a manifest in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// What a path stands for; the texts are names of repositories, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(String),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(String, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(String, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(String),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(String, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(String, Digest),
    /// `/token`
    Token,
    /// `/health`
    Health,
    /// `/metrics`
    Metrics,
}

impl Route {
    /// Reads a path as it stands in the request.
    pub(crate) fn parse(path: &str) -> Result<Self, Failure> {
        let path = unescape(path, false).ok_or_else(nowhere)?;
        if path == "/v2" || path == "/v2/" {
            return Ok(Self::Base);
        }
        match path.as_str() {
            "/token" => return Ok(Self::Token),
            "/health" => return Ok(Self::Health),
            "/metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or_else(nowhere)?;
        if rest == "_catalog" {
            return Ok(Self::Catalog);
        }
        let mut parts = rest.rsplitn(4, '/');
        let (last, second, third, front) = (parts.next(), parts.next(), parts.next(), parts.next());
        let join = |front: Option<&str>, part: Option<&str>| match (front, part) {
            (Some(front), Some(part)) => format!("{front}/{part}"),
            (None, Some(part)) => part.to_owned(),
            _ => String::new(),
        };
        match (front, third, second, last) {
            (Some(front), Some("blobs"), Some("uploads"), Some("")) => {
                Ok(Self::Uploads(name(front.to_owned())?))
            }
            (Some(front), Some("blobs"), Some("uploads"), Some(id)) => {
                Ok(Self::Upload(name(front.to_owned())?, id.to_owned()))
            }
            (front, third, Some("blobs"), Some("uploads")) => Ok(Self::Uploads(name(join(front, third))?)),
            (front, third, Some("tags"), Some("list")) => Ok(Self::Tags(name(join(front, third))?)),
            (front, third, Some("blobs"), Some(text)) => {
                Ok(Self::Blob(name(join(front, third))?, digest(text)?))
            }
            (front, third, Some("referrers"), Some(text)) => {
                Ok(Self::Referrers(name(join(front, third))?, digest(text)?))
            }
            (front, third, Some("manifests"), Some(text)) => {
                Ok(Self::Manifest(name(join(front, third))?, reference(text)?))
            }
            _ => Err(nowhere()),
        }
    }
}

impl Route {
    /// What requests to it are counted by: a place in `metrics::KINDS`.
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Base => 0,
            Self::Catalog => 1,
            Self::Tags(_) => 2,
            Self::Manifest(..) => 3,
            Self::Blob(..) => 4,
            Self::Uploads(_) | Self::Upload(..) => 5,
            Self::Referrers(..) => 6,
            Self::Token => 7,
            Self::Health | Self::Metrics => 9,
        }
    }

    /// The repository that it is in.
    pub(crate) fn repository(&self) -> Option<&str> {
        match self {
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => Some(name),
            _ => None,
        }
    }

    /// The same in another repository.
    pub(crate) fn in_repository(mut self, other: String) -> Self {
        match &mut self {
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => *name = other,
            _ => {}
        }
        self
    }

    /// What one must be allowed to do with which repository for it.
    pub(crate) fn needs(&self, method: &Method, query: &Query) -> Vec<(String, Action)> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Base | Self::Catalog | Self::Token | Self::Health | Self::Metrics => Vec::new(),
            Self::Tags(name) | Self::Referrers(name, _) => vec![(name.clone(), Action::Pull)],
            Self::Manifest(name, _) | Self::Blob(name, _) if reads => vec![(name.clone(), Action::Pull)],
            Self::Manifest(name, _) | Self::Blob(name, _) if method == Method::DELETE => {
                vec![(name.clone(), Action::Delete)]
            }
            Self::Uploads(name) => {
                let mut needs = vec![(name.clone(), Action::Push)];
                // What is mounted is read there.
                let from = query.get("from").filter(|_| query.get("mount").is_some());
                needs.extend(from.map(|from| (from.to_owned(), Action::Pull)));
                needs
            }
            Self::Manifest(name, _) | Self::Blob(name, _) | Self::Upload(name, _) => {
                vec![(name.clone(), Action::Push)]
            }
        }
    }
}

fn nowhere() -> Failure {
    Failure::new(Code::Unsupported, "there is nothing at this path").with_status(hyper::StatusCode::NOT_FOUND)
}

/// Checks the name of a repository.
pub(crate) fn name(text: String) -> Result<String, Failure> {
    if is_repository(&text) {
        return Ok(text);
    }
    let wrong = "invalid repository name: up to 255 lower-case letters and digits, separated by . _ - and /";
    Err(Failure::new(Code::NameInvalid, wrong).about(text))
}

/// Checks a digest of content that may be kept here.
pub(crate) fn digest(text: &str) -> Result<Digest, Failure> {
    let refused = |message: String| Failure::new(Code::DigestInvalid, message).about(text);
    match text.parse::<Digest>() {
        Ok(digest) if digest.algorithm() == oci::digest::Algorithm::Sha256 => Ok(digest),
        Ok(_) => Err(refused(
            "unsupported digest algorithm: sha256 is kept here".to_owned(),
        )),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn reference(text: &str) -> Result<Reference, Failure> {
    if text.contains(':') {
        return digest(text).map(Reference::Digest);
    }
    if is_tag(text) {
        return Ok(Reference::Tag(text.to_owned()));
    }
    Err(Failure::new(Code::ManifestInvalid, "invalid tag").about(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_path_of_the_protocol_is_understood() {
        let digest: Digest = DIGEST.parse().unwrap();
        let name = |text: &str| text.to_owned();
        for (path, expected) in [
            ("/v2".to_owned(), Route::Base),
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/a/tags/list".to_owned(), Route::Tags(name("a"))),
            ("/v2/a/b/c/tags/list".to_owned(), Route::Tags(name("a/b/c"))),
            (
                "/v2/a/manifests/latest".to_owned(),
                Route::Manifest(name("a"), Reference::Tag(name("latest"))),
            ),
            (
                format!("/v2/blobs/manifests/{DIGEST}").replace(':', "%3A"),
                Route::Manifest(name("blobs"), Reference::Digest(digest.clone())),
            ),
            (
                format!("/v2/tags/blobs/{DIGEST}"),
                Route::Blob(name("tags"), digest.clone()),
            ),
            ("/v2/a/blobs/uploads/".to_owned(), Route::Uploads(name("a"))),
            ("/v2/a/b/blobs/uploads".to_owned(), Route::Uploads(name("a/b"))),
            (
                "/v2/a/blobs/uploads/1-2".to_owned(),
                Route::Upload(name("a"), name("1-2")),
            ),
            (
                format!("/v2/x/y/referrers/{DIGEST}"),
                Route::Referrers(name("x/y"), digest),
            ),
        ] {
            assert_eq!(Route::parse(&path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn tricks_in_paths_lead_nowhere() {
        for path in [
            "/",
            "/v1/",
            "/v2/a",
            "/v2/../etc/manifests/x",
            "/v2/a/../b/manifests/latest",
            "/v2/a%2f..%2fb/manifests/latest",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%00",
            "/v2/a/manifests/x%2fy",
            "/v2//manifests/latest",
            "/v2/manifests/latest",
            "/v2/a//manifests/latest",
            "/v2/A/manifests/latest",
            "/v2/a/blobs/sha256:abc",
            "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
            "/v2/a/blobs/sha256:../../../../etc/passwd",
            "/v2/a/referrers/latest",
            "/v2/blobs/uploads/",
            "/v2/a/manifests/%zz",
        ] {
            let failure = Route::parse(path).unwrap_err();
            assert!(failure.status.is_client_error(), "{path}");
        }
    }
}
