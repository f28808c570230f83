//! Proxies: which one, and for whom none.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::url::Url;

/// Addresses of proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`; empty for none.
    pub http: String,
    /// For `https://`; empty for none.
    pub https: String,
    /// Hosts, domains (with all below them), addresses and networks that are reached directly, separated by commas.
    pub none_for: String,
}

impl Proxies {
    /// The proxy for a URL; this machine itself never needs one.
    pub(crate) fn find(&self, url: &Url) -> Option<&str> {
        let proxy = if url.tls { &self.https } else { &self.http };
        if proxy.is_empty() || self.is_direct(url) {
            return None;
        }
        Some(proxy)
    }

    fn is_direct(&self, url: &Url) -> bool {
        let address: Option<IpAddr> = url.host.parse().ok();
        if url.host == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
            return true;
        }
        self.none_for.split(',').map(str::trim).any(|rule| {
            let (rule, port) = match rule.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, port.parse::<u16>().ok()),
                _ => (rule, None),
            };
            if rule.is_empty() || port.is_some_and(|port| port != url.port) {
                return false;
            }
            if let Some(ip) = address {
                return rule.parse::<IpNet>().is_ok_and(|net| net.contains(&ip)) || rule == url.host;
            }
            let domain = rule
                .trim_start_matches('*')
                .trim_start_matches('.')
                .to_ascii_lowercase();
            rule == "*" || url.host == domain || url.host.ends_with(&format!(".{domain}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_reached_directly() {
        let proxies = Proxies {
            http: "http://p:1".to_owned(),
            https: String::new(),
            none_for: "example.org, .corp,10.0.0.0/8,host:81".to_owned(),
        };
        let check = |url: &str, expected: bool| {
            let url = Url::parse(url).unwrap();
            assert_eq!(proxies.find(&url).is_some(), expected, "{url}");
        };
        check("http://example.com/", true);
        check("http://example.org/", false);
        check("http://a.example.org/", false);
        check("http://notexample.org/", true);
        check("http://a.corp/", false);
        check("http://10.1.1.1/", false);
        check("http://11.1.1.1/", true);
        check("http://host/", true);
        check("http://host:81/", false);
        check("http://localhost/", false);
        check("http://127.0.0.1:5000/", false);
        check("https://example.com/", false);
    }
}
