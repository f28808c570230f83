//! Typed instructions: what each node means, its flags checked, nothing expanded yet.

mod health;
mod read;

use crate::error::{Span, SyntaxError};
use crate::expand::ExpandError;
use crate::heredoc::Heredoc;

pub use health::Health;

/// An instruction with its text and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it says.
    pub instruction: Instruction,
    /// The instruction as one line, as it is written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// All instructions but FROM, which begins a [`crate::Stage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the Dockerfile reference")]
pub enum Instruction {
    Add(Copy),
    Arg(Vec<Arg>),
    Cmd(CommandLine),
    Copy(Copy),
    Entrypoint(CommandLine),
    Env(Vec<(String, String)>),
    Expose(Vec<String>),
    Healthcheck(Health),
    Label(Vec<(String, String)>),
    Maintainer(String),
    /// The text of the trigger, and what it means.
    Onbuild(String, Box<Instruction>),
    Run(Run),
    Shell(Vec<String>),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// A command in shell form (one text) or exec form (words).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The words; in shell form one text, or none.
    pub words: Vec<String>,
    /// Shell form.
    pub shell: bool,
}

impl CommandLine {
    /// The words to execute; the shell form goes to `shell`.
    pub fn argv(&self, shell: &[String]) -> Vec<String> {
        if !self.shell {
            return self.words.clone();
        }
        shell.iter().chain(&self.words).cloned().collect()
    }
}

/// `ARG NAME[=default]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// Its default, not yet unquoted.
    pub value: Option<String>,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// Paths, patterns, URLs.
    pub sources: Vec<String>,
    /// Files written in the Dockerfile itself.
    pub heredocs: Vec<Heredoc>,
    /// Where to.
    pub destination: String,
    /// `--from`: a stage, an image, a named context.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--checksum` (ADD of a URL).
    pub checksum: Option<String>,
    /// `--keep-git-dir` (ADD of a repository).
    pub keep_git_dir: bool,
    /// `--unpack` (ADD); by default local archives only.
    pub unpack: Option<bool>,
}

/// `RUN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// What is executed.
    pub command: CommandLine,
    /// Here-documents of the shell form.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, as written.
    pub mounts: Vec<String>,
    /// `--network`: `default`, `none`, `host`.
    pub network: Option<String>,
    /// `--security`: `sandbox`, `insecure`.
    pub security: Option<String>,
    /// `--device`.
    pub devices: Vec<String>,
}

/// How a script in a here-document is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// As a line for the shell.
    Line(String),
    /// As a file of its own, because it begins with `#!`.
    File {
        /// Its name.
        name: String,
        /// Its content.
        content: String,
    },
}

impl Run {
    /// What the here-documents make of the command; `None` without any.
    pub fn script(&self) -> Option<Script> {
        let first = self.heredocs.first()?;
        let line = self.command.words.first()?;
        if crate::heredoc::opening(line).is_some() {
            let content = first.text();
            return Some(match content.starts_with("#!") {
                true => Script::File {
                    name: first.name.clone(),
                    content,
                },
                false => Script::Line(content),
            });
        }
        let documents = self
            .heredocs
            .iter()
            .map(|document| format!("\n{}{}", document.content, document.name));
        Some(Script::Line(line.clone() + &documents.collect::<String>()))
    }
}

/// Puts variables into one word.
pub type ExpandWord<'a> = &'a dyn Fn(&str) -> Result<String, ExpandError>;
/// Puts variables into a text and splits it.
pub type ExpandWords<'a> = &'a dyn Fn(&str) -> Result<Vec<String>, ExpandError>;

impl Instruction {
    /// Its name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(..) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }

    /// Puts variables in, where the instruction takes them. The commands of RUN, CMD and ENTRYPOINT are left to the
    /// shell that runs them.
    ///
    /// # Errors
    /// [`ExpandError`].
    pub fn expand(&mut self, word: ExpandWord<'_>, words: ExpandWords<'_>) -> Result<(), ExpandError> {
        let one = |text: &mut String| -> Result<(), ExpandError> {
            *text = word(text)?;
            Ok(())
        };
        match self {
            Self::Add(copy) | Self::Copy(copy) => {
                copy.sources.iter_mut().try_for_each(one)?;
                one(&mut copy.destination)?;
                copy.exclude.iter_mut().try_for_each(one)?;
                let options = [&mut copy.chown, &mut copy.chmod, &mut copy.checksum];
                options.into_iter().flatten().try_for_each(one)
            }
            Self::Env(pairs) | Self::Label(pairs) => pairs.iter_mut().try_for_each(|(name, value)| {
                one(name)?;
                one(value)
            }),
            Self::Expose(list) => {
                let mut all = Vec::new();
                for text in list.iter() {
                    all.extend(words(text)?);
                }
                *list = all;
                Ok(())
            }
            Self::Volume(list) => list.iter_mut().try_for_each(one),
            Self::Arg(list) => list
                .iter_mut()
                .filter_map(|arg| arg.value.as_mut())
                .try_for_each(one),
            Self::Run(run) => run.mounts.iter_mut().try_for_each(one),
            Self::StopSignal(text) | Self::User(text) | Self::Workdir(text) => one(text),
            Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Healthcheck(_)
            | Self::Maintainer(_)
            | Self::Onbuild(..)
            | Self::Shell(_) => Ok(()),
        }
    }

    /// Reads an instruction from one line: a trigger, or `--change`.
    ///
    /// # Errors
    /// [`crate::Located`]; FROM is none.
    pub fn parse(text: &str) -> Result<Command, crate::Located> {
        let tree = crate::parse(text)?;
        let node = &tree.nodes[0];
        let at = |error| crate::Located::new(error, node.span.first, node.span.last);
        if let Some(extra) = tree.nodes.get(1) {
            return Err(at(SyntaxError::UnknownInstruction {
                name: extra.keyword.clone(),
                suggestion_for: None,
            }));
        }
        let instruction = read::instruction(node).map_err(at)?;
        Ok(Command {
            instruction,
            text: node.text.clone(),
            span: node.span,
        })
    }
}

pub(crate) use read::instruction as read;
