//! The configuration: what a file may say, and what holds without one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fault::{Fault, Kind};
use serde::{Deserialize, Deserializer};

use crate::auth::Action;
pub use crate::pattern::Pattern;

/// The configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file says something that is not understood.
    #[error("configuration {path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Fault for ConfigError {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

/// What a registry is told, as it stands in a JSON file. Every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Address and port to listen on.
    pub listen: String,
    /// Folder of the tables, the content and the unfinished uploads.
    pub root: PathBuf,
    /// Where clients find the registry (`https://registry.example`), behind a proxy that changes it.
    pub url: Option<String>,
    /// Encryption; without it none.
    pub tls: Option<Tls>,
    /// Who may come in; without it everybody.
    pub auth: Option<Auth>,
    /// What they may do; without any, everything.
    pub rules: Vec<Rule>,
    /// When what is removed.
    pub garbage_collection: GarbageCollection,
    /// Which tags and manifests are kept; the first rule that fits a repository counts.
    pub retention: Vec<Retention>,
    /// Tags that never point elsewhere.
    pub immutable_tags: Vec<ImmutableTags>,
    /// How much a repository may hold; the first rule that fits counts.
    pub quotas: Vec<Quota>,
    /// Where requests are written down.
    pub access_log: AccessLog,
    /// Who is told what happens.
    pub notifications: Vec<Notification>,
    /// Registries that this one stands in for.
    pub upstreams: Vec<Upstream>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5000".to_owned(),
            root: PathBuf::from("/var/lib/dhow-registry"),
            url: None,
            tls: None,
            auth: None,
            rules: Vec::new(),
            garbage_collection: GarbageCollection::default(),
            retention: Vec::new(),
            immutable_tags: Vec::new(),
            quotas: Vec::new(),
            access_log: AccessLog::Off,
            notifications: Vec::new(),
            upstreams: Vec::new(),
        }
    }
}

/// When what is removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GarbageCollection {
    /// Time between two collections; 0 switches them off.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// A blob that no manifest of its repository needs is served for so long.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// An upload that nobody goes on with is kept for so long.
    #[serde(deserialize_with = "duration")]
    pub upload_expiry: Duration,
}

impl Default for GarbageCollection {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(3600),
            grace: Duration::from_secs(24 * 3600),
            upload_expiry: Duration::from_secs(24 * 3600),
        }
    }
}

/// Encryption: a certificate from files, or one of the registry's own making.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
    /// Make an authority and a certificate in the root folder.
    pub self_signed: bool,
    /// More names and addresses for that certificate.
    pub names: Vec<String>,
}

/// Who may come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Auth {
    /// Users and bcrypt hashes of their passwords.
    pub htpasswd: PathBuf,
    /// What people are shown when they are asked for a password.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// Tokens of the registry's own service instead of passwords in every request.
    #[serde(default)]
    pub tokens: Option<Tokens>,
}

fn default_realm() -> String {
    "dhow-registry".to_owned()
}

/// The token service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tokens {
    /// The name of the registry in its tokens.
    pub service: String,
    /// How long a token holds.
    #[serde(deserialize_with = "duration")]
    pub lifetime: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            service: "dhow-registry".to_owned(),
            lifetime: Duration::from_secs(300),
        }
    }
}

/// What somebody may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// With which repositories.
    pub repositories: Pattern,
    /// Who; `*` is everybody with a password, `anonymous` everybody.
    pub users: Vec<String>,
    /// What.
    pub actions: Vec<Action>,
}

/// Which tags and manifests of some repositories are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retention {
    /// Of which repositories.
    pub repositories: Pattern,
    /// The tags that it is about; others are kept.
    #[serde(default = "everything")]
    pub tags: Pattern,
    /// As many of the newest are kept.
    #[serde(default)]
    pub keep_last: Option<usize>,
    /// Those that were set within this time are kept.
    #[serde(default, deserialize_with = "optional_duration")]
    pub keep_for: Option<Duration>,
    /// A manifest that no tag leads to is kept for so long.
    #[serde(default, deserialize_with = "optional_duration")]
    pub untagged_for: Option<Duration>,
}

/// Tags that never point elsewhere once they are set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImmutableTags {
    /// Of which repositories.
    pub repositories: Pattern,
    /// Which tags.
    pub tags: Pattern,
}

/// How much a repository may hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// Each of these repositories.
    pub repositories: Pattern,
    /// `500MB`, `10GB`; blobs that several repositories share count in each.
    #[serde(deserialize_with = "size")]
    pub bytes: u64,
}

/// Where requests are written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl From<String> for AccessLog {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            _ => Self::File(text.into()),
        }
    }
}

/// Somebody who is told what happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Notification {
    /// Where events are posted, `http://…`.
    pub url: String,
    /// More headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Which of `push`, `pull`, `delete` and `mount`; none means all.
    #[serde(default)]
    pub actions: Vec<String>,
    /// About which repositories.
    #[serde(default = "everything")]
    pub repositories: Pattern,
    /// How long an answer may take.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// A registry whose images are kept here when they are pulled through this one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Upstream {
    /// `docker.io`, or `host[:port]`; also what `?ns=` names.
    pub registry: String,
    /// Repositories below this name are its; its registry without one.
    #[serde(default)]
    pub name: Option<String>,
    /// Also asked for repositories that are neither here nor below a name, as mirrors are.
    #[serde(default)]
    pub default: bool,
    /// Neither encryption nor a right certificate is asked for.
    #[serde(default)]
    pub insecure: bool,
    /// Who asks.
    #[serde(default)]
    pub user: Option<String>,
    /// The file with their password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How long a tag is believed before it is asked for again.
    #[serde(default = "one_minute", deserialize_with = "duration")]
    pub fresh_for: Duration,
}

fn one_minute() -> Duration {
    Duration::from_secs(60)
}

fn everything() -> Pattern {
    Pattern::new("**")
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| ConfigError::Format {
            path: path.to_owned(),
            source,
        })
    }

    /// Takes the content of a file.
    ///
    /// # Errors
    /// JSON's, which name the line; also those of values that make no sense.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// `123`, `500KB`, `10GB`, `1TB`, also with `KiB` and so on.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is not a size such as \"500MB\" or \"10GiB\""))
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Seconds(u64),
        Text(String),
    }
    match Value::deserialize(deserializer)? {
        Value::Seconds(0) => Ok(Duration::ZERO),
        Value::Seconds(number) => Err(serde::de::Error::custom(format!(
            "a time needs a unit: \"{number}s\", \"{number}m\", \"{number}h\" or \"{number}d\""
        ))),
        Value::Text(text) => parse_duration(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is not a time such as \"90s\", \"15m\", \"12h\" or \"7d\""
            ))
        }),
    }
}

/// `90s`, `15m`, `12h`, `7d`
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "" if number == 0 => 0,
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_has_a_default_and_what_is_unknown_is_named() {
        let config = read("{}").unwrap();
        assert_eq!(config.listen, "127.0.0.1:5000");
        let error = read("{\n\"lisen\": \"x\"}").unwrap_err();
        assert!(
            error.contains("unknown field `lisen`") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn a_whole_configuration_is_understood() {
        let config = read(
            r#"{"listen": "0.0.0.0:443", "tls": {"self-signed": true}, "url": "https://r.example",
            "auth": {"htpasswd": "/h", "tokens": {"lifetime": "10m"}},
            "rules": [{"repositories": "team/**", "users": ["a", "*"], "actions": ["pull", "push", "delete"]}],
            "retention": [{"repositories": "**", "tags": "v*", "keep-last": 3, "keep-for": "7d", "untagged-for": "1d"}],
            "immutable-tags": [{"repositories": "**", "tags": "v*"}],
            "quotas": [{"repositories": "team/*", "bytes": "10GiB"}],
            "access-log": "stdout", "notifications": [{"url": "http://x/", "actions": ["push"]}]}"#,
        )
        .unwrap();
        assert_eq!(config.quotas[0].bytes, 10 << 30);
        assert_eq!(config.access_log, AccessLog::Stdout);
        assert_eq!(config.auth.unwrap().tokens.unwrap().lifetime.as_secs(), 600);
        for wrong in [
            r#"{"quotas": [{"repositories": "a", "bytes": "much"}]}"#,
            r#"{"rules": [{"repositories": "a", "users": [], "actions": ["fly"]}]}"#,
            r#"{"auth": {}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        let interval = |text: &str| {
            read(&format!("{{\"garbage-collection\": {{\"interval\": {text}}}}}"))
                .map(|config| config.garbage_collection.interval.as_secs())
        };
        assert_eq!(interval("\"7d\""), Ok(7 * 86_400));
        assert_eq!(interval("0"), Ok(0));
        assert!(interval("5").unwrap_err().contains("needs a unit"));
        assert!(interval("\"5 parsecs\"").unwrap_err().contains("is not a time"));
        assert!(interval("\"99999999999999999999d\"").is_err());
    }
}
