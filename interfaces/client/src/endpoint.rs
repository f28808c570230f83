//! Where a daemon listens: `unix://`, `tcp://` and `ssh://` addresses.

use crate::ClientError;

/// The socket of dhow's own daemon.
pub const DEFAULT_HOST: &str = "unix:///run/dhow.sock";

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket at this path.
    Unix(String),
    /// Host (no brackets) and port.
    Tcp(String, u16),
    /// `[user@]host[:port]`: the daemon beside an ssh server, through `system dial-stdio` there.
    Ssh {
        /// Login name, if it is not ssh's own choice.
        user: Option<String>,
        /// Host name.
        host: String,
        /// Port, if it is not ssh's own choice.
        port: Option<u16>,
    },
}

impl Endpoint {
    /// Reads an address as `-H` and `DOCKER_HOST` have it; the empty string is [`DEFAULT_HOST`], and a host without a
    /// scheme is taken for TCP.
    ///
    /// # Errors
    /// [`ClientError::BadHost`] for an unknown scheme or a port that is no number.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        let bad = || ClientError::BadHost(text.to_owned());
        if text.is_empty() {
            return Self::parse(DEFAULT_HOST);
        }
        match text.split_once("://") {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.to_owned())),
            Some(("tcp" | "http", rest)) => tcp(rest).ok_or_else(bad),
            Some(("ssh", rest)) => ssh(rest).ok_or_else(bad),
            Some(_) => Err(bad()),
            None => tcp(text).ok_or_else(bad),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Self::Ssh { user, host, port } => {
                let user = user.as_ref().map(|u| format!("{u}@")).unwrap_or_default();
                let port = port.map(|p| format!(":{p}")).unwrap_or_default();
                write!(f, "ssh://{user}{host}{port}")
            }
        }
    }
}

/// `host[:port]`, `[v6]:port`; the port is 2375 unless given.
fn tcp(rest: &str) -> Option<Endpoint> {
    let rest = rest.trim_end_matches('/');
    let (host, port) = split_port(rest)?;
    let host = if host.is_empty() { "localhost" } else { host };
    Some(Endpoint::Tcp(host.to_owned(), port.unwrap_or(2375)))
}

fn ssh(rest: &str) -> Option<Endpoint> {
    let rest = rest.trim_end_matches('/');
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let (host, port) = split_port(rest)?;
    // A name that begins with a dash would be an option of the ssh command.
    let option = |s: &str| s.starts_with('-');
    if host.is_empty() || option(host) || user.as_deref().is_some_and(option) {
        return None;
    }
    Some(Endpoint::Ssh {
        user,
        host: host.to_owned(),
        port,
    })
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.contains('/') {
        return None;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_the_same_way() {
        for (text, shown) in [
            ("", "unix:///run/dhow.sock"),
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("tcp://localhost:2375", "tcp://localhost:2375"),
            ("tcp://example.org", "tcp://example.org:2375"),
            ("example.org:99", "tcp://example.org:99"),
            ("tcp://[::1]:2375/", "tcp://[::1]:2375"),
            ("ssh://me@host:22", "ssh://me@host:22"),
            ("ssh://host", "ssh://host"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn an_address_that_no_scheme_covers_is_refused() {
        for text in [
            "npipe:////./pipe/x",
            "unix://",
            "tcp://a:b",
            "tcp://a:70000",
            "ssh://-oProxyCommand=x",
            "ssh://-l@h",
        ] {
            assert!(
                matches!(Endpoint::parse(text), Err(ClientError::BadHost(_))),
                "{text}"
            );
        }
    }
}
