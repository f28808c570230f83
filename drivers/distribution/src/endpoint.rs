//! Where a repository may be found: its mirrors, and the registry itself.

use crate::error::DistributionError;
use crate::settings::{Settings, is_below};
use crate::url::Url;

/// The registry that is meant when none is named.
const DOCKER_HUB: &str = "docker.io";
/// Where its protocol is spoken.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The place: its path ends before `/v2/`.
    pub(crate) base: Url,
    /// Whether its certificate is checked.
    pub(crate) verify: bool,
    /// Whether it only stands in for another one.
    pub(crate) mirror: bool,
    /// Names of its folders with certificates.
    pub(crate) folders: Vec<String>,
}

impl Endpoint {
    /// The URL of something below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.path = format!("{}/v2/{path}", self.base.path.trim_end_matches('/'));
        url
    }
}

/// The places of a repository, the best first; mirrors only if they may answer.
pub(crate) fn endpoints(
    settings: &Settings,
    domain: &str,
    path: &str,
    mirrors: bool,
) -> Result<Vec<Endpoint>, DistributionError> {
    let name = format!("{domain}/{path}");
    if let Some(rule) = settings.blocking_rule(&name) {
        return Err(DistributionError::Blocked {
            rule: rule.to_owned(),
            name,
        });
    }
    let mut found = Vec::new();
    for mirror in settings
        .mirrors
        .iter()
        .filter(|m| mirrors && is_below(&name, &m.prefix))
    {
        let base = Url::parse(&mirror.url)?;
        let domain = base.authority();
        found.push(Endpoint {
            verify: !settings.is_insecure(&domain),
            mirror: true,
            folders: vec![domain],
            base,
        });
    }
    let insecure = settings.is_insecure(domain);
    let host = if domain == DOCKER_HUB {
        DOCKER_HUB_HOST
    } else {
        domain
    };
    let own = |scheme: &str| -> Result<Endpoint, DistributionError> {
        let mut folders = vec![domain.to_owned()];
        if host != domain {
            folders.push(host.to_owned());
        }
        Ok(Endpoint {
            base: Url::parse(&format!("{scheme}://{host}"))?,
            verify: !insecure,
            mirror: false,
            folders,
        })
    };
    found.push(own("https")?);
    if insecure {
        found.push(own("http")?);
    }
    Ok(found)
}

/// `host[:port]` of what a person writes as a registry: `https://index.docker.io/v1/`, `localhost:5000`.
pub(crate) fn domain_of_server(address: &str) -> String {
    let bare = address
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let domain = bare.split('/').next().unwrap_or_default();
    match domain {
        "" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        domain => domain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Mirror;

    fn places(settings: &Settings, domain: &str, path: &str) -> Vec<String> {
        let found = endpoints(settings, domain, path, true).unwrap();
        found.iter().map(|e| e.url("x").to_string()).collect()
    }

    #[test]
    fn docker_io_is_found_where_it_is_and_mirrors_come_first() {
        let mut settings = Settings::new("t");
        assert_eq!(
            places(&settings, "docker.io", "library/a"),
            ["https://registry-1.docker.io/v2/x"]
        );
        settings.mirrors = vec![
            Mirror {
                prefix: "docker.io".to_owned(),
                url: "http://m:5000/hub/".to_owned(),
            },
            Mirror {
                prefix: "quay.io/team".to_owned(),
                url: "https://n".to_owned(),
            },
        ];
        assert_eq!(
            places(&settings, "docker.io", "library/a"),
            ["http://m:5000/hub/v2/x", "https://registry-1.docker.io/v2/x"]
        );
        assert_eq!(places(&settings, "quay.io", "other/a"), ["https://quay.io/v2/x"]);
        assert_eq!(
            places(&settings, "quay.io", "team/a"),
            ["https://n/v2/x", "https://quay.io/v2/x"]
        );
        assert_eq!(
            places(&settings, "localhost:5000", "a"),
            ["https://localhost:5000/v2/x", "http://localhost:5000/v2/x"]
        );
    }

    #[test]
    fn what_is_blocked_has_no_place() {
        let mut settings = Settings::new("t");
        settings.blocked = vec!["evil.example".to_owned()];
        let error = endpoints(&settings, "evil.example", "a", true).unwrap_err();
        assert!(error.to_string().contains("evil.example/a is blocked"), "{error}");
    }

    #[test]
    fn servers_are_named_in_many_ways() {
        let check = |text: &str, expected: &str| assert_eq!(domain_of_server(text), expected, "{text}");
        check("", "docker.io");
        check("https://index.docker.io/v1/", "docker.io");
        check("http://localhost:5000", "localhost:5000");
        check("reg.example/v2/", "reg.example");
    }
}
