//! The configuration: what a file may say, and what holds without one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fault::{Fault, Kind};
use serde::{Deserialize, Deserializer};

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
    /// When what is removed.
    pub garbage_collection: GarbageCollection,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5000".to_owned(),
            root: PathBuf::from("/var/lib/dhow-registry"),
            garbage_collection: GarbageCollection::default(),
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
        serde_json::from_slice(&text).map_err(|source| ConfigError::Format {
            path: path.to_owned(),
            source,
        })
    }
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
