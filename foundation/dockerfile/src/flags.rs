//! The flags of one instruction: which there are, each at most once unless it is a list.

use crate::error::{SyntaxError, nearest};

/// The flags of an instruction, taken out one by one.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    given: Vec<(String, Option<String>)>,
}

/// How a flag is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Value,
    List,
    Bool,
}

impl Flags {
    /// Reads flags against those that the instruction knows.
    pub(crate) fn new(flags: &[String], known: &[(&str, Form)]) -> Result<Self, SyntaxError> {
        let mut given: Vec<(String, Option<String>)> = Vec::new();
        for flag in flags {
            let body = flag.strip_prefix("--").unwrap_or(flag);
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let Some((_, form)) = known.iter().find(|(known, _)| *known == name) else {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(SyntaxError::UnknownFlag {
                    name: name.to_owned(),
                    suggestion_for: nearest(name, &names),
                });
            };
            if *form != Form::List && given.iter().any(|(other, _)| other == name) {
                return Err(SyntaxError::FlagTwice(name.to_owned()));
            }
            match (form, value.as_deref()) {
                (Form::Bool, None | Some("true" | "false")) | (Form::Value | Form::List, Some(_)) => {}
                (Form::Bool, Some(value)) => {
                    return Err(SyntaxError::FlagNotBool {
                        name: name.to_owned(),
                        value: value.to_owned(),
                    });
                }
                (_, None) => return Err(SyntaxError::FlagNoValue(name.to_owned())),
            }
            given.push((name.to_owned(), value));
        }
        Ok(Self { given })
    }

    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.list(name).into_iter().next()
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let given = self.given.iter().filter(|(given, _)| given == name);
        given.filter_map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        let (_, value) = self.given.iter().find(|(given, _)| given == name)?;
        Some(value.as_deref() != Some("false"))
    }
}

/// Milliseconds and more of a Go duration (`1m30s`) in nanoseconds; `None` when it is none.
pub fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ];
        let (unit, factor) = units
            .iter()
            .filter(|(unit, _)| rest.starts_with(unit))
            .max_by_key(|(unit, _)| unit.len())?;
        rest = &rest[unit.len()..];
        sum += number * factor;
    }
    if sum > 9e18 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let nanoseconds = sum.round() as i64;
    Some(if negative { -nanoseconds } else { nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("10ms"), Some(10_000_000));
        assert_eq!(duration("0"), Some(0));
        for bad in ["", "5", "s", "1x", "1s2", "99999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
