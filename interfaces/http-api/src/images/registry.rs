//! Registries: pull, push, login, search, and what a registry has under a name.

use std::sync::Arc;

use ::images::{Images, PullOptions, PushOptions};
use api_types::decode;
use api_types::descriptor::{Descriptor, Platform};
use api_types::image::{DistributionInspect, LoginReply};
use distribution::Credentials;
use distribution::search::Found;
use oci::reference::Reference;

use super::platforms::platform;
use super::transfer::told;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome};

/// A login's body is larger than this only by mistake.
const LOGIN_LIMIT: usize = 1 << 20;
/// Results of a search, if the client does not say how many.
const RESULTS: usize = 25;
/// The most that Docker Hub gives.
const MOST_RESULTS: i64 = 100;

/// Who asks: docker's header, which may be absent or empty. One that cannot be read is nobody, as it always was for
/// Docker: clients send whatever they have, also to registries that ask for nothing.
pub(super) fn credentials(call: &Call) -> Credentials {
    Credentials::from_header(call.header("x-registry-auth").unwrap_or_default()).unwrap_or_default()
}

pub(super) async fn pull(images: Arc<Images>, call: Call) -> Outcome {
    let mut options = PullOptions::new(call.query.text("fromImage"), call.query.text("tag"))?;
    options.platform = platform(call.version, call.query.text("platform"))?;
    options.credentials = credentials(&call);
    told(|progress| async move { images.pull(options, progress).await }).await
}

/// `POST /images/{name}/push`.
pub(crate) async fn push(images: Arc<Images>, call: Call) -> Outcome {
    if call.version.at_least(46) && !call.query.text("platform").is_empty() {
        // Docker's words: what is kept is one platform's layers, unpacked.
        return Err(Failure::bad(
            "graphdriver backed image store doesn't support multiple platforms",
        ));
    }
    let mut options = PushOptions::new(call.name(), call.query.text("tag"))?;
    options.credentials = credentials(&call);
    told(|progress| async move { images.push(options, progress).await }).await
}

/// `POST /auth`.
pub(crate) async fn login(images: Arc<Images>, mut call: Call) -> Outcome {
    #[derive(Default, serde::Deserialize)]
    struct Server {
        #[serde(default)]
        serveraddress: String,
    }
    let body = call.bytes(LOGIN_LIMIT).await?;
    let credentials = Credentials::from_json(&body)?;
    let server: Server =
        decode::from_slice(&body).map_err(|error| crate::call::invalid_json(&body, &error))?;
    let identity = images.login(&credentials, &server.serveraddress).await?;
    reply::ok(&LoginReply {
        identity_token: identity.unwrap_or_default(),
        status: "Login Succeeded".to_owned(),
    })
}

/// `GET /distribution/{name}/json`.
pub(crate) async fn distribution(images: Arc<Images>, call: Call) -> Outcome {
    let name = Reference::parse_docker(call.name())?;
    let found = images.inspect_remote(&name, &credentials(&call)).await?;
    let platform = |p: &oci::platform::Platform| Platform {
        architecture: p.architecture.clone(),
        os: p.os.clone(),
        variant: p.variant.clone().unwrap_or_default(),
        ..Platform::default()
    };
    reply::ok(&DistributionInspect {
        descriptor: Descriptor {
            media_type: found.descriptor.media_type.clone(),
            digest: found.descriptor.digest.to_string(),
            size: i64::try_from(found.descriptor.size).unwrap_or(i64::MAX),
            ..Descriptor::default()
        },
        platforms: found.platforms.iter().map(platform).collect(),
    })
}

/// `GET /images/search`.
pub(crate) async fn search(images: Arc<Images>, call: Call) -> Outcome {
    let limit = match call.query.number("limit")? {
        None | Some(0) => RESULTS,
        Some(n @ 1..=MOST_RESULTS) => usize::try_from(n).unwrap_or(RESULTS),
        Some(n) => {
            return Err(Failure::bad(format!(
                "invalid limit {n}: must be between 1 and {MOST_RESULTS}"
            )));
        }
    };
    let filters = call.query.filters()?;
    filters
        .accept_only(&["is-automated", "is-official", "stars"])
        .map_err(|error| Failure::bad(error.to_string()))?;
    let flag = |name: &str| match filters.contains(name) {
        true => filters
            .flag(name, false)
            .map(Some)
            .map_err(|error| Failure::bad(error.to_string())),
        false => Ok(None),
    };
    let (official, automated) = (flag("is-official")?, flag("is-automated")?);
    let mut stars = 0;
    for value in filters.values("stars") {
        let number: i64 = value
            .parse()
            .map_err(|_| Failure::bad(format!("invalid filter 'stars={value}'")))?;
        stars = stars.max(number);
    }
    let found = images
        .search(call.query.text("term"), limit, &credentials(&call))
        .await?;
    let search = Search {
        official,
        automated,
        stars,
    };
    let found: Vec<Found> = found
        .into_iter()
        .filter(|found| search.wants(found))
        .map(|found| Found {
            is_automated: false,
            ..found
        })
        .collect();
    reply::ok(&found)
}

/// Which results of a search are wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    official: Option<bool>,
    automated: Option<bool>,
    stars: i64,
}

impl Search {
    /// There are no automated builds any more: nothing passes where they are wanted, everything where they are not.
    fn wants(self, found: &Found) -> bool {
        self.automated != Some(true)
            && self.official.is_none_or(|wanted| found.is_official == wanted)
            && found.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_result_of_a_search_counts_as_automated() {
        let found = Found {
            star_count: 3,
            is_automated: true,
            ..Found::default()
        };
        let automated = |wanted| Search {
            automated: Some(wanted),
            ..Search::default()
        };
        assert!(!automated(true).wants(&found) && automated(false).wants(&found));
        let official = Search {
            official: Some(true),
            ..Search::default()
        };
        let liked = |stars| Search {
            stars,
            ..Search::default()
        };
        assert!(!official.wants(&found) && liked(3).wants(&found) && !liked(4).wants(&found));
    }
}
