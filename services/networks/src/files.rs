//! The files that tell a container about the network: `/etc/resolv.conf` and `/etc/hosts`.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use crate::service::Networks;
use crate::{Dns, Endpoint, Error};

/// What `run --dns`, `--dns-option` and `--dns-search` said; empty lists fall back to the daemon's and the host's.
pub type DnsOverrides = Dns;

/// One line of a container's `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsEntry {
    /// The address.
    pub address: IpAddr,
    /// The names, the canonical one first.
    pub names: Vec<String>,
}

/// Where systemd-resolved keeps the real servers when `/etc/resolv.conf` names only its stub.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// Docker's last resort.
const PUBLIC_SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
const PUBLIC_SERVERS6: [&str; 2] = ["2001:4860:4860::8888", "2001:4860:4860::8844"];

impl Networks {
    /// The text of `/etc/resolv.conf` for a container whose networks are `networks` (names or ids; empty for none).
    /// With the network `host` loopback servers stay, because they can be reached. In user-defined networks, too, the
    /// servers are those of the host: there is no embedded DNS server yet.
    pub fn resolv_conf(&self, networks: &[String], overrides: &DnsOverrides) -> Result<String, Error> {
        let (host, ipv6) = {
            let state = self.state();
            let rows = networks
                .iter()
                .filter_map(|n| state.find(n).ok())
                .map(|live| &live.row.spec);
            let (mut host, mut ipv6) = (false, false);
            for spec in rows {
                host |= spec.driver == "host";
                ipv6 |= spec.enable_ipv6 == Some(true);
            }
            (host, ipv6)
        };
        let mut text = read(&self.config.resolv_conf)?;
        if !host
            && parse(&text)
                .servers
                .iter()
                .all(|s| *s == IpAddr::from([127, 0, 0, 53]))
        {
            // Absent where systemd-resolved does not run: then the host's file has no server at all.
            text = std::fs::read_to_string(RESOLVED).unwrap_or(text);
        }
        Ok(compose(parse(&text), &self.config.dns, overrides, host, ipv6))
    }

    /// The text of `/etc/hosts`: localhost lines, then `extra` (`--add-host`; the value `host-gateway` must have been
    /// replaced by [`Networks::host_gateway`]), then the container's own addresses with its names.
    pub fn hosts(
        &self,
        endpoints: &[Endpoint],
        hostname: &str,
        domain: &str,
        extra: &[HostsEntry],
    ) -> String {
        hosts(endpoints, hostname, domain, extra)
    }
}

/// A host without the file has no servers; that is not an error.
fn read(path: &Path) -> Result<String, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(Error::ResolvConf {
            path: path.to_owned(),
            source,
        }),
    }
}

fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut words = line
            .split(['#', ';'])
            .next()
            .unwrap_or_default()
            .split_whitespace();
        match words.next() {
            // A zone (`fe80::1%eth0`) means nothing in another namespace.
            Some("nameserver") => dns
                .servers
                .extend(words.next().and_then(|w| w.parse::<IpAddr>().ok())),
            // The last one wins (resolv.conf(5)).
            Some("search" | "domain") => dns.search = words.map(str::to_owned).collect(),
            Some("options") => dns.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    dns
}

fn compose(of_host: Dns, daemon: &Dns, overrides: &DnsOverrides, host_network: bool, ipv6: bool) -> String {
    fn first<T: Clone>(lists: [&Vec<T>; 3]) -> Vec<T> {
        lists
            .into_iter()
            .find(|l| !l.is_empty())
            .cloned()
            .unwrap_or_default()
    }
    let asked = first([&overrides.servers, &daemon.servers, &Vec::new()]);
    let servers: Vec<IpAddr> = if !asked.is_empty() {
        asked
    } else if host_network {
        of_host.servers.clone()
    } else {
        let reachable = |s: &&IpAddr| !s.is_loopback() && (ipv6 || s.is_ipv4());
        let usable: Vec<IpAddr> = of_host.servers.iter().filter(reachable).copied().collect();
        let public = PUBLIC_SERVERS
            .iter()
            .chain(PUBLIC_SERVERS6.iter().filter(|_| ipv6));
        if usable.is_empty() {
            public.filter_map(|s| s.parse().ok()).collect()
        } else {
            usable
        }
    };
    let search = first([&overrides.search, &daemon.search, &of_host.search]);
    let options = first([&overrides.options, &daemon.options, &of_host.options]);
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    // A single dot means: no search domains at all.
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

fn hosts(endpoints: &[Endpoint], hostname: &str, domain: &str, extra: &[HostsEntry]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for entry in extra {
        let _ = writeln!(text, "{}\t{}", entry.address, entry.names.join(" "));
    }
    let names = own_names(hostname, domain);
    if !names.is_empty() {
        for address in endpoints.iter().flat_map(crate::state::addresses_of) {
            let _ = writeln!(text, "{address}\t{names}");
        }
    }
    text
}

/// The whole name and, whether the user gave two parts or one name with dots, its first part.
fn own_names(hostname: &str, domain: &str) -> String {
    let whole = match domain {
        "" => hostname.to_owned(),
        domain => format!("{hostname}.{domain}"),
    };
    match whole.split_once('.') {
        Some((first, _)) => format!("{whole} {first}"),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(host: &str, overrides: &Dns, host_network: bool, ipv6: bool) -> String {
        compose(parse(host), &Dns::default(), overrides, host_network, ipv6)
    }

    #[test]
    fn servers_that_a_container_cannot_reach_are_left_out() {
        let host = "# comment\nnameserver 127.0.0.1\nnameserver 9.9.9.9 # quad\nnameserver ::1\nnameserver fd00::1\n\
                    domain old.example\nsearch a.example b.example\noptions ndots:2 edns0\n";
        let none = Dns::default();
        let rest = "search a.example b.example\noptions ndots:2 edns0\n";
        assert_eq!(
            composed(host, &none, false, false),
            format!("nameserver 9.9.9.9\n{rest}")
        );
        assert_eq!(
            composed(host, &none, false, true),
            format!("nameserver 9.9.9.9\nnameserver fd00::1\n{rest}")
        );
        let all = "nameserver 127.0.0.1\nnameserver 9.9.9.9\nnameserver ::1\nnameserver fd00::1\n";
        assert_eq!(composed(host, &none, true, false), format!("{all}{rest}"));
    }

    #[test]
    fn without_a_usable_server_the_public_ones_serve() {
        let text = composed("nameserver 127.0.0.53\n", &Dns::default(), false, false);
        assert_eq!(text, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        assert!(composed("", &Dns::default(), false, true).contains("2001:4860:4860::8888"));
    }

    #[test]
    fn what_was_asked_for_replaces_what_the_host_has() {
        let asked = Dns {
            servers: vec!["127.0.0.1".parse().unwrap()],
            options: vec!["timeout:1".into()],
            search: vec![".".into()],
        };
        let text = composed(
            "nameserver 9.9.9.9\nsearch a\noptions ndots:1\n",
            &asked,
            false,
            false,
        );
        assert_eq!(text, "nameserver 127.0.0.1\noptions timeout:1\n");
    }

    #[test]
    fn hosts_has_the_extra_names_and_then_the_containers_own() {
        let extra = [HostsEntry {
            address: "10.0.0.9".parse().unwrap(),
            names: vec!["db".into()],
        }];
        let text = hosts(&[], "web", "", &extra);
        assert!(
            text.starts_with("127.0.0.1\tlocalhost\n") && text.ends_with("10.0.0.9\tdb\n"),
            "{text}"
        );
    }

    #[test]
    fn a_name_with_a_domain_is_known_by_its_first_part_too() {
        for (host, domain, names) in [
            ("web", "", "web"),
            ("web", "example.org", "web.example.org web"),
            ("web.example.org", "", "web.example.org web"),
        ] {
            assert_eq!(own_names(host, domain), names);
        }
    }
}
