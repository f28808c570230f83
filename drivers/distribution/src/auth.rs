//! Proving who asks: Basic, and tokens from a token service (distribution's «token authentication»).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;

use crate::challenge::{self, Challenge};
use crate::credentials::Credentials;
use crate::error::DistributionError;
use crate::exchange::{Answer, Payload};
use crate::session::{Outgoing, Session, Trust};
use crate::url::{Url, escape};

/// A token service's answer is larger than this only by mistake.
const TOKEN_LIMIT: usize = 1 << 20;
/// How long a token is good when the service does not say.
const DEFAULT_LIFE: u64 = 60;
/// A token is renewed this long before its end.
const EARLY: Duration = Duration::from_secs(10);
/// What we are called by token services.
const CLIENT_ID: &str = "docker";

/// What is known about a server, and the tokens for it.
#[derive(Default)]
pub(crate) struct Tokens {
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<(String, String), Token>>,
    /// One request for a token at a time: several layers want the same one.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Token {
    text: String,
    ends: Instant,
}

/// A token service's answer.
#[derive(Deserialize)]
pub(crate) struct Granted {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    pub(crate) refresh_token: String,
}

impl Granted {
    fn text(&self) -> &str {
        if self.token.is_empty() {
            &self.access_token
        } else {
            &self.token
        }
    }
}

impl Tokens {
    fn challenge(&self, url: &Url) -> Option<Challenge> {
        lock(&self.challenges).get(&origin(url)).cloned()
    }

    fn token(&self, url: &Url, scope: &str) -> Option<String> {
        let tokens = lock(&self.tokens);
        let token = tokens.get(&(origin(url), scope.to_owned()))?;
        (token.ends > Instant::now()).then(|| token.text.clone())
    }

    fn forget(&self, url: &Url, scope: &str) {
        lock(&self.tokens).remove(&(origin(url), scope.to_owned()));
    }

    /// Remembers what the server wants to see; `false` if it wants nothing that we know.
    pub(crate) fn learn(&self, answer: &Answer) -> bool {
        let headers = answer.headers.get_all("www-authenticate").iter();
        let all: Vec<Challenge> = headers
            .filter_map(|value| value.to_str().ok())
            .flat_map(challenge::parse)
            .collect();
        let bearer = all.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
        match bearer.or(all.first()) {
            Some(challenge) => {
                lock(&self.challenges).insert(origin(&answer.url), challenge.clone());
                true
            }
            None => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}

impl Session {
    /// Sends a request with what the server is known to want to see; asks for a token where one is needed. `scopes` is
    /// what the token must allow, separated by spaces.
    pub(crate) async fn send_authorized(
        self: &Arc<Self>,
        mut outgoing: Outgoing,
        scopes: &str,
        trust: &Trust,
    ) -> Result<Answer, DistributionError> {
        let again = outgoing.payload.again();
        let (method, url, headers) = (
            outgoing.method.clone(),
            outgoing.url.clone(),
            outgoing.headers.clone(),
        );
        outgoing.authorization = self.authorization(&url, scopes, trust).await?;
        let answer = self.send(outgoing, trust).await?;
        let Some(payload) = again.filter(|_| answer.status.as_u16() == 401) else {
            return Ok(answer);
        };
        // The redirected-to server's wishes are not ours to fulfil.
        if !answer.url.same_origin(&url) || !self.tokens.learn(&answer) {
            return Ok(answer);
        }
        self.tokens.forget(&url, scopes);
        let Some(authorization) = self.authorization(&url, scopes, trust).await? else {
            return Ok(answer);
        };
        answer.discard().await;
        let repeated = Outgoing {
            authorization: Some(authorization),
            headers,
            payload,
            ..Outgoing::new(method, url)
        };
        self.send(repeated, trust).await
    }

    async fn authorization(
        self: &Arc<Self>,
        url: &Url,
        scopes: &str,
        trust: &Trust,
    ) -> Result<Option<String>, DistributionError> {
        if let Credentials::RegistryToken(token) = &self.credentials {
            return Ok(Some(format!("Bearer {token}")));
        }
        match self.tokens.challenge(url) {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.credentials.basic()),
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let _one = self.tokens.asking.lock().await;
                if let Some(token) = self.tokens.token(url, scopes) {
                    return Ok(Some(format!("Bearer {token}")));
                }
                let wanted = if scopes.is_empty() { &scope } else { scopes };
                let granted = self.ask(url, &realm, &service, wanted, false, trust).await?;
                let text = granted.text().to_owned();
                if text.is_empty() {
                    return Err(DistributionError::Protocol {
                        url: realm,
                        reason: "authorization server did not include a token in the response".to_owned(),
                    });
                }
                let life = Duration::from_secs(granted.expires_in.unwrap_or(DEFAULT_LIFE).max(DEFAULT_LIFE));
                let token = Token {
                    text: text.clone(),
                    ends: Instant::now() + life.min(Duration::from_secs(86_400)) - EARLY,
                };
                lock(&self.tokens.tokens).insert((origin(url), scopes.to_owned()), token);
                Ok(Some(format!("Bearer {text}")))
            }
        }
    }

    /// Asks the token service of the server of `url`; with `offline` also for a token that gets tokens.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        url: &Url,
        realm: &str,
        service: &str,
        scopes: &str,
        offline: bool,
        registry: &Trust,
    ) -> Result<Granted, DistributionError> {
        let place = Url::parse(realm)?;
        let trust = if place.same_origin(url) || place.host == url.host {
            registry.clone()
        } else {
            Trust::of_stranger(&self.settings, &place)
        };
        let has_secret = self.credentials != Credentials::Anonymous;
        if has_secret && url.tls && !place.tls && trust.verify {
            return Err(DistributionError::Protocol {
                url: url.without_query(),
                reason: format!(
                    "refusing to send credentials to the token service {} without TLS",
                    place.without_query()
                ),
            });
        }
        let outgoing = match &self.credentials {
            Credentials::IdentityToken(token) => {
                let form = format!(
                    "grant_type=refresh_token&refresh_token={}&service={}&client_id={CLIENT_ID}&scope={}",
                    escape(token),
                    escape(service),
                    escape(scopes)
                );
                Outgoing::new(Method::POST, place)
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .payload(Payload::Bytes(Bytes::from(form)))
            }
            credentials => {
                let mut place = place;
                if !service.is_empty() {
                    place = place.with("service", service);
                }
                for scope in scopes.split(' ').filter(|s| !s.is_empty()) {
                    place = place.with("scope", scope);
                }
                if let Credentials::Password { user, .. } = credentials {
                    place = place.with("account", user);
                }
                if offline {
                    place = place.with("offline_token", "true").with("client_id", CLIENT_ID);
                }
                let mut outgoing = Outgoing::new(Method::GET, place);
                outgoing.authorization = credentials.basic();
                outgoing
            }
        };
        let outgoing = outgoing.header(ACCEPT, "application/json");
        let mut answer = self.send(outgoing, &trust).await?.check().await?;
        let text = answer.bytes(TOKEN_LIMIT).await?;
        serde_json::from_slice(&text).map_err(|error| DistributionError::Protocol {
            url: realm.to_owned(),
            reason: format!("the token service's answer cannot be read: {error}"),
        })
    }

    /// What a server was last seen to want.
    pub(crate) fn wanted(&self, url: &Url) -> Option<Challenge> {
        self.tokens.challenge(url)
    }
}
