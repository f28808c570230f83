//! What the one who configures a daemon may say about registries.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::policy::SignatureRule;
use crate::proxy::Proxies;

/// A place that is asked before the registry itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Which repositories it stands for: a registry (`docker.io`), or a registry with the beginning of a path
    /// (`docker.io/library`).
    pub prefix: String,
    /// Its address: `http://host:port` or `https://host[:port][/path]`.
    pub url: String,
}

/// How long to wait, and how often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// For the head of an answer.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub stall: Duration,
    /// How often a request is made before it has failed; what makes progress counts from the beginning.
    pub attempts: u32,
    /// Before the second attempt; doubled for each further one.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(120),
            stall: Duration::from_secs(60),
            attempts: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

/// How the names of hosts become addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// As every program of this machine does.
    #[default]
    System,
    /// These and no others; a host may stand with its port (`registry-1.docker.io:443`).
    Fixed(BTreeMap<String, SocketAddr>),
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Asked in this order, of those whose prefix fits.
    pub mirrors: Vec<Mirror>,
    /// Registries (`host[:port]` or a CIDR of addresses) whose certificates are not checked, and that may speak plain HTTP.
    /// This machine itself always may.
    pub insecure: Vec<String>,
    /// Prefixes (`registry`, `registry/path`) that must not be used.
    pub blocked: Vec<String>,
    /// What must be signed before it is pulled.
    pub signatures: Vec<SignatureRule>,
    /// Folders with one folder per registry: `HOST[:PORT]/*.crt` and `*.cert` with `*.key`.
    pub certificates: Vec<PathBuf>,
    /// Proxies.
    pub proxies: Proxies,
    /// Who resolves names.
    pub names: Names,
    /// Patience.
    pub limits: Limits,
    /// What the server is told about us.
    pub user_agent: String,
}

impl Settings {
    /// The settings of a daemon without configuration.
    pub fn new(user_agent: &str) -> Self {
        Self {
            certificates: vec!["/etc/docker/certs.d".into(), "/etc/dhow/certs.d".into()],
            user_agent: user_agent.to_owned(),
            ..Self::default()
        }
    }

    /// Whether a registry `host[:port]` may be spoken to without a proof of who it is.
    pub fn is_insecure(&self, domain: &str) -> bool {
        let host = host_of(domain);
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
            return true;
        }
        self.insecure.iter().any(|rule| match rule.parse::<IpNet>() {
            Ok(net) => address.is_some_and(|ip| net.contains(&ip)),
            Err(_) => rule == domain,
        })
    }

    /// The rule that forbids a repository (`registry/path`).
    pub(crate) fn blocking_rule(&self, name: &str) -> Option<&str> {
        let rule = self.blocked.iter().find(|rule| is_below(name, rule));
        rule.map(String::as_str)
    }

    /// The line of the policy on signatures that counts for a repository (`registry/path`).
    pub(crate) fn signature_rule(&self, name: &str) -> Option<&SignatureRule> {
        let fitting = self.signatures.iter().filter(|rule| is_below(name, &rule.prefix));
        fitting.max_by_key(|rule| rule.prefix.len())
    }
}

/// Whether `name` is the prefix, or lies below it.
pub(crate) fn is_below(name: &str, prefix: &str) -> bool {
    match name.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
        None => prefix == "*",
    }
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
pub(crate) fn host_of(domain: &str) -> &str {
    if let Some(rest) = domain.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match domain.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => domain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_what_is_listed_is_insecure() {
        let mut settings = Settings::new("test");
        settings.insecure = vec!["reg.example:5000".to_owned(), "10.0.0.0/8".to_owned()];
        let check = |domain: &str, expected| assert_eq!(settings.is_insecure(domain), expected, "{domain}");
        check("localhost:5000", true);
        check("127.0.0.9", true);
        check("[::1]:5000", true);
        check("reg.example:5000", true);
        check("reg.example", false);
        check("10.1.2.3:80", true);
        check("11.1.2.3:80", false);
        check("docker.io", false);
    }

    #[test]
    fn a_prefix_ends_where_a_component_ends() {
        let check = |name: &str, prefix: &str, expected| {
            assert_eq!(is_below(name, prefix), expected, "{name} below {prefix}");
        };
        check("docker.io/library/a", "docker.io", true);
        check("docker.io/library/a", "docker.io/library", true);
        check("docker.io/library/a", "docker.io/lib", false);
        check("docker.io.evil/a", "docker.io", false);
        check("anything/a", "*", true);
    }
}
