//! A connection: names, addresses, proxies, TLS. What goes wrong is said in Go's words, which Docker's users search for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::settings::{Names, Settings};
use crate::url::{Url, unescape};

/// Anything that bytes flow through in both directions.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// The head of a proxy's answer is longer than this only by mistake.
const PROXY_HEAD: usize = 16 << 10;

/// An open connection, and whether requests on it must name the whole URL.
pub(crate) struct Connection {
    pub(crate) pipe: Box<dyn Pipe>,
    pub(crate) absolute: bool,
    /// For the proxy, if it wants to know who asks.
    pub(crate) proxy_authorization: Option<String>,
}

/// Connects to the server of `url`; the error is the reason alone.
pub(crate) async fn connect(
    settings: &Settings,
    url: &Url,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Connection, String> {
    let limit = settings.limits.connect;
    match tokio::time::timeout(limit, connect_now(settings, url, tls)).await {
        Ok(done) => done,
        Err(_) => Err(format!(
            "dial tcp {}: i/o timeout (no connection within {} s)",
            url.authority(),
            limit.as_secs_f32()
        )),
    }
}

async fn connect_now(
    settings: &Settings,
    url: &Url,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Connection, String> {
    let proxy = settings.proxies.find(url).map(Proxy::parse).transpose()?;
    let (host, port) = match &proxy {
        Some(proxy) => (proxy.url.host.as_str(), proxy.url.port),
        None => (url.host.as_str(), url.port),
    };
    let mut pipe: Box<dyn Pipe> = Box::new(dial(settings, host, port).await?);
    let proxy_authorization = proxy.as_ref().and_then(|p| p.authorization.clone());
    let Some(config) = tls else {
        return Ok(Connection {
            pipe,
            absolute: proxy.is_some(),
            proxy_authorization,
        });
    };
    if proxy.is_some() {
        tunnel(&mut pipe, url, proxy_authorization.as_deref()).await?;
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|e| format!("tls: {e}"))?;
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, pipe)
        .await
        .map_err(|error| tls_reason(&error))?;
    Ok(Connection {
        pipe: Box::new(stream),
        absolute: false,
        proxy_authorization: None,
    })
}

struct Proxy {
    url: Url,
    authorization: Option<String>,
}

impl Proxy {
    /// `http://[user:password@]host:port`, or without scheme.
    fn parse(text: &str) -> Result<Self, String> {
        let bare = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => {
                return Err(format!("proxyconnect tcp: a proxy by {scheme} is not supported"));
            }
            None => text,
        };
        let (user, place) = match bare.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, bare),
        };
        let url = Url::parse(&format!("http://{place}")).map_err(|e| format!("proxyconnect tcp: {e}"))?;
        // A name or a password may hold characters that a URL must escape.
        let authorization = user.map(|user| format!("Basic {}", STANDARD.encode(unescape(user))));
        Ok(Self { url, authorization })
    }
}

async fn dial(settings: &Settings, host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = resolve(&settings.names, host, port).await?;
    let mut last = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small requests must not wait for one another; where it cannot be set, they do.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = format!("dial tcp {address}: connect: {}", io_reason(&error)),
        }
    }
    Err(last)
}

async fn resolve(names: &Names, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let none = || format!("dial tcp: lookup {host}: no such host");
    match names {
        Names::Fixed(known) => {
            let found = known.get(&format!("{host}:{port}")).or_else(|| known.get(host));
            found.map(|address| vec![*address]).ok_or_else(none)
        }
        Names::System => {
            let found = tokio::net::lookup_host((host, port)).await;
            let addresses: Vec<_> = found
                .map_err(|error| {
                    tracing::debug!(%error, host, "lookup failed");
                    none()
                })?
                .collect();
            if addresses.is_empty() {
                Err(none())
            } else {
                Ok(addresses)
            }
        }
    }
}

/// Asks a proxy for a way through (RFC 9110, 9.3.6).
async fn tunnel(pipe: &mut Box<dyn Pipe>, url: &Url, authorization: Option<&str>) -> Result<(), String> {
    let broken = |error: io::Error| format!("proxyconnect tcp: {}", io_reason(&error));
    let host = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.clone()
    };
    let place = format!("{host}:{}", url.port);
    let mut head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(value) = authorization {
        head.push_str(&format!("Proxy-Authorization: {value}\r\n"));
    }
    head.push_str("\r\n");
    pipe.write_all(head.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to TLS.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > PROXY_HEAD {
            return Err("proxyconnect tcp: the proxy's answer is too long".to_owned());
        }
        answer.push(pipe.read_u8().await.map_err(broken)?);
    }
    let first =
        String::from_utf8_lossy(answer.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
    match first.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("proxyconnect tcp: the proxy refuses: {first}")),
    }
}

/// What an error of a socket is called.
pub(crate) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => alert_reason(*alert),
            _ => error.to_string(),
        },
    }
}

/// What a server has against our certificate, or against us at all; with TLS 1.3 it says so after the handshake.
fn alert_reason(alert: rustls::AlertDescription) -> String {
    use rustls::AlertDescription as Alert;
    let words = match alert {
        Alert::CertificateRequired => "certificate required".to_owned(),
        Alert::BadCertificate => "bad certificate".to_owned(),
        Alert::UnknownCA => "unknown certificate authority".to_owned(),
        Alert::CertificateExpired => "expired certificate".to_owned(),
        Alert::HandshakeFailure => "handshake failure".to_owned(),
        other => format!("{other:?}"),
    };
    format!("remote error: tls: {words}")
}

fn tls_reason(error: &io::Error) -> String {
    use rustls::{CertificateError, Error, InvalidMessage};
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return format!("tls: {}", io_reason(error));
    };
    let verify = |why: &str| format!("tls: failed to verify certificate: x509: {why}");
    match tls {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            verify("certificate signed by unknown authority")
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            verify("certificate has expired or is not yet valid")
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => verify("certificate is not valid for this name"),
        Error::AlertReceived(alert) => alert_reason(*alert),
        other => format!("tls: {other}"),
    }
}
