//! How one container's output is logged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fault::{Fault, Kind};
use serde::{Deserialize, Serialize};

/// The buffer of `mode=non-blocking` unless `max-buffer-size` says another; Docker's.
const BUFFER: u64 = 1_000_000;

/// The built-in log drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// One JSON object per line.
    JsonFile,
    /// Length-prefixed protobuf records, rotated and compressed by default.
    Local,
    /// Nothing is kept.
    None,
}

impl Driver {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Driver::JsonFile => "json-file",
            Driver::Local => "local",
            Driver::None => "none",
        }
    }
}

/// A complete log configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The driver.
    pub driver: Driver,
    /// The current log file; rotated ones are beside it with `.1`, `.2`, ... (`.gz` when compressed).
    pub path: PathBuf,
    /// Rotate when the file has grown to this many bytes.
    pub max_size: Option<u64>,
    /// How many files are kept, the current one included; at least 1.
    pub max_file: u32,
    /// Compress rotated files.
    pub compress: bool,
    /// Attributes of every line (`labels`, `env`, `tag` options).
    pub attributes: BTreeMap<String, String>,
    /// With `mode=non-blocking`: how many bytes wait for the log at most, before lines are dropped.
    #[serde(default)]
    pub buffer: Option<u64>,
}

/// What log options may choose from and name.
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a> {
    /// The container's labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// The container's environment, `NAME=value`.
    pub env: &'a [String],
    /// Full container id.
    pub id: &'a str,
    /// Container name, without a slash.
    pub name: &'a str,
    /// Full image id.
    pub image_id: &'a str,
    /// The image as the user named it.
    pub image_name: &'a str,
    /// What `{{.DaemonName}}` gives; Docker's is `docker`.
    pub daemon_name: &'a str,
}

/// A log driver or option that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such driver.
    #[error("logger: no log driver named '{0}' is registered")]
    UnknownDriver(String),
    /// The driver has no such option.
    #[error("unknown log opt '{option}' for {driver} log driver")]
    UnknownOption {
        /// The option.
        option: String,
        /// The driver.
        driver: &'static str,
    },
    /// The value of an option is malformed.
    #[error("invalid value for {option}: {value:?}")]
    InvalidValue {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
    },
    /// No such mode.
    #[error("logger: logging mode not supported: {0}")]
    Mode(String),
    /// A buffer makes sense only where something may be lost.
    #[error("logger: max-buffer-size option is only supported with 'mode=non-blocking'")]
    BufferWithoutMode,
    /// Fewer than one file.
    #[error("max-file cannot be less than 1")]
    MaxFileTooSmall,
    /// Compression has nothing to compress.
    #[error("compress cannot be true when max-file is less than 2 or max-size is not set")]
    NothingToCompress,
    /// A pattern cannot be read.
    #[error("invalid regular expression {pattern:?} for {option}: {problem}")]
    Pattern {
        /// The option.
        option: &'static str,
        /// Its value.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Fault for ConfigError {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

impl Config {
    /// Nothing is kept.
    pub fn none() -> Self {
        Config {
            driver: Driver::None,
            path: PathBuf::new(),
            max_size: None,
            max_file: 1,
            compress: false,
            attributes: BTreeMap::new(),
            buffer: None,
        }
    }

    /// A `json-file` without limits.
    pub fn json_file(path: PathBuf) -> Self {
        Config {
            driver: Driver::JsonFile,
            path,
            ..Config::none()
        }
    }

    /// From `--log-driver` and `--log-opt`. `path` is where the log file will be (unused for `none`).
    ///
    /// # Errors
    /// Docker's sentences for an unknown driver, an unknown option or a value out of range.
    pub fn from_options(
        driver: &str,
        options: &BTreeMap<String, String>,
        path: PathBuf,
        about: &Attributes<'_>,
    ) -> Result<Self, ConfigError> {
        let mut config = match driver {
            "json-file" | "" => Config::json_file(path),
            "local" => Config {
                driver: Driver::Local,
                path,
                max_size: Some(20 * 1024 * 1024),
                max_file: 5,
                compress: true,
                ..Config::none()
            },
            "none" => Config::none(),
            other => return Err(ConfigError::UnknownDriver(other.to_owned())),
        };
        let name = config.driver.name();
        for (option, value) in options {
            match (config.driver, option.as_str()) {
                (_, "mode") if matches!(value.as_str(), "" | "blocking") => {}
                (_, "mode") if value == "non-blocking" => {
                    config.buffer.get_or_insert(BUFFER);
                }
                (_, "mode") => return Err(ConfigError::Mode(value.clone())),
                (_, "max-buffer-size") => {
                    if options.get("mode").map(String::as_str) != Some("non-blocking") {
                        return Err(ConfigError::BufferWithoutMode);
                    }
                    config.buffer = Some(human_size("max-buffer-size", value, 1024.0)?);
                }
                (Driver::None, _) => {}
                (_, "max-size") => config.max_size = Some(human_size("max-size", value, 1000.0)?),
                (_, "max-file") => {
                    let invalid = |_| ConfigError::InvalidValue {
                        option: "max-file",
                        value: value.clone(),
                    };
                    let files: i64 = value.parse().map_err(invalid)?;
                    config.max_file = u32::try_from(files)
                        .ok()
                        .filter(|n| *n >= 1)
                        .ok_or(ConfigError::MaxFileTooSmall)?;
                }
                (_, "compress") => {
                    config.compress = match value.as_str() {
                        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                        _ => {
                            return Err(ConfigError::InvalidValue {
                                option: "compress",
                                value: value.clone(),
                            });
                        }
                    };
                }
                (Driver::JsonFile, "labels") => {
                    for key in value.split(',') {
                        if let Some(text) = about.labels.and_then(|labels| labels.get(key)) {
                            config.attributes.insert(key.to_owned(), text.clone());
                        }
                    }
                }
                (Driver::JsonFile, "env") => {
                    for key in value.split(',') {
                        let found = about.env.iter().filter_map(|pair| pair.split_once('='));
                        for (_, text) in found.filter(|(name, _)| *name == key) {
                            config.attributes.insert(key.to_owned(), text.to_owned());
                        }
                    }
                }
                (Driver::JsonFile, "tag") => {
                    if !value.is_empty() {
                        config
                            .attributes
                            .insert("tag".to_owned(), render_tag(value, about)?);
                    }
                }
                (Driver::JsonFile, "labels-regex") => {
                    let pattern = pattern("labels-regex", value)?;
                    let fitting = about.labels.into_iter().flatten();
                    let fitting = fitting.filter(|(key, _)| pattern.is_match(key));
                    config
                        .attributes
                        .extend(fitting.map(|(key, text)| (key.clone(), text.clone())));
                }
                (Driver::JsonFile, "env-regex") => {
                    let pattern = pattern("env-regex", value)?;
                    let pairs = about.env.iter().filter_map(|pair| pair.split_once('='));
                    let fitting = pairs.filter(|(key, _)| pattern.is_match(key));
                    config
                        .attributes
                        .extend(fitting.map(|(key, text)| (key.to_owned(), text.to_owned())));
                }
                _ => {
                    return Err(ConfigError::UnknownOption {
                        option: option.clone(),
                        driver: name,
                    });
                }
            }
        }
        if config.driver == Driver::JsonFile
            && config.compress
            && (config.max_file < 2 || config.max_size.is_none())
        {
            return Err(ConfigError::NothingToCompress);
        }
        Ok(config)
    }
}

/// `10m`, `1.5g`, `100kb`: multiples of `thousand`, which is 1000 in Docker's `FromHumanSize` and 1024 in its `RAMInBytes`.
fn human_size(option: &'static str, text: &str, thousand: f64) -> Result<u64, ConfigError> {
    let invalid = || ConfigError::InvalidValue {
        option,
        value: text.to_owned(),
    };
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let number: f64 = lower[..end].parse().map_err(|_| invalid())?;
    let factor = match lower[end..].trim() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => thousand,
        "m" | "mb" | "mib" => thousand.powi(2),
        "g" | "gb" | "gib" => thousand.powi(3),
        "t" | "tb" | "tib" => thousand.powi(4),
        "p" | "pb" | "pib" => thousand.powi(5),
        _ => return Err(invalid()),
    };
    let bytes = number * factor;
    if bytes < 1.0 || bytes > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(bytes as u64)
}

fn pattern(option: &'static str, text: &str) -> Result<regex_lite::Regex, ConfigError> {
    regex_lite::Regex::new(text).map_err(|problem| ConfigError::Pattern {
        option,
        pattern: text.to_owned(),
        problem: problem.to_string(),
    })
}

/// The fields of Docker's log tag templates; other template code is refused.
fn render_tag(template: &str, about: &Attributes<'_>) -> Result<String, ConfigError> {
    let invalid = || ConfigError::InvalidValue {
        option: "tag",
        value: template.to_owned(),
    };
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (field, tail) = after.split_once("}}").ok_or_else(invalid)?;
        let image_id = about.image_id.strip_prefix("sha256:").unwrap_or(about.image_id);
        out.push_str(match field.trim() {
            ".ID" => about.id.get(..12).unwrap_or(about.id),
            ".FullID" => about.id,
            ".Name" => about.name,
            ".ImageID" => image_id.get(..12).unwrap_or(image_id),
            ".ImageFullID" => about.image_id,
            ".ImageName" => about.image_name,
            ".DaemonName" => about.daemon_name,
            _ => return Err(invalid()),
        });
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests;
