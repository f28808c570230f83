//! `HEALTHCHECK`.

use crate::error::SyntaxError;
use crate::flags::{Flags, Form};
use crate::node::Node;

/// How to see whether a container is well; times are nanoseconds, 0 for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`.
    pub test: Vec<String>,
    /// Between two probes.
    pub interval: i64,
    /// For one probe.
    pub timeout: i64,
    /// Failures do not count so long.
    pub start_period: i64,
    /// Between two probes meanwhile.
    pub start_interval: i64,
    /// Failures in a row.
    pub retries: i64,
}

const FLAGS: &[(&str, Form)] = &[
    ("interval", Form::Value),
    ("timeout", Form::Value),
    ("start-period", Form::Value),
    ("start-interval", Form::Value),
    ("retries", Form::Value),
];

impl Health {
    pub(super) fn read(node: &Node) -> Result<Self, SyntaxError> {
        let flags = Flags::new(&node.flags, FLAGS)?;
        let words = node.arguments.words();
        let Some((kind, rest)) = words.split_first() else {
            return Err(SyntaxError::AtLeastOne("HEALTHCHECK".to_owned()));
        };
        let test = match kind.to_ascii_uppercase().as_str() {
            "NONE" if rest.is_empty() => vec!["NONE".to_owned()],
            "NONE" => return Err(SyntaxError::HealthNoneArguments),
            "CMD" if rest.is_empty() => return Err(SyntaxError::HealthNoCommand),
            "CMD" => {
                let first = if node.arguments.is_json() {
                    "CMD"
                } else {
                    "CMD-SHELL"
                };
                std::iter::once(first.to_owned())
                    .chain(rest.iter().cloned())
                    .collect()
            }
            _ => return Err(SyntaxError::HealthType(kind.clone())),
        };
        Ok(Self {
            test,
            interval: time(&flags, "interval")?,
            timeout: time(&flags, "timeout")?,
            start_period: time(&flags, "start-period")?,
            start_interval: time(&flags, "start-interval")?,
            retries: retries(&flags)?,
        })
    }
}

fn time(flags: &Flags, name: &str) -> Result<i64, SyntaxError> {
    let Some(text) = flags.value(name).filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    match oci::duration::parse(&text) {
        None => Err(SyntaxError::FlagValue {
            name: name.to_owned(),
            value: text,
            why: "not a duration such as 1m30s".to_owned(),
        }),
        Some(time) if time != 0 && time < 1_000_000 => Err(SyntaxError::HealthInterval(name.to_owned())),
        Some(time) => Ok(time),
    }
}

fn retries(flags: &Flags) -> Result<i64, SyntaxError> {
    let Some(text) = flags.value("retries").filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    match text.parse::<i32>() {
        Ok(count) if count < 0 => Err(SyntaxError::HealthRetries(text)),
        Ok(count) => Ok(count.into()),
        Err(error) => Err(SyntaxError::FlagValue {
            name: "retries".to_owned(),
            value: text,
            why: error.to_string(),
        }),
    }
}
