//! Go's `text/template`, as far as `--format` shows it: parser, interpreter, docker's functions.
//!
//! A [`Template`] is parsed once ([`Template::parse`]) and executed for many [`Value`]s. Values are what JSON can say,
//! with the order of keys kept; they print the way Go prints them (`map[a:b]`, `[x y]`, `<no value>`). Templates
//! come from users and values from a daemon: nesting, recursion and the size of the output are bounded.

mod exec;
mod fields;
mod functions;
mod lex;
mod parse;
mod printf;
mod value;

pub(crate) use printf::quote;
pub(crate) use value::{HIDDEN, Value, sorted};

use parse::Node;
use std::collections::HashMap;

/// Why a template cannot be parsed or executed; the text is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It is no template.
    #[error("template: :{line}: {what}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// It cannot be applied to this value.
    #[error("template: :{line}:{column}: executing \"{name}\" at <{at}>: {what}")]
    Exec {
        /// Line, from 1.
        line: usize,
        /// Byte in the line, from 0.
        column: usize,
        /// Name of the template, empty for the outermost.
        name: String,
        /// The expression.
        at: String,
        /// What is wrong with it.
        what: String,
    },
    /// It would print more than any format may.
    #[error("template: output is larger than {0} bytes")]
    TooLarge(usize),
}

/// What happens with a key that a map does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingKey {
    /// It prints as `<no value>`.
    NoValue,
    /// It is an error that names it (docker's `inspect`).
    Error,
    /// It is an error that names it and the Go type of the row (docker's lists).
    Row(&'static str),
    /// The value is a row of headers: nothing is missing, and functions leave their argument as it is.
    Header,
}

/// A parsed template, with those that it defines.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    source: String,
    main: Vec<Node>,
    defined: HashMap<String, Vec<Node>>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`], with the text that Go has for it.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut defined = HashMap::new();
        let main = parse::parse(source, &mut defined)?;
        Ok(Self {
            source: source.to_owned(),
            main,
            defined,
        })
    }

    /// Executes it.
    ///
    /// # Errors
    /// [`TemplateError::Exec`] where an expression cannot be evaluated, or the output grows beyond all bounds.
    pub(crate) fn execute(&self, value: &Value, missing: MissingKey) -> Result<String, TemplateError> {
        exec::run(self, value, missing)
    }
}

/// What `--format` prints of one JSON document.
///
/// # Errors
/// The message: the template is none, cannot be applied to this document, or would print beyond all bounds; or the
/// document is no JSON.
pub fn format(template: &str, document: &[u8]) -> Result<String, String> {
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    let value = Value::from_json(document).map_err(|error| error.to_string())?;
    template
        .execute(&value, MissingKey::NoValue)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
