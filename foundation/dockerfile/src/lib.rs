//! Dockerfiles: text to syntax tree to stages of typed instructions; variables, ignore patterns, wildcards, lint.
//!
//! Pure: no file is opened and no image is known here. [`parse`] makes the syntax tree ([`Node`]s with the lines they
//! stand on), [`Dockerfile::parse`] the stages; [`expand`] puts in variables, [`ignore`] and [`glob`] match paths,
//! and [`lint`] tells what would better be written in another way. Every input is hostile: what is refused is refused
//! with the line it stands on, and nothing recurses by the depth of the input without a limit.

pub mod args;
pub mod error;
pub mod expand;
pub mod flags;
pub mod glob;
pub mod heredoc;
pub mod ignore;
pub mod include;
pub mod instruction;
pub mod lint;
pub mod mount;
pub mod node;
mod parser;
pub mod remote;
pub mod stage;
mod text;
mod words;

pub use error::{Located, Span, SyntaxError};
pub use instruction::{Command, Instruction};
pub use node::{Arguments, Node, Tree};
pub use parser::{Directives, parse};
pub use stage::{Dockerfile, Stage};
