//! Whether a name and a password are good, and the token that may stand for them.

use std::sync::Arc;

use hyper::Method;

use crate::access::{Access, Intent};
use crate::challenge::Challenge;
use crate::credentials::Credentials;
use crate::endpoint::domain_of_server;
use crate::error::DistributionError;
use crate::session::Outgoing;
use crate::settings::Settings;

/// Logs in at `server` (`host[:port]`, a URL, or empty for Docker Hub); the identity token, if the server gives one.
///
/// # Errors
/// [`DistributionError::Unauthorized`] for wrong ones, and what can go wrong on the way.
pub async fn login(
    settings: &Arc<Settings>,
    credentials: &Credentials,
    server: &str,
) -> Result<Option<String>, DistributionError> {
    let domain = domain_of_server(server);
    // Any name does: nothing is asked about a repository.
    let name = oci::reference::Reference::parse(&format!("{domain}/login")).map_err(|error| {
        DistributionError::Protocol {
            url: server.to_owned(),
            reason: error.to_string(),
        }
    })?;
    let access = Access::open(settings, credentials, &name, Intent::Push).await?;
    let url = access.endpoint.url("");
    let trust = access.trust();
    let session = &access.session;
    let mut identity = None;
    if let Some(Challenge::Bearer { realm, service, .. }) = session.wanted(&url) {
        let granted = session
            .ask(&url, &realm, &service, "", true, &trust)
            .await
            .map_err(wrong)?;
        identity = Some(granted.refresh_token).filter(|token| !token.is_empty());
    }
    let outgoing = Outgoing::new(Method::GET, url);
    let answer = session.send_authorized(outgoing, "", &trust).await?;
    answer.check().await.map_err(wrong)?.discard().await;
    Ok(identity)
}

/// Token services call it by several names.
fn wrong(error: DistributionError) -> DistributionError {
    match error {
        DistributionError::Unauthorized { url, reason } => DistributionError::Unauthorized {
            url,
            reason: match reason.as_str() {
                "authentication required" => "incorrect username or password".to_owned(),
                _ => reason,
            },
        },
        other => other,
    }
}
