//! Searching for repositories: Docker Hub's own way, and for other registries their catalogue.

use std::sync::Arc;

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::access::{is_absent, next_page};
use crate::credentials::Credentials;
use crate::endpoint::endpoints;
use crate::error::DistributionError;
use crate::session::{Outgoing, Session, Trust};
use crate::settings::Settings;
use crate::url::Url;

/// A list of results is larger than this only by mistake.
const LIMIT: usize = 8 << 20;
/// Names of a catalogue on one page: distribution's registry gives no more.
const PAGE: &str = "1000";
/// More pages are not read.
const MOST_PAGES: usize = 100;
/// Where Docker Hub is searched.
const HUB: &str = "https://index.docker.io/v1/search";

/// One repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// How often it was liked.
    pub star_count: i64,
    /// Whether it is one of Docker's own.
    pub is_official: bool,
    /// Its name.
    pub name: String,
    /// Gone from Docker Hub; always false.
    pub is_automated: bool,
    /// A line about it.
    pub description: String,
}

/// Searches the registry `domain` (`docker.io` or `host[:port]`) for `term`.
///
/// # Errors
/// [`DistributionError`].
pub async fn search(
    settings: &Arc<Settings>,
    credentials: &Credentials,
    domain: &str,
    term: &str,
    limit: usize,
) -> Result<Vec<Found>, DistributionError> {
    #[derive(Deserialize)]
    struct Results {
        #[serde(default)]
        results: Vec<Found>,
    }
    let session = Session::new(Arc::clone(settings), credentials.clone());
    let places = if domain == "docker.io" {
        vec![(
            Url::parse(HUB)?,
            Trust {
                verify: true,
                folders: vec![domain.to_owned()],
            },
        )]
    } else {
        let found = endpoints(settings, domain, "", false)?;
        found
            .iter()
            .map(|e| {
                (
                    Url {
                        path: "/v1/search".to_owned(),
                        ..e.base.clone()
                    },
                    Trust::of(e),
                )
            })
            .collect()
    };
    let mut last = None;
    for (place, trust) in places {
        let url = place.clone().with("q", term).with("n", &limit.to_string());
        let asked = match session
            .send_authorized(Outgoing::new(Method::GET, url), "", &trust)
            .await
        {
            Ok(answer) => answer.check().await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(mut answer) => {
                let text = answer.bytes(LIMIT).await?;
                let results: Results = serde_json::from_slice(&text)
                    .map_err(|error| answer.protocol(format!("the results cannot be read: {error}")))?;
                return Ok(results.results.into_iter().take(limit).collect());
            }
            // A registry of today has no search, but most have a catalogue.
            Err(error) if is_absent(&error) && domain != "docker.io" => {
                return catalogue(&session, &place, &trust, term, limit).await;
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| DistributionError::NameUnknown(domain.to_owned())))
}

async fn catalogue(
    session: &Arc<Session>,
    place: &Url,
    trust: &Trust,
    term: &str,
    limit: usize,
) -> Result<Vec<Found>, DistributionError> {
    #[derive(Deserialize)]
    struct Catalogue {
        #[serde(default)]
        repositories: Vec<String>,
    }
    let mut next = Some(
        Url {
            path: "/v2/_catalog".to_owned(),
            ..place.clone()
        }
        .with("n", PAGE),
    );
    let mut found = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(url) = next.take().filter(|_| found.len() < limit) else {
            break;
        };
        let outgoing = Outgoing::new(Method::GET, url.clone());
        let sent = session
            .send_authorized(outgoing, "registry:catalog:*", trust)
            .await?;
        let mut answer = sent.check().await?;
        let text = answer.bytes(LIMIT).await?;
        let catalogue: Catalogue = serde_json::from_slice(&text)
            .map_err(|error| answer.protocol(format!("the catalogue cannot be read: {error}")))?;
        if let Some(link) = answer.header("link").and_then(next_page) {
            next = Some(url.join(link)?).filter(|page| page.same_origin(&url));
        }
        let fitting = catalogue
            .repositories
            .into_iter()
            .filter(|name| name.contains(term));
        found.extend(fitting.map(|name| Found {
            name: format!("{}/{name}", place.authority()),
            ..Found::default()
        }));
    }
    found.truncate(limit);
    Ok(found)
}
