//! Text to syntax tree.

use crate::error::{Located, Span, SyntaxError, nearest};
use crate::heredoc;
use crate::node::{Arguments, Node, Tree};
use crate::text::{continued, is_comment, lines, trim_start};
use crate::words;

/// A Dockerfile of more bytes is refused.
pub(crate) const MAX_SIZE: usize = 8 << 20;

/// All instructions.
pub(crate) const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What the comments at the top of a file say to the parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The character that continues lines and escapes others.
    pub escape: char,
    /// `# syntax=…`: read, and never pulled; this is the front end.
    pub syntax: Option<String>,
    /// `# check=…`: what the linter skips.
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            escape: '\\',
            syntax: None,
            check: None,
        }
    }
}

impl Directives {
    /// Takes in one comment line; false when the lines for directives are over.
    fn take(&mut self, line: &str, seen: &mut Vec<String>) -> Result<bool, SyntaxError> {
        let Some((name, value)) = line
            .trim()
            .strip_prefix('#')
            .and_then(|rest| rest.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        else {
            return Ok(false);
        };
        if !["escape", "syntax", "check"].contains(&name.as_str()) || value.is_empty() {
            return Ok(false);
        }
        if seen.contains(&name) {
            return Err(SyntaxError::DirectiveTwice(name));
        }
        match name.as_str() {
            "escape" => {
                self.escape = match value {
                    "`" => '`',
                    "\\" => '\\',
                    _ => return Err(SyntaxError::BadEscape(value.to_owned())),
                }
            }
            "syntax" => self.syntax = Some(value.to_owned()),
            _ => self.check = Some(value.to_owned()),
        }
        seen.push(name);
        Ok(true)
    }
}

/// Parses a file.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn parse(text: &str) -> Result<Tree, Located> {
    if text.len() > MAX_SIZE {
        return Err(Located::new(SyntaxError::TooLarge(MAX_SIZE), 1, 1));
    }
    let mut tree = Tree::default();
    let (mut seen, mut directives_over) = (Vec::new(), false);
    let mut comments = Vec::new();
    let mut input = lines(text)
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .peekable();
    let mut last = 1;
    while let Some((first, line)) = input.next() {
        last = first;
        if !directives_over {
            let taken = tree.directives.take(line, &mut seen);
            directives_over = !taken.map_err(|error| Located::new(error, first, first))?;
        }
        if is_comment(line) {
            comments.push(trim_start(line)[1..].trim().to_owned());
            continue;
        }
        let escape = tree.directives.escape;
        let (part, mut goes_on) = continued(trim_start(line), escape);
        if part.trim().is_empty() && !goes_on {
            comments.clear();
            continue;
        }
        let mut joined = part.to_owned();
        while goes_on {
            let Some((number, line)) = input.next() else { break };
            last = number;
            if is_comment(line) {
                continue;
            }
            if line.trim().is_empty() {
                tree.empty_continuations.push(number);
                continue;
            }
            let part;
            (part, goes_on) = continued(line, escape);
            joined.push_str(part);
        }
        if joined.trim().is_empty() {
            continue;
        }
        let mut node = node(&joined, escape).map_err(|error| Located::new(error, first, last))?;
        if may_have_heredocs(&node) && joined.contains("<<") {
            let mut opened = heredoc::openings(&joined, escape)
                .map_err(|error| Located::new(error.into(), first, last))?;
            for document in &mut opened {
                let mut ended = false;
                for (number, line) in input.by_ref() {
                    last = number;
                    if document.ends_at(line) {
                        ended = true;
                        break;
                    }
                    document.content.push_str(line);
                }
                if !ended {
                    return Err(Located::new(SyntaxError::UnterminatedHeredoc, first, last));
                }
            }
            if let Arguments::Trigger(inner) = &mut node.arguments {
                inner.heredocs.clone_from(&opened);
            }
            node.heredocs = opened;
        }
        node.span = Span { first, last };
        if let Arguments::Trigger(inner) = &mut node.arguments {
            inner.span = node.span;
        }
        node.comments = std::mem::take(&mut comments);
        tree.nodes.push(node);
    }
    if tree.nodes.is_empty() {
        return Err(Located::new(SyntaxError::Empty, last, last));
    }
    Ok(tree)
}

fn may_have_heredocs(node: &Node) -> bool {
    let node = match &node.arguments {
        Arguments::Trigger(inner) => inner,
        _ => node,
    };
    let upper = node.keyword.to_ascii_uppercase();
    !node.arguments.is_json() && ["ADD", "COPY", "RUN"].contains(&upper.as_str())
}

/// One logical line to a node.
pub(crate) fn node(line: &str, escape: char) -> Result<Node, SyntaxError> {
    let text = line.trim();
    let (keyword, rest) = match text.find(['\t', '\u{b}', '\u{c}', '\r', ' ']) {
        Some(end) => (&text[..end], text[end..].trim()),
        None => (text, ""),
    };
    let (flags, rest) = words::flags(rest);
    let arguments = arguments(keyword, rest.trim(), escape)?;
    Ok(Node {
        keyword: keyword.to_owned(),
        flags,
        arguments,
        text: text.to_owned(),
        span: Span::default(),
        heredocs: Vec::new(),
        comments: Vec::new(),
    })
}

fn arguments(keyword: &str, rest: &str, escape: char) -> Result<Arguments, SyntaxError> {
    let upper = keyword.to_ascii_uppercase();
    let one = |rest: &str| match rest {
        "" => Vec::new(),
        rest => vec![rest.to_owned()],
    };
    Ok(match upper.as_str() {
        "ADD" | "COPY" | "VOLUME" => match json(rest)? {
            Some(list) => Arguments::Json(list),
            None => Arguments::Words(words::whitespace(rest)),
        },
        "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => match json(rest)? {
            Some(list) => Arguments::Json(list),
            None => Arguments::Words(one(rest)),
        },
        "ARG" => Arguments::Words(words::quoted(rest, escape)),
        "ENV" | "LABEL" => words::pairs(&upper, rest, escape)?,
        "EXPOSE" | "FROM" => Arguments::Words(words::whitespace(rest)),
        "HEALTHCHECK" => health(rest)?,
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => Arguments::Words(one(rest)),
        "ONBUILD" => match rest {
            "" => Arguments::Words(Vec::new()),
            // A chain of triggers is refused later; its parts need not be parsed.
            rest if is_onbuild(rest) => Arguments::Words(vec![rest.to_owned()]),
            rest => Arguments::Trigger(Box::new(node(rest, escape)?)),
        },
        "INCLUDE" => Arguments::Words(one(rest)),
        _ => {
            return Err(SyntaxError::UnknownInstruction {
                name: keyword.to_owned(),
                suggestion_for: nearest(keyword, &INSTRUCTIONS),
            });
        }
    })
}

fn is_onbuild(rest: &str) -> bool {
    let first = rest.split_whitespace().next().unwrap_or_default();
    first.eq_ignore_ascii_case("ONBUILD")
}

/// The list, if the text is one.
fn json(rest: &str) -> Result<Option<Vec<String>>, SyntaxError> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(serde_json::Value::Array(items)) = serde_json::from_str(rest) else {
        return Ok(None);
    };
    let strings = items.into_iter().map(|item| match item {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(SyntaxError::JsonNotStrings),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// `TYPE rest`, the rest as JSON or as one text.
fn health(rest: &str) -> Result<Arguments, SyntaxError> {
    if rest.is_empty() {
        return Ok(Arguments::Words(Vec::new()));
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim_start();
    let first = std::iter::once(kind.to_owned());
    Ok(match json(command)? {
        Some(list) => Arguments::Json(first.chain(list).collect()),
        None if command.is_empty() => Arguments::Words(first.collect()),
        None => Arguments::Words(first.chain([command.to_owned()]).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heredocs_end_at_their_word_and_keep_their_lines() {
        let tree = parse("FROM a\nCOPY <<ONE <<-TWO /d/\n x # no comment \\\nONE\n\ttab\n\tTWO\nRUN true\n")
            .unwrap();
        let copy = &tree.nodes[1];
        assert_eq!(copy.heredocs[0].content, " x # no comment \\\n");
        assert_eq!(copy.heredocs[1].text(), "tab\n");
        assert_eq!(copy.span, Span { first: 2, last: 6 });
        assert_eq!(tree.nodes[2].span.first, 7);
        let open = parse("FROM a\nRUN <<EOF\nx\n").unwrap_err();
        assert_eq!(
            (open.error, open.span.last),
            (SyntaxError::UnterminatedHeredoc, 3)
        );
    }

    #[test]
    fn directives_stand_before_all_other_lines() {
        let tree = parse("# syntax=docker/dockerfile:1\n# check=skip=all\n#escape=`\nFROM a\n").unwrap();
        assert_eq!(tree.directives.syntax.as_deref(), Some("docker/dockerfile:1"));
        assert_eq!(tree.directives.check.as_deref(), Some("skip=all"));
        assert_eq!(tree.directives.escape, '`');
        let late = parse("FROM a\n# escape=`\nRUN x \\\n y\n").unwrap();
        assert_eq!(late.directives.escape, '\\');
        let unknown = parse("# what=ever\n# escape=`\nFROM a\n").unwrap();
        assert_eq!(unknown.directives.escape, '\\');
        let twice = parse("# escape=`\n# escape=`\nFROM a\n").unwrap_err();
        assert_eq!(twice.error, SyntaxError::DirectiveTwice("escape".into()));
        let wrong = parse("# escape=x\nFROM a\n").unwrap_err();
        assert_eq!(wrong.error, SyntaxError::BadEscape("x".into()));
    }

    #[test]
    fn lines_of_windows_and_a_byte_order_mark_are_read() {
        let tree = parse("\u{feff}FROM a\r\nRUN x \\\r\n  y\r\n").unwrap();
        assert_eq!(tree.nodes[1].arguments.words(), ["x   y"]);
        assert_eq!(tree.nodes[0].keyword, "FROM");
    }

    #[test]
    fn an_empty_line_in_an_instruction_is_told() {
        assert_eq!(
            parse("FROM a\nRUN x \\\n\n y\n").unwrap().empty_continuations,
            [3]
        );
    }
}
