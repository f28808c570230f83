//! The syntax tree: one node for each instruction, as it is written.

use crate::error::Span;
use crate::heredoc::Heredoc;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// What the comments at the top say to the parser.
    pub directives: crate::Directives,
    /// The instructions in order.
    pub nodes: Vec<Node>,
    /// Lines that are empty inside a continued instruction.
    pub empty_continuations: Vec<usize>,
}

/// One instruction as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name as written: `RUN`, `from`.
    pub keyword: String,
    /// Its flags, with their dashes and without quotes: `--from=build`.
    pub flags: Vec<String>,
    /// What follows.
    pub arguments: Arguments,
    /// The instruction as one line.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// The here-documents that belong to it.
    pub heredocs: Vec<Heredoc>,
    /// The comment lines straight above.
    pub comments: Vec<String>,
}

/// The arguments of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Words, or one text for the shell.
    Words(Vec<String>),
    /// A JSON list of strings.
    Json(Vec<String>),
    /// `NAME=value` pairs; `with_equals` is false for the old form `NAME value`.
    Pairs {
        /// Names and values, not yet unquoted.
        pairs: Vec<(String, String)>,
        /// Which form was used.
        with_equals: bool,
    },
    /// The instruction that `ONBUILD` keeps.
    Trigger(Box<Node>),
}

impl Arguments {
    /// The words, whatever their form; none for pairs and triggers.
    pub fn words(&self) -> &[String] {
        match self {
            Self::Words(words) | Self::Json(words) => words,
            Self::Pairs { .. } | Self::Trigger(_) => &[],
        }
    }

    /// Whether they were written as JSON.
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }
}
