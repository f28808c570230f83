//! What the daemon is told: flags and `daemon.json`, merged.
//!
//! Both ways lead into one map from key to JSON value (`keys.rs` knows every key and its flag), so that one rule for
//! conflicts and one for unknown names serve all of them. [`Settings`] is that map with types.

mod flags;
mod keys;
mod settings;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub(crate) use flags::{Flags, parse};
pub(crate) use settings::{ImageGc, Pool, RuntimeProgram, Settings, SignatureDemand};

use keys::State;

/// The configuration file when `--config-file` does not name another.
pub(crate) const DEFAULT_FILE: &str = "/etc/dhow/daemon.json";

/// Why the daemon does not start. The texts are those of dockerd where it has them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("unable to configure the dhow daemon with file {}: open {}: {source}", .path.display(), .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no JSON object.
    #[error("unable to configure the dhow daemon with file {}: {why}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A key that nobody knows.
    #[error(
        "unable to configure the dhow daemon with file {}: the following directives don't match any configuration option: {}",
        .path.display(), .keys.join(", ")
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Which.
        keys: Vec<String>,
    },
    /// A key that is a flag as well.
    #[error(
        "unable to configure the dhow daemon with file {}: the following directives are specified both as a flag and in the configuration file: {}",
        .path.display(), .conflicts.join(", ")
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// `key: (from flag: x, from file: y)`.
        conflicts: Vec<String>,
    },
    /// A key whose feature is not here, and that it would be unsafe to ignore.
    #[error("\"{0}\" is not available in this version of dhow, and ignoring it would be unsafe")]
    Refused(String),
    /// A value that makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// The settings, and what the administrator should know.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) warnings: Vec<String>,
}

/// Reads the file, merges it with the flags and checks everything.
pub(crate) fn load(flags: &Flags) -> Result<Loaded, ConfigError> {
    let file = match &flags.config_file {
        Some(path) => read(path, true)?,
        None => read(Path::new(DEFAULT_FILE), false)?,
    };
    let path = flags.config_file.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    merge(&path, file, &flags.given)
}

fn read(path: &Path, must_exist: bool) -> Result<Map<String, Value>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(Map::new()),
        Err(source) => {
            return Err(ConfigError::Read {
                path: path.into(),
                source,
            });
        }
    };
    // Some editors put a byte order mark at the start, and an empty file is no settings.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|e| ConfigError::Syntax {
        path: path.into(),
        why: e.to_string(),
    })
}

fn merge(path: &Path, file: Map<String, Value>, flags: &Map<String, Value>) -> Result<Loaded, ConfigError> {
    let unknown: Vec<_> = file.keys().filter(|k| keys::find(k).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(ConfigError::Unknown {
            path: path.into(),
            keys: unknown,
        });
    }
    let conflicts: Vec<_> = file
        .iter()
        .filter_map(|(k, v)| {
            Some(format!(
                "{k}: (from flag: {}, from file: {})",
                go(flags.get(k)?),
                go(v)
            ))
        })
        .collect();
    if !conflicts.is_empty() {
        return Err(ConfigError::Conflict {
            path: path.into(),
            conflicts,
        });
    }
    let mut warnings = Vec::new();
    let given = |map: &Map<String, Value>, is_flag: bool| {
        let known = |(name, value): (&String, &Value)| Some((keys::find(name)?, is_flag, is_set(value)));
        map.iter().filter_map(known).collect::<Vec<_>>()
    };
    for (key, is_flag, is_set) in given(&file, false).into_iter().chain(given(flags, true)) {
        let name = if is_flag {
            format!("--{}", key.flag)
        } else {
            key.name.to_owned()
        };
        match key.state {
            State::Acts => {}
            State::Refused if is_set => return Err(ConfigError::Refused(name)),
            State::Refused => {}
            State::Later => warnings.push(format!(
                "\"{name}\" is not available in this version of dhow and is ignored"
            )),
            State::Gone => warnings.push(format!("\"{name}\" has no meaning any more and is ignored")),
        }
    }
    let mut all = file;
    all.extend(flags.clone());
    let settings = Settings::from_map(all)?;
    Ok(Loaded { settings, warnings })
}

/// False for the values that ask for nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => true,
    }
}

/// A value as Go's `%v` shows it.
fn go(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Array(a) => format!("[{}]", a.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(o) => {
            format!(
                "map[{}]",
                o.iter()
                    .map(|(k, v)| format!("{k}:{}", go(v)))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
        other => other.to_string(),
    }
}

/// The key as the sample file and the documentation name it, for tests.
#[cfg(test)]
pub(crate) fn key_names() -> Vec<&'static str> {
    keys::KEYS.iter().map(|k| k.name).collect()
}

#[cfg(test)]
mod tests;
