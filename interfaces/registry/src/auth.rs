//! Who asks, and what they may do.
//!
//! People prove who they are by Basic authentication (`users.rs`) or by a token that the registry's own token service has
//! signed (`token.rs`). What they may do is in the rules: the sum of all that fit; without any, everything for everybody
//! who is known.

mod token;
mod users;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Rule};
use crate::error::{Code, Failure};

pub use token::KeyError;
pub(crate) use token::TokenService;
pub(crate) use users::Users;
pub use users::UsersError;

/// What can be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Read manifests, blobs and lists.
    Pull,
    /// Add manifests and blobs.
    Push,
    /// Remove manifests, tags and blobs.
    Delete,
}

impl Action {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// What a token lets its owner do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) actions: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nobody has to say who they are here.
    Unasked,
    /// Somebody who has not said it.
    Anonymous,
    /// Somebody with the right password.
    User(String),
    /// Somebody with a token of ours.
    Token { user: String, grants: Vec<Grant> },
}

impl Identity {
    /// For the access log and the notifications.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Unasked | Self::Anonymous => None,
            Self::User(user) => Some(user),
            Self::Token { user, .. } => Some(user.as_str()).filter(|user| !user.is_empty()),
        }
    }
}

/// Decides about every request.
#[derive(Debug)]
pub(crate) struct Guard {
    users: Option<Users>,
    pub(crate) tokens: Option<TokenService>,
    rules: Vec<Rule>,
    realm: String,
    /// Where clients find the registry, if it cannot be told from their requests.
    url: Option<String>,
}

/// A guard could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file of users.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The key pair of the token service.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl fault::Fault for AuthError {
    fn kind(&self) -> fault::Kind {
        match self {
            Self::Users(error) => error.kind(),
            Self::Key(error) => error.kind(),
        }
    }
}

impl Guard {
    pub(crate) fn new(config: &Config, root: &Path) -> Result<Self, AuthError> {
        let auth = config.auth.as_ref();
        let users = auth.map(|auth| Users::open(&auth.htpasswd)).transpose()?;
        let tokens = match auth.and_then(|auth| auth.tokens.as_ref()) {
            Some(settings) => Some(TokenService::open(settings, root)?),
            None => None,
        };
        Ok(Self {
            users,
            tokens,
            rules: config.rules.clone(),
            realm: auth.map_or_else(String::new, |auth| auth.realm.clone()),
            url: config.url.clone(),
        })
    }

    /// Finds out who asks; wrong proofs are refused.
    pub(crate) async fn identify(&self, headers: &HeaderMap, secure: bool) -> Result<Identity, Failure> {
        let Some(users) = &self.users else {
            return Ok(Identity::Unasked);
        };
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Ok(Identity::Anonymous);
        };
        let value = value.to_str().unwrap_or_default();
        let (scheme, proof) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let token = self
                .tokens
                .as_ref()
                .and_then(|tokens| tokens.verify(proof.trim()));
            return token.ok_or_else(|| self.challenge(headers, secure, None, Some("invalid_token")));
        }
        if let Some((user, password)) = basic(scheme, proof)
            && users.verify(&user, &password).await?
        {
            return Ok(Identity::User(user));
        }
        Err(self.challenge(headers, secure, None, None))
    }

    /// The user of a request to the token service.
    pub(crate) async fn verify(&self, user: &str, password: &str) -> Result<bool, Failure> {
        match &self.users {
            Some(users) => users.verify(user, password).await,
            None => Ok(false),
        }
    }

    /// Whether `identity` may do this.
    pub(crate) fn may(&self, identity: &Identity, repository: &str, action: Action) -> bool {
        match identity {
            Identity::Token { grants, .. } => grants.iter().any(|grant| {
                grant.kind == "repository"
                    && grant.name == repository
                    && grant.actions.iter().any(|granted| granted == action.text())
            }),
            Identity::Unasked => self.rules.is_empty() || self.ruled(None, repository, action),
            Identity::Anonymous => self.ruled(None, repository, action),
            Identity::User(user) => self.may_user(user, repository, action),
        }
    }

    pub(crate) fn may_user(&self, user: &str, repository: &str, action: Action) -> bool {
        if user.is_empty() {
            return self.ruled(None, repository, action);
        }
        self.rules.is_empty() || self.ruled(Some(user), repository, action)
    }

    /// `anonymous` in a rule is everybody, `*` is everybody who is known.
    fn ruled(&self, user: Option<&str>, repository: &str, action: Action) -> bool {
        self.rules.iter().any(|rule| {
            let named = rule.users.iter().any(|name| match (name.as_str(), user) {
                ("anonymous", _) | ("*", Some(_)) => true,
                (name, Some(user)) => name == user,
                (_, None) => false,
            });
            named && rule.actions.contains(&action) && rule.repositories.fits(repository)
        })
    }

    /// Refuses what `identity` may not do; those who may prove more are told how.
    pub(crate) fn check(
        &self,
        identity: &Identity,
        needed: &[(String, Action)],
        headers: &HeaderMap,
        secure: bool,
    ) -> Result<(), Failure> {
        let lacking = needed
            .iter()
            .find(|(name, action)| !self.may(identity, name, *action));
        let Some((name, action)) = lacking else {
            return Ok(());
        };
        match identity {
            Identity::Anonymous => Err(self.challenge(headers, secure, Some(needed), None)),
            Identity::Token { .. } => {
                Err(self.challenge(headers, secure, Some(needed), Some("insufficient_scope")))
            }
            Identity::Unasked | Identity::User(_) => {
                let message = format!("requested access to the resource is denied: {}", action.text());
                Err(Failure::new(Code::Denied, message).about(name))
            }
        }
    }

    /// 401 with the way to prove who one is.
    pub(crate) fn challenge(
        &self,
        headers: &HeaderMap,
        secure: bool,
        needed: Option<&[(String, Action)]>,
        error: Option<&str>,
    ) -> Failure {
        let challenge = match &self.tokens {
            None => format!("Basic realm=\"{}\"", self.realm),
            Some(tokens) => {
                let mut text = format!(
                    "Bearer realm=\"{}/token\",service=\"{}\"",
                    self.url_of(headers, secure),
                    tokens.service()
                );
                let scopes = needed.unwrap_or_default();
                let scopes: Vec<String> = scopes
                    .iter()
                    .map(|(name, action)| match action {
                        Action::Push => format!("repository:{name}:pull,push"),
                        other => format!("repository:{name}:{}", other.text()),
                    })
                    .collect();
                if !scopes.is_empty() {
                    text += &format!(",scope=\"{}\"", scopes.join(" "));
                }
                if let Some(error) = error {
                    text += &format!(",error=\"{error}\"");
                }
                text
            }
        };
        let failure = Failure::new(Code::Unauthorized, "authentication required");
        match HeaderValue::from_str(&challenge) {
            Ok(value) => failure.with_header(WWW_AUTHENTICATE, value),
            Err(_) => failure,
        }
    }

    /// Where the client reached us.
    fn url_of(&self, headers: &HeaderMap, secure: bool) -> String {
        if let Some(url) = &self.url {
            return url.trim_end_matches('/').to_owned();
        }
        let host = headers
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("localhost");
        // It is written between quotes.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
        let host: String = host.chars().filter(|c| plain(*c)).collect();
        format!("{}://{host}", if secure { "https" } else { "http" })
    }
}

/// The user and the password of a header `Authorization: Basic`.
pub(crate) fn basic(scheme: &str, proof: &str) -> Option<(String, String)> {
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(proof.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    (!user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}
