//! Who asks: what a client sends as `X-Registry-Auth`, and for a build as `X-Registry-Config`.

use std::collections::BTreeMap;
use std::fmt;

use api_types::decode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;

use crate::endpoint::domain_of_server;

/// What is proved to a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A name and a password.
    Password {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// A token that gets tokens (OAuth 2 refresh token).
    IdentityToken(String),
    /// A token that is sent as it is.
    RegistryToken(String),
}

/// Docker's form of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthConfig {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// The header is not Base64 of JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {header} header: {problem}")]
pub struct HeaderError {
    header: &'static str,
    problem: String,
}

impl HeaderError {
    fn auth(problem: impl ToString) -> Self {
        Self::new("X-Registry-Auth", problem)
    }

    fn config(problem: impl ToString) -> Self {
        Self::new("X-Registry-Config", problem)
    }

    fn new(header: &'static str, problem: impl ToString) -> Self {
        Self {
            header,
            problem: problem.to_string(),
        }
    }
}

impl fault::Fault for HeaderError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

impl Credentials {
    /// From a header `X-Registry-Auth` (Base64, either alphabet, of JSON); empty is anonymous.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn from_header(header: &str) -> Result<Self, HeaderError> {
        let text = header.trim().trim_end_matches('=');
        if text.is_empty() {
            return Ok(Self::Anonymous);
        }
        let json = base64(text).ok_or_else(|| HeaderError::auth("it is not Base64"))?;
        Self::from_json(&json)
    }

    /// From Docker's JSON.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn from_json(json: &[u8]) -> Result<Self, HeaderError> {
        if json.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::Anonymous);
        }
        let auth: Option<AuthConfig> = decode::from_slice(json).map_err(HeaderError::auth)?;
        Ok(auth.map(Self::from).unwrap_or_default())
    }

    /// The value of an `Authorization` header for Basic, if there is a password.
    pub(crate) fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            _ => None,
        }
    }
}

impl From<AuthConfig> for Credentials {
    fn from(mut auth: AuthConfig) -> Self {
        if auth.username.is_empty()
            && let Some(pair) =
                base64(auth.auth.trim_end_matches('=')).and_then(|b| String::from_utf8(b).ok())
            && let Some((user, password)) = pair.split_once(':')
        {
            auth.username = user.to_owned();
            auth.password = password.trim_end_matches('\0').to_owned();
        }
        if !auth.registrytoken.is_empty() {
            Self::RegistryToken(auth.registrytoken)
        } else if !auth.identitytoken.is_empty() {
            Self::IdentityToken(auth.identitytoken)
        } else if !auth.username.is_empty() || !auth.password.is_empty() {
            Self::Password {
                user: auth.username,
                password: auth.password,
            }
        } else {
            Self::Anonymous
        }
    }
}

/// What is proved to which registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring(BTreeMap<String, Credentials>);

impl Keyring {
    /// From a header `X-Registry-Config`: Base64 of a JSON object whose keys name registries; empty is no registry.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn from_header(header: &str) -> Result<Self, HeaderError> {
        let text = header.trim().trim_end_matches('=');
        if text.is_empty() {
            return Ok(Self::default());
        }
        let json = base64(text).ok_or_else(|| HeaderError::config("it is not Base64"))?;
        let all: Option<BTreeMap<String, Option<AuthConfig>>> =
            decode::from_slice(&json).map_err(HeaderError::config)?;
        let entry = |(server, auth): (String, Option<AuthConfig>)| {
            (
                domain_of_server(&server),
                auth.map(Credentials::from).unwrap_or_default(),
            )
        };
        Ok(Self(all.unwrap_or_default().into_iter().map(entry).collect()))
    }

    /// For the registry with this domain, as names of images have it.
    pub fn of(&self, domain: &str) -> Credentials {
        self.0.get(domain).cloned().unwrap_or_default()
    }
}

/// Base64 of either alphabet, without its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    URL_SAFE
        .decode(&padded)
        .or_else(|_| STANDARD.decode(&padded))
        .ok()
}

/// Never shows a secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::RegistryToken(_) => f.write_str("RegistryToken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_header_is_understood() {
        let check = |json: &str, expected: &Credentials| {
            for encoded in [URL_SAFE.encode(json), STANDARD.encode(json)] {
                assert_eq!(
                    Credentials::from_header(&encoded).as_ref(),
                    Ok(expected),
                    "{json}"
                );
                let bare = encoded.trim_end_matches('=');
                assert_eq!(Credentials::from_header(bare).as_ref(), Ok(expected), "{json}");
            }
        };
        let password = Credentials::Password {
            user: "u".to_owned(),
            password: "p:~?>".to_owned(),
        };
        check(
            r#"{"username":"u","password":"p:~?>","serveraddress":"x"}"#,
            &password,
        );
        check(
            &format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("u:p:~?>")),
            &password,
        );
        // As clients write it whose types have options: what is not known is there, and null.
        check(
            r#"{"username":"u","password":"p:~?>","auth":null,"email":null,"serveraddress":null,"identitytoken":null,"registrytoken":null}"#,
            &password,
        );
        check(r#"{"Username":"u","Password":"p:~?>"}"#, &password);
        check("{}", &Credentials::Anonymous);
        check("null", &Credentials::Anonymous);
        check(
            r#"{"username":"u","identitytoken":"t"}"#,
            &Credentials::IdentityToken("t".to_owned()),
        );
        check(
            r#"{"registrytoken":"t"}"#,
            &Credentials::RegistryToken("t".to_owned()),
        );
        assert_eq!(Credentials::from_header(""), Ok(Credentials::Anonymous));
        assert!(Credentials::from_header("%%").is_err());
        assert!(Credentials::from_header(&STANDARD.encode("[1]")).is_err());
    }

    #[test]
    fn a_keyring_has_a_key_for_each_registry() {
        let json = r#"{"https://index.docker.io/v1/":{"username":"u","password":"p"},"reg:5000":{"username":null,"identitytoken":"t"},"x":null}"#;
        let keyring = Keyring::from_header(&URL_SAFE.encode(json)).unwrap();
        let password = Credentials::Password {
            user: "u".to_owned(),
            password: "p".to_owned(),
        };
        assert_eq!(keyring.of("docker.io"), password);
        assert_eq!(keyring.of("reg:5000"), Credentials::IdentityToken("t".to_owned()));
        assert_eq!(keyring.of("x"), Credentials::Anonymous);
        assert_eq!(keyring.of("reg"), Credentials::Anonymous);
        for nothing in ["", "bnVsbA==", "e30="] {
            assert_eq!(Keyring::from_header(nothing), Ok(Keyring::default()));
        }
        let error = Keyring::from_header("%%").unwrap_err().to_string();
        assert_eq!(error, "invalid X-Registry-Config header: it is not Base64");
        assert!(Keyring::from_header(&STANDARD.encode("[1]")).is_err());
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Credentials::from_json(br#"{"username":"u","password":"hush"}"#).unwrap();
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
