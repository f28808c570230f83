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
