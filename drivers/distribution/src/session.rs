//! What one operation keeps between its requests: connections, TLS configurations, tokens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;

use crate::auth::Tokens;
use crate::connect::{Connection, connect};
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::DistributionError;
use crate::exchange::{Answer, Payload, WireBody, hyper_reason, verb};
use crate::settings::Settings;
use crate::tls;
use crate::url::Url;

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// Bytes that hyper reads at most at once.
const READ_BUFFER: usize = 128 << 10;
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One operation's way to registries.
pub(crate) struct Session {
    pub(crate) settings: Arc<Settings>,
    pub(crate) credentials: Credentials,
    pub(crate) tokens: Tokens,
    idle: Mutex<Vec<Idle>>,
    tls: Mutex<HashMap<Trust, Arc<ClientConfig>>>,
}

struct Idle {
    url: Url,
    sender: SendRequest<WireBody>,
}

/// A request that has not been sent.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) payload: Payload,
    /// Goes to this server only, never along with a redirect to another one.
    pub(crate) authorization: Option<String>,
}

impl Outgoing {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            payload: Payload::Nothing,
            authorization: None,
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }
}

/// How the certificates of a server are judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    pub(crate) verify: bool,
    pub(crate) folders: Vec<String>,
}

impl Trust {
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self {
            verify: endpoint.verify,
            folders: endpoint.folders.clone(),
        }
    }

    /// For a server that nothing is known of.
    pub(crate) fn of_stranger(settings: &Settings, url: &Url) -> Self {
        let domain = url.authority();
        Self {
            verify: !settings.is_insecure(&domain),
            folders: vec![domain],
        }
    }
}

impl Session {
    pub(crate) fn new(settings: Arc<Settings>, credentials: Credentials) -> Arc<Self> {
        Arc::new(Self {
            settings,
            credentials,
            tokens: Tokens::default(),
            idle: Mutex::default(),
            tls: Mutex::default(),
        })
    }

    /// Sends a request and follows redirects of what only reads; any status is an answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        outgoing: Outgoing,
        trust: &Trust,
    ) -> Result<Answer, DistributionError> {
        let first = outgoing.url.clone();
        let mut next = outgoing;
        for _ in 0..=REDIRECTS {
            let (method, url) = (next.method.clone(), next.url.clone());
            let headers = next.headers.clone();
            let authorization = next.authorization.clone();
            let trust = if url.same_origin(&first) {
                trust.clone()
            } else {
                Trust::of_stranger(&self.settings, &url)
            };
            let answer = self.send_once(next, &trust).await?;
            let reads = matches!(method, Method::GET | Method::HEAD);
            if !(reads && matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308)) {
                return Ok(answer);
            }
            let Some(location) = answer.header(LOCATION.as_str()) else {
                return Err(answer.protocol("a redirect without Location"));
            };
            let target = url.join(location)?;
            if url.tls && !target.tls && trust.verify {
                return Err(answer.protocol(format!(
                    "refusing a redirect from https to {}",
                    target.without_query()
                )));
            }
            answer.discard().await;
            next = Outgoing {
                authorization: authorization.filter(|_| target.same_origin(&url)),
                headers,
                ..Outgoing::new(method, target)
            };
        }
        Err(DistributionError::Redirects {
            url: first.without_query(),
            limit: REDIRECTS,
        })
    }

    async fn send_once(
        self: &Arc<Self>,
        mut outgoing: Outgoing,
        trust: &Trust,
    ) -> Result<Answer, DistributionError> {
        // A kept connection may have been closed meanwhile; what can be said again is said again on a new one.
        if let Some(again) = outgoing.payload.again()
            && let Some(sender) = self.kept(&outgoing.url).await
        {
            let payload = std::mem::replace(&mut outgoing.payload, again);
            if let Ok(answer) = self.exchange(sender, &outgoing, payload, false, None).await {
                return Ok(answer);
            }
        }
        let broken = |reason| DistributionError::Connection {
            method: verb(&outgoing.method),
            url: outgoing.url.without_query(),
            reason,
        };
        let tls = match outgoing.url.tls {
            true => Some(self.tls(trust).await?),
            false => None,
        };
        let Connection {
            pipe,
            absolute,
            proxy_authorization,
        } = connect(&self.settings, &outgoing.url, tls)
            .await
            .map_err(broken)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(pipe))
            .await
            .map_err(|error| broken(hyper_reason(&error)))?;
        // Ends with the sender, or with the body that is still read from it.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a registry");
            }
        });
        let payload = std::mem::replace(&mut outgoing.payload, Payload::Nothing);
        self.exchange(sender, &outgoing, payload, absolute, proxy_authorization)
            .await
            .map_err(broken)
    }

    /// Error: the reason alone.
    async fn exchange(
        self: &Arc<Self>,
        mut sender: SendRequest<WireBody>,
        outgoing: &Outgoing,
        payload: Payload,
        absolute: bool,
        proxy_authorization: Option<String>,
    ) -> Result<Answer, String> {
        let taken = Arc::new(AtomicU64::new(0));
        let request = wire(
            outgoing,
            payload,
            absolute,
            proxy_authorization,
            &self.settings.user_agent,
            &taken,
        )?;
        let limit = self.settings.limits.answer;
        let answering = sender.send_request(request);
        tokio::pin!(answering);
        let mut seen = 0;
        let response: Response<Incoming> = loop {
            if let Ok(done) = tokio::time::timeout(limit, &mut answering).await {
                break done.map_err(|error| hyper_reason(&error))?;
            }
            // As long as the server takes what is sent, it is well.
            let now = taken.load(Ordering::Relaxed);
            if now == seen {
                return Err(format!("no answer for {} s", limit.as_secs_f32()));
            }
            seen = now;
        };
        let (head, body) = response.into_parts();
        // A connection by way of a proxy is not kept: it may lead to another place the next time.
        let lender = (!absolute).then(|| (Arc::clone(self), sender));
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            url: outgoing.url.clone(),
            method: outgoing.method.clone(),
            body,
            stall: self.settings.limits.stall,
            lender,
        })
    }

    async fn kept(&self, url: &Url) -> Option<SendRequest<WireBody>> {
        loop {
            let mut sender = {
                let mut idle = lock(&self.idle);
                let place = idle.iter().position(|idle| idle.url.same_origin(url))?;
                idle.swap_remove(place).sender
            };
            if !sender.is_closed() && sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    pub(crate) fn give_back(&self, url: &Url, sender: SendRequest<WireBody>) {
        if !sender.is_closed() {
            let url = url.clone();
            lock(&self.idle).push(Idle { url, sender });
        }
    }

    async fn tls(&self, trust: &Trust) -> Result<Arc<ClientConfig>, DistributionError> {
        if let Some(config) = lock(&self.tls).get(trust) {
            return Ok(Arc::clone(config));
        }
        let (settings, wanted) = (Arc::clone(&self.settings), trust.clone());
        // A hundred and fifty certificates are read and parsed.
        let made = tokio::task::spawn_blocking(move || {
            tls::config(&settings.certificates, &wanted.folders, wanted.verify)
        });
        let config = made.await.map_err(|error| DistributionError::Certificate {
            host: trust.folders.first().cloned().unwrap_or_default(),
            path: "-".to_owned(),
            reason: error.to_string(),
        })??;
        lock(&self.tls).insert(trust.clone(), Arc::clone(&config));
        Ok(config)
    }

    /// Waits before the next attempt; `failed` attempts were made. `false` when there must be none.
    pub(crate) async fn pause(&self, failed: u32, error: &DistributionError) -> bool {
        let limits = &self.settings.limits;
        if failed >= limits.attempts || !error.is_passing() {
            return false;
        }
        let mut pause = limits.backoff * 2u32.saturating_pow(failed.saturating_sub(1)).min(64);
        if let DistributionError::Busy {
            retry_after: Some(seconds),
            ..
        } = error
        {
            pause = pause.max(Duration::from_secs(*seconds));
        }
        tracing::debug!(%error, failed, "trying again");
        tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wire(
    outgoing: &Outgoing,
    payload: Payload,
    absolute: bool,
    proxy_authorization: Option<String>,
    user_agent: &str,
    taken: &Arc<AtomicU64>,
) -> Result<Request<WireBody>, String> {
    let target = match absolute {
        true => outgoing.url.to_string(),
        false => outgoing.url.target(),
    };
    let mut request = Request::builder()
        .method(outgoing.method.clone())
        .uri(target)
        .header(HOST, outgoing.url.authority())
        .header(USER_AGENT, user_agent);
    if let Some(value) = &outgoing.authorization {
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(value) = proxy_authorization {
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    let writes = !matches!(outgoing.method, Method::GET | Method::HEAD);
    if let Some(length) = payload.length().filter(|_| writes) {
        request = request.header(CONTENT_LENGTH, length);
    }
    for (name, value) in &outgoing.headers {
        request = request.header(name, value);
    }
    request
        .body(payload.into_wire(taken))
        .map_err(|error| error.to_string())
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}
