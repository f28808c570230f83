//! What is wrong with a Dockerfile, and where; the texts are BuildKit's where there is one.

use std::fmt::Write;

use fault::{Fault, Kind};

/// The lines something stands on, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
}

/// Why a Dockerfile is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum SyntaxError {
    #[error("file with no instructions")]
    Empty,
    #[error("the Dockerfile is not UTF-8 text")]
    NotText,
    #[error("the Dockerfile is too large: {0} bytes are allowed")]
    TooLarge(usize),
    #[error("the Dockerfile has too many instructions: {0} are allowed")]
    TooMany(usize),
    #[error("unknown instruction: {name}{}", suggestion(suggestion_for.as_deref()))]
    UnknownInstruction {
        name: String,
        suggestion_for: Option<String>,
    },
    #[error("only one {0} parser directive can be used")]
    DirectiveTwice(String),
    #[error("invalid ESCAPE '{0}' does not match ` or \\")]
    BadEscape(String),
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    JsonNotStrings,
    #[error("{0} must have two arguments")]
    TwoArguments(String),
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoPair(String),
    #[error("{0} requires at least one argument")]
    AtLeastOne(String),
    #[error("{0} requires exactly one argument")]
    ExactlyOne(String),
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoDestination(String),
    #[error("{0} names can not be blank")]
    BlankName(String),
    #[error("{0} requires either one or three arguments")]
    OneOrThree(String),
    #[error("second argument to FROM must be AS, found {0:?}")]
    NotAs(String),
    #[error("invalid name for build stage: {0:?}, name can't start with a number or contain symbols")]
    StageName(String),
    #[error("no build stage in current context: {0} must come after FROM")]
    BeforeFrom(String),
    #[error("unknown flag: --{name}{}", suggestion(suggestion_for.as_deref()))]
    UnknownFlag {
        name: String,
        suggestion_for: Option<String>,
    },
    #[error("duplicate flag specified: --{0}")]
    FlagTwice(String),
    #[error("missing a value on flag: --{0}")]
    FlagNoValue(String),
    #[error("expecting boolean value for flag --{name}, not: {value}")]
    FlagNotBool { name: String, value: String },
    #[error("invalid value {value:?} for flag --{name}: {why}")]
    FlagValue {
        name: String,
        value: String,
        why: String,
    },
    #[error("{0} requires the arguments to be in JSON form")]
    JsonNeeded(String),
    #[error("Unknown type {0:?} in HEALTHCHECK (try CMD)")]
    HealthType(String),
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthNoneArguments,
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthNoCommand,
    #[error("Interval {0:?} cannot be less than 1ms")]
    HealthInterval(String),
    #[error("--retries cannot be negative ({0})")]
    HealthRetries(String),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnbuildOnbuild,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnbuildTrigger(String),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("invalid mount: {0}")]
    Mount(String),
    #[error("heredocs are not allowed in the destination of {0}")]
    HeredocDestination(String),
    #[error("INCLUDE {path}: {why}")]
    Include { path: String, why: String },
    #[error(transparent)]
    Expand(#[from] crate::expand::ExpandError),
}

impl fault::Fault for SyntaxError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

fn suggestion(name: Option<&str>) -> String {
    name.map(|name| format!(" (did you mean {name}?)"))
        .unwrap_or_default()
}

/// An error and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dockerfile parse error on line {}: {error}", span.first)]
pub struct Located {
    /// What is wrong.
    pub error: SyntaxError,
    /// The instruction it is wrong in.
    pub span: Span,
    /// The word that is to blame, if it is one.
    pub word: Option<String>,
}

impl Fault for Located {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

/// At most so many lines of an instruction are shown.
const SHOWN: usize = 8;

impl Located {
    pub(crate) fn new(error: SyntaxError, first: usize, last: usize) -> Self {
        let word = match &error {
            SyntaxError::UnknownInstruction { name, .. } | SyntaxError::StageName(name) => Some(name.clone()),
            SyntaxError::UnknownFlag { name, .. } | SyntaxError::FlagTwice(name) => Some(format!("--{name}")),
            SyntaxError::NotAs(word) | SyntaxError::NoPair(word) => Some(word.clone()),
            _ => None,
        };
        Self {
            error,
            span: Span { first, last },
            word,
        }
    }

    /// The error with its lines and a caret under the word that is to blame.
    pub fn render(&self, file: &str, text: &str) -> String {
        let mut out = format!("{file}:{}: {}\n", self.span.first, self.error);
        for (number, line) in (self.span.first..).zip(lines_of(text, self.span)) {
            let _ = writeln!(out, "{number:>5} | {line}");
            if let Some(column) = self.word.as_ref().and_then(|word| line.find(word.as_str())) {
                let before = line[..column].chars().map(|c| if c == '\t' { '\t' } else { ' ' });
                let carets = "^".repeat(self.word.as_ref().map_or(1, |word| word.chars().count().max(1)));
                let _ = writeln!(out, "      | {}{carets}", before.collect::<String>());
            }
        }
        out
    }
}

fn lines_of(text: &str, span: Span) -> impl Iterator<Item = &str> {
    let count = (span.last.max(span.first) + 1 - span.first).min(SHOWN);
    text.lines().skip(span.first.saturating_sub(1)).take(count)
}

/// The word of `known` that is nearest to `word`, if one is near.
pub(crate) fn nearest(word: &str, known: &[&str]) -> Option<String> {
    let word = word.to_ascii_lowercase();
    if word.len() > 40 {
        return None;
    }
    known
        .iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 2.min(candidate.len().div_ceil(2)))
        .min_by_key(|(distance, candidate)| {
            let other_start = !candidate
                .as_bytes()
                .first()
                .eq(&word.to_ascii_uppercase().as_bytes().first())
                && candidate.as_bytes().first() != word.as_bytes().first();
            (*distance, other_start)
        })
        .map(|(_, candidate)| (*candidate).to_owned())
}

/// How many letters are to be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_instruction_is_shown_with_its_line_a_caret_and_a_suggestion() {
        let text = "FROM scratch\n  RNU true\n";
        let error = crate::Dockerfile::parse(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)"
        );
        let shown = error.render("Dockerfile", text);
        assert_eq!(
            shown,
            "Dockerfile:2: unknown instruction: RNU (did you mean RUN?)\n    2 |   RNU true\n      |   ^^^\n"
        );
    }

    #[test]
    fn a_word_far_from_all_others_gets_no_suggestion() {
        assert_eq!(nearest("frobnicate", &["FROM", "RUN"]), None);
        assert_eq!(nearest("COPPY", &["COPY", "CMD"]), Some("COPY".to_owned()));
    }
}
