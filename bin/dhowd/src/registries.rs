//! What the configuration says about registries: in the words of the images, and of `docker info`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_types::system::{IndexInfo, RegistryConfig};
use distribution::{Demand, Mirror, Proxies, SignatureRule};
use images::RegistryOptions;
use ipnet::IpNet;
use signatures::PublicKey;

use crate::config::{ConfigError, Settings, SignatureDemand};

/// Docker Hub, as references name it.
const HUB: &str = "docker.io";

/// Refuses what cannot be meant.
pub(crate) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let invalid = |text: String| Err(ConfigError::Invalid(text));
    let prefixed = settings.registry_mirror_prefixes.values().flatten();
    for mirror in settings.registry_mirrors.iter().chain(prefixed) {
        let Some((scheme, rest)) = mirror.split_once("://") else {
            return invalid(format!(
                "invalid mirror: no scheme specified for {mirror:?}: must use either 'https://' or 'http://'"
            ));
        };
        if !matches!(scheme, "http" | "https") || rest.is_empty() || rest.contains(['?', '#', '@']) {
            return invalid(format!(
                "invalid mirror: {mirror:?} is not http(s)://HOST[:PORT][/PATH]"
            ));
        }
    }
    for registry in &settings.insecure_registries {
        if bare(registry).contains('/') && bare(registry).parse::<IpNet>().is_err() {
            return invalid(format!(
                "insecure registry {registry} is not valid: it is neither host[:port] nor a CIDR"
            ));
        }
    }
    for (prefix, value) in &settings.signature_policy {
        demand(prefix, value)?;
    }
    for (name, number, least) in [
        ("max concurrent downloads", settings.max_concurrent_downloads, 0),
        ("max concurrent uploads", settings.max_concurrent_uploads, 0),
        ("max download attempts", settings.max_download_attempts, 1),
    ] {
        if number.is_some_and(|n| n < least || n > 1000) {
            return invalid(format!("invalid {name}: {}", number.unwrap_or_default()));
        }
    }
    Ok(())
}

/// What `signature-policy` says of one prefix; the keys are read.
fn demand(prefix: &str, value: &SignatureDemand) -> Result<Demand, ConfigError> {
    let invalid =
        |why: String| ConfigError::Invalid(format!("invalid signature-policy for {prefix:?}: {why}"));
    let paths = match value {
        SignatureDemand::Word(word) => {
            return match word.as_str() {
                "accept" => Ok(Demand::Nothing),
                "reject" => Ok(Demand::Refuse),
                other => Err(invalid(format!(
                    "{other:?} is neither \"accept\" nor \"reject\" nor {{\"keys\": [...]}}"
                ))),
            };
        }
        SignatureDemand::Signed { keys } => keys,
    };
    if paths.is_empty() {
        return Err(invalid("it names no keys".to_owned()));
    }
    let key = |path: &PathBuf| {
        let failed = |why: String| invalid(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        PublicKey::from_pem(&text).map_err(|error| failed(error.to_string()))
    };
    Ok(Demand::SignedBy(paths.iter().map(key).collect::<Result<_, _>>()?))
}

/// Without a scheme, which docker passes over.
fn bare(registry: &str) -> &str {
    registry
        .trim_start_matches("https://")
        .trim_start_matches("http://")
}

/// What the images are told.
pub(crate) fn options(settings: &Settings) -> RegistryOptions {
    let mut registries = distribution::Settings::new(concat!("dhow/", env!("CARGO_PKG_VERSION")));
    let mirror = |prefix: &str, url: &String| Mirror {
        prefix: prefix.to_owned(),
        url: url.clone(),
    };
    // The longer a prefix, the more it is meant.
    let mut prefixes: Vec<_> = settings.registry_mirror_prefixes.iter().collect();
    prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    for (prefix, urls) in prefixes {
        registries
            .mirrors
            .extend(urls.iter().map(|url| mirror(prefix, url)));
    }
    registries
        .mirrors
        .extend(settings.registry_mirrors.iter().map(|url| mirror(HUB, url)));
    registries.insecure = settings
        .insecure_registries
        .iter()
        .map(|r| bare(r).to_owned())
        .collect();
    registries.blocked.clone_from(&settings.blocked_registries);
    registries.signatures = settings
        .signature_policy
        .iter()
        .map(|(prefix, value)| SignatureRule {
            prefix: prefix.clone(),
            // It was good a moment ago; what cannot be read now opens nothing.
            demand: demand(prefix, value).unwrap_or(Demand::Refuse),
        })
        .collect();
    registries.proxies = proxies(settings);
    if let Some(attempts) = settings.max_download_attempts.and_then(|n| u32::try_from(n).ok()) {
        registries.limits.attempts = attempts;
    }
    let number = |n: Option<i64>| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    RegistryOptions {
        settings: registries,
        downloads: number(settings.max_concurrent_downloads),
        uploads: number(settings.max_concurrent_uploads),
    }
}

/// The configuration before the environment.
fn proxies(settings: &Settings) -> Proxies {
    let one = |key: &str, own: &str, names: [&str; 2]| {
        let nested = settings.proxies.get(key).map_or("", String::as_str);
        [own, nested]
            .into_iter()
            .find(|v| !v.is_empty())
            .map(str::to_owned)
            .unwrap_or_else(|| {
                names
                    .iter()
                    .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
                    .unwrap_or_default()
            })
    };
    Proxies {
        http: one("http-proxy", &settings.http_proxy, ["HTTP_PROXY", "http_proxy"]),
        https: one(
            "https-proxy",
            &settings.https_proxy,
            ["HTTPS_PROXY", "https_proxy"],
        ),
        none_for: one("no-proxy", &settings.no_proxy, ["NO_PROXY", "no_proxy"]),
    }
}

/// What `docker info` shows.
pub(crate) fn info(settings: &Settings) -> RegistryConfig {
    let index = |name: &str, mirrors: Vec<String>, secure: bool| IndexInfo {
        name: name.to_owned(),
        mirrors,
        secure,
        official: name == HUB,
    };
    let with_slash = |url: &String| format!("{}/", url.trim_end_matches('/'));
    let mirrors: Vec<String> = settings.registry_mirrors.iter().map(with_slash).collect();
    let mut indexes = BTreeMap::from([(HUB.to_owned(), index(HUB, mirrors.clone(), true))]);
    let mut networks = vec!["::1/128".to_owned(), "127.0.0.0/8".to_owned()];
    for registry in settings.insecure_registries.iter().map(|r| bare(r)) {
        if registry.parse::<IpNet>().is_ok() {
            networks.push(registry.to_owned());
        } else {
            indexes.insert(registry.to_owned(), index(registry, Vec::new(), false));
        }
    }
    RegistryConfig {
        insecure_registry_cidrs: networks,
        index_configs: indexes,
        mirrors: Some(mirrors).filter(|m| !m.is_empty()),
        ..RegistryConfig::default()
    }
}
