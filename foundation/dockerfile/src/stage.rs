//! Nodes to stages: a whole Dockerfile.

use crate::error::{Located, Span, SyntaxError};
use crate::flags::{Flags, Form};
use crate::instruction::{self, Arg, Command};
use crate::node::{Node, Tree};

/// A Dockerfile of more instructions is refused.
pub const MAX_INSTRUCTIONS: usize = 10_000;

/// A whole Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// What the comments at the top say.
    pub directives: crate::Directives,
    /// ARGs in front of the first FROM.
    pub global_args: Vec<Arg>,
    /// The stages in order; at least one.
    pub stages: Vec<Stage>,
    /// The syntax tree.
    pub tree: Tree,
}

/// FROM and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `AS name`, in small letters.
    pub name: Option<String>,
    /// The base as written: an image, an earlier stage, `scratch`.
    pub base: String,
    /// `--platform` as written.
    pub platform: Option<String>,
    /// `--reset`: what of the base's configuration is left out (`volume`, `expose`, `env:NAME`, …).
    pub reset: Vec<String>,
    /// The instructions.
    pub commands: Vec<Command>,
    /// FROM as one line, as it is written.
    pub text: String,
    /// Where FROM stands.
    pub span: Span,
}

impl Dockerfile {
    /// Parses a Dockerfile.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, Located> {
        let tree = crate::parse(text)?;
        let mut file = Self {
            directives: tree.directives.clone(),
            ..Self::default()
        };
        if let Some(node) = tree.nodes.get(MAX_INSTRUCTIONS) {
            let error = SyntaxError::TooMany(MAX_INSTRUCTIONS);
            return Err(Located::new(error, node.span.first, node.span.last));
        }
        for node in &tree.nodes {
            let taken = file.take(node);
            taken.map_err(|error| Located::new(error, node.span.first, node.span.last))?;
        }
        if file.stages.is_empty() {
            return Err(Located::new(SyntaxError::Empty, 1, 1));
        }
        file.tree = tree;
        Ok(file)
    }

    fn take(&mut self, node: &Node) -> Result<(), SyntaxError> {
        let keyword = node.keyword.to_ascii_uppercase();
        if keyword == "FROM" {
            self.stages.push(from(node)?);
            return Ok(());
        }
        let instruction = instruction::read(node)?;
        match (self.stages.last_mut(), instruction) {
            (Some(stage), instruction) => stage.commands.push(Command {
                instruction,
                text: node.text.clone(),
                span: node.span,
            }),
            (None, crate::Instruction::Arg(args)) => self.global_args.extend(args),
            (None, _) => return Err(SyntaxError::BeforeFrom(keyword)),
        }
        Ok(())
    }

    /// The number of the stage with this name, or of this number; the last of several with one name, and only those in
    /// front of `before`.
    pub fn stage(&self, name: &str, before: usize) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let named = |stage: &Stage| stage.name.as_deref() == Some(&lower);
        let stages = &self.stages[..before.min(self.stages.len())];
        let by_name = stages.iter().rposition(named);
        by_name.or_else(|| name.parse().ok().filter(|index| *index < stages.len()))
    }
}

fn from(node: &Node) -> Result<Stage, SyntaxError> {
    let known = [("platform", Form::Value), ("reset", Form::Value)];
    let flags = Flags::new(&node.flags, &known)?;
    let (base, name) = match node.arguments.words() {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("AS") => (base, Some(name)),
        [_, keyword, _] => return Err(SyntaxError::NotAs(keyword.clone())),
        _ => return Err(SyntaxError::OneOrThree("FROM".to_owned())),
    };
    let name = name.map(|name| stage_name(name)).transpose()?;
    let reset = flags.value("reset").unwrap_or_default();
    Ok(Stage {
        name,
        base: base.clone(),
        platform: flags.value("platform"),
        reset: reset
            .split(',')
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect(),
        commands: Vec::new(),
        text: node.text.clone(),
        span: node.span,
    })
}

fn stage_name(name: &str) -> Result<String, SyntaxError> {
    let lower = name.to_ascii_lowercase();
    let fine = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if !fine {
        return Err(SyntaxError::StageName(name.to_owned()));
    }
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_found_by_name_and_number() {
        let file =
            Dockerfile::parse("ARG V=1\nFROM a:$V AS One\nRUN x\nFROM --platform=linux/amd64 b\nFROM one\n")
                .unwrap();
        assert_eq!(file.global_args[0].name, "V");
        assert_eq!(file.stages.len(), 3);
        assert_eq!(file.stage("ONE", 3), Some(0));
        assert_eq!(file.stage("1", 3), Some(1));
        assert_eq!(file.stage("1", 1), None);
        assert_eq!(file.stages[1].platform.as_deref(), Some("linux/amd64"));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (text, line, expect) in [
            (
                "RUN x\n",
                1,
                "no build stage in current context: RUN must come after FROM",
            ),
            (
                "FROM a\nFROM a b c d\n",
                2,
                "FROM requires either one or three arguments",
            ),
            (
                "FROM a ASS b\n",
                1,
                "second argument to FROM must be AS, found \"ASS\"",
            ),
            (
                "FROM a AS 1b\n",
                1,
                "invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
            ),
            (
                "FROM a\nCOPY x\n",
                2,
                "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            ),
            (
                "FROM a\nCOPY --form=x a b\n",
                2,
                "unknown flag: --form (did you mean from?)",
            ),
            (
                "FROM a\nCOPY --from=x --from=y a b\n",
                2,
                "duplicate flag specified: --from",
            ),
            ("FROM a\nCOPY --from a b\n", 2, "missing a value on flag: --from"),
            (
                "FROM a\nCOPY --link=yes a b\n",
                2,
                "expecting boolean value for flag --link, not: yes",
            ),
            ("FROM a\nENV\n", 2, "ENV requires at least one argument"),
            ("FROM a\nENV x\n", 2, "ENV must have two arguments"),
            ("FROM a\nENV =x\n", 2, "ENV names can not be blank"),
            (
                "FROM a\nLABEL a=b c\n",
                2,
                "Syntax error - can't find = in \"c\". Must be of the form: name=value",
            ),
            (
                "FROM a\nSHELL sh\n",
                2,
                "SHELL requires the arguments to be in JSON form",
            ),
            ("FROM a\nWORKDIR\n", 2, "WORKDIR requires exactly one argument"),
            (
                "FROM a\nONBUILD ONBUILD RUN x\n",
                2,
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            (
                "FROM a\nONBUILD FROM x\n",
                2,
                "FROM isn't allowed as an ONBUILD trigger",
            ),
            (
                "FROM a\nHEALTHCHECK BLA\n",
                2,
                "Unknown type \"BLA\" in HEALTHCHECK (try CMD)",
            ),
            (
                "FROM a\nHEALTHCHECK --interval=5 CMD x\n",
                2,
                "invalid value \"5\" for flag --interval: not a duration such as 1m30s",
            ),
            (
                "FROM a\nRUN --network=x y\n",
                2,
                "invalid value \"x\" for flag --network: must be one of default, none, host",
            ),
            (
                "FROM a\nRUN --mount=type=x y\n",
                2,
                "invalid mount: unsupported mount type \"x\" (in \"type=x\")",
            ),
            ("ARG a\n", 1, "file with no instructions"),
            (
                "FROM a\nINCLUDE b\n",
                2,
                "INCLUDE b: files are included into a Dockerfile only, not into triggers",
            ),
        ] {
            let error = Dockerfile::parse(text).unwrap_err();
            assert_eq!(
                (error.error.to_string().as_str(), error.span.first),
                (expect, line),
                "{text}"
            );
        }
    }
}
