//! The registry's own token service: signed JSON Web Tokens (RFC 7519, ES256) as Docker's clients ask for them.
//!
//! `GET /token` with Basic authentication, or `POST /token` as OAuth 2 has it (password, refresh token). A token says what its
//! owner may do with which repositories: what was asked for, as far as the rules allow it. The key pair lies in the
//! registry's folder and is made at the first start.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fault::{Fault, Kind};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

use super::{Action, Grant, Guard, Identity};
use crate::config::Tokens;
use crate::error::{Code, Failure};
use crate::state::now;

/// How long a refresh token may be used.
const REFRESH: u64 = 30 * 24 * 3600;
/// No token is longer, and no more scopes are looked at.
const LONGEST: usize = 32 << 10;
const MOST_SCOPES: usize = 100;

/// The key pair could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key of the token service, {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] durable::AtomicWriteError),
    /// The file holds something else.
    #[error(
        "the key of the token service, {path}, is not a P-256 key in PKCS #8; remove it to have a new one made"
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
}

impl Fault for KeyError {
    fn kind(&self) -> Kind {
        Kind::System
    }
}

/// Signs and verifies.
#[derive(Debug)]
pub(crate) struct TokenService {
    service: String,
    lifetime: u64,
    key: EcdsaKeyPair,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Grant>>,
    /// Only a refresh token has it, and a refresh token has no access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<bool>,
}

/// A reply of the token service.
#[derive(Debug, Serialize)]
pub(crate) struct Issued {
    token: String,
    access_token: String,
    expires_in: u64,
    issued_at: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl TokenService {
    pub(crate) fn open(settings: &Tokens, root: &Path) -> Result<Self, KeyError> {
        let path = root.join("token.key");
        let unusable = || KeyError::Format { path: path.clone() };
        let document = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
                let made = made.map_err(|_| unusable())?.as_ref().to_vec();
                durable::atomic_write(&path, &made, 0o600)?;
                made
            }
            Err(source) => return Err(KeyError::File { path, source }),
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document, &SystemRandom::new());
        Ok(Self {
            service: settings.service.clone(),
            lifetime: settings.lifetime.as_secs().max(60),
            key: key.map_err(|_| unusable())?,
        })
    }

    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    fn sign(&self, claims: &Claims) -> Result<String, Failure> {
        let failed = || Failure::new(Code::Unknown, "a token could not be signed");
        let claims = serde_json::to_vec(claims).map_err(|_| failed())?;
        let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"ES256","typ":"JWT"}"#);
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), text.as_bytes())
            .map_err(|_| failed())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that we have signed and that holds now. The head is not believed: there is one algorithm.
    fn read(&self, token: &str) -> Option<Claims> {
        if token.len() > LONGEST {
            return None;
        }
        let (text, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public.verify(text.as_bytes(), &signature).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(text.split_once('.')?.1).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let now = now();
        (claims.aud == self.service && claims.iss == self.service && claims.nbf <= now && now < claims.exp)
            .then_some(claims)
    }

    /// Whose access token it is.
    pub(crate) fn verify(&self, token: &str) -> Option<Identity> {
        let claims = self.read(token)?;
        Some(Identity::Token {
            user: claims.sub,
            grants: claims.access?,
        })
    }

    /// Whose refresh token it is.
    pub(crate) fn refreshes(&self, token: &str) -> Option<String> {
        let claims = self.read(token)?;
        (claims.refresh == Some(true)).then_some(claims.sub)
    }

    /// A token for what `user` asks for, as far as they may.
    pub(crate) fn issue(
        &self,
        guard: &Guard,
        user: &str,
        scopes: &str,
        refresh: bool,
    ) -> Result<Issued, Failure> {
        let grants: Vec<Grant> = scopes
            .split_whitespace()
            .take(MOST_SCOPES)
            .filter_map(|scope| granted(guard, user, scope))
            .collect();
        let scope: Vec<String> = grants
            .iter()
            .map(|grant| format!("{}:{}:{}", grant.kind, grant.name, grant.actions.join(",")))
            .collect();
        let issued = now();
        let claims = |lifetime: u64, access: Option<Vec<Grant>>| Claims {
            iss: self.service.clone(),
            sub: user.to_owned(),
            aud: self.service.clone(),
            exp: issued + lifetime,
            // Clocks of several machines differ.
            nbf: issued.saturating_sub(10),
            iat: issued,
            refresh: access.is_none().then_some(true),
            access,
        };
        let token = self.sign(&claims(self.lifetime, Some(grants)))?;
        let refresh_token = (refresh && !user.is_empty()).then(|| self.sign(&claims(REFRESH, None)));
        let time = i64::try_from(issued)
            .ok()
            .and_then(|time| jiff::Timestamp::from_second(time).ok());
        Ok(Issued {
            access_token: token.clone(),
            token,
            expires_in: self.lifetime,
            issued_at: time.unwrap_or_default().to_string(),
            scope: scope.join(" "),
            refresh_token: refresh_token.transpose()?,
        })
    }
}

/// What of `repository:NAME:pull,push` the user may do.
fn granted(guard: &Guard, user: &str, scope: &str) -> Option<Grant> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    if kind == "registry" && name == "catalog" {
        // The catalog shows what one may pull, so that it needs no right of its own.
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let actions = vec!["*".to_owned()];
        return Some(Grant { kind, name, actions });
    }
    // `repository(plugin)` is a class of Docker's, not another place.
    if kind.split('(').next() != Some("repository") || !oci::reference::is_repository(name) {
        return None;
    }
    let asked: Vec<&str> = actions.split(',').collect();
    let all = [Action::Pull, Action::Push, Action::Delete];
    let actions = all
        .into_iter()
        .filter(|action| asked.contains(&action.text()) || asked.contains(&"*"))
        .filter(|action| guard.may_user(user, name, *action));
    Some(Grant {
        kind: "repository".to_owned(),
        name: name.to_owned(),
        actions: actions.map(|action| action.text().to_owned()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(root: &Path) -> TokenService {
        TokenService::open(&Tokens::default(), root).unwrap()
    }

    fn claims(service: &TokenService, exp: u64) -> Claims {
        Claims {
            iss: service.service.clone(),
            sub: "alice".into(),
            aud: service.service.clone(),
            exp,
            nbf: 0,
            iat: 0,
            access: Some(Vec::new()),
            refresh: None,
        }
    }

    /// A key that another library (aws-lc) has written in PKCS #8; nothing is signed with it anywhere.
    const KEPT: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJGorlBsdgpRhC92zJ9bUY3S91V6Bc7fTIjLthchRr1mhRANC\
                        AATtA0nQGcAGBlCR5Bas3vdj5LKc+mjsCBXCKOhASc6VhWdSxvmtdXCbLZ5PR2DjS9jDFZGOOWQZ43tp8/+b1JK/";

    #[test]
    fn a_key_that_is_there_is_used_and_never_replaced() {
        use base64::engine::general_purpose::STANDARD;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let key = STANDARD.decode(KEPT).unwrap();
        std::fs::write(&path, &key).unwrap();
        let ours = service(folder.path());
        let token = ours.sign(&claims(&ours, now() + 60)).unwrap();
        assert!(service(folder.path()).verify(&token).is_some());
        assert_eq!(std::fs::read(&path).unwrap(), key);
        std::fs::write(&path, "not a key").unwrap();
        let refused = TokenService::open(&Tokens::default(), folder.path()).unwrap_err();
        assert!(refused.to_string().contains("token.key"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key");
    }

    #[test]
    fn tokens_are_ours_unchanged_and_in_time_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ours = service(folder.path());
        let token = ours.sign(&claims(&ours, now() + 60)).unwrap();
        assert!(matches!(ours.verify(&token), Some(Identity::Token { user, .. }) if user == "alice"));
        assert!(
            service(folder.path()).verify(&token).is_some(),
            "the key outlives the process"
        );
        assert!(
            ours.verify(&ours.sign(&claims(&ours, now() - 1)).unwrap())
                .is_none()
        );
        assert!(
            ours.refreshes(&token).is_none(),
            "an access token refreshes nothing"
        );
        let other = tempfile::tempdir().unwrap();
        assert!(service(other.path()).verify(&token).is_none());
        let (head, rest) = token.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#);
        for forged in [
            format!("{head}.{body}."),
            format!("{none}.{body}."),
            format!("{none}.{body}.{signature}"),
            format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(b"{}")),
            String::new(),
            "a.b".to_owned(),
            "x".repeat(100_000),
        ] {
            assert!(ours.verify(&forged).is_none(), "{forged:.60}");
        }
        use std::os::unix::fs::PermissionsExt;
        let mode = folder
            .path()
            .join("token.key")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
