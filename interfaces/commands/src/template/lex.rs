//! Cuts a template into text and tokens.

use super::TemplateError;

/// One token inside `{{ }}`, or a piece of text between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text outside the actions.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `if`, `eq`, ...
    Word(String),
    /// `.Name`, without the dot.
    Field(String),
    /// `.` alone.
    Dot,
    /// `$name`, with the dollar sign.
    Variable(String),
    /// A string, unquoted.
    Text2(String),
    /// A character constant.
    Char(char),
    /// A number as written.
    Number(String),
    /// `|`.
    Pipe,
    /// `(`.
    Left,
    /// `)`.
    Right,
    /// `,`.
    Comma,
    /// `=`.
    Assign,
    /// `:=`.
    Declare,
    /// White space between operands.
    Space,
}

/// A token and the byte at which it begins.
pub(super) type Placed = (Token, usize);

pub(super) fn line_of(source: &str, at: usize) -> usize {
    1 + source.as_bytes()[..at.min(source.len())]
        .iter()
        .filter(|&&b| b == b'\n')
        .count()
}

pub(super) fn error(source: &str, at: usize, what: impl Into<String>) -> TemplateError {
    TemplateError::Syntax {
        line: line_of(source, at),
        what: what.into(),
    }
}

const SPACE: &[char] = &[' ', '\t', '\r', '\n'];

pub(super) fn lex(source: &str) -> Result<Vec<Placed>, TemplateError> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut trim = false;
    while at < source.len() {
        let open = source[at..].find("{{").map(|i| at + i);
        let end = open.unwrap_or(source.len());
        let mut text = &source[at..end];
        if trim {
            text = text.trim_start_matches(SPACE);
        }
        let Some(open) = open else {
            push_text(&mut out, text, at);
            break;
        };
        let mut inside = open + 2;
        let rest = &source[inside..];
        if rest.starts_with('-') && rest[1..].starts_with(SPACE) {
            text = text.trim_end_matches(SPACE);
            inside += 2;
        }
        push_text(&mut out, text, at);
        if source[inside..].starts_with("/*") {
            let end = source[inside..]
                .find("*/")
                .ok_or_else(|| error(source, open, "unclosed comment"))?;
            let after = inside + end + 2;
            (at, trim) = close(source, after)
                .ok_or_else(|| error(source, open, "comment ends before closing delimiter"))?;
            continue;
        }
        out.push((Token::Open, open));
        (at, trim) = action(source, inside, open, &mut out)?;
    }
    Ok(out)
}

fn push_text(out: &mut Vec<Placed>, text: &str, at: usize) {
    if !text.is_empty() {
        out.push((Token::Text(text.to_owned()), at));
    }
}

/// If a closing delimiter stands here: where the text goes on, and whether white space is trimmed there.
fn close(source: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &source[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    let trimmed = rest.strip_prefix(SPACE)?;
    trimmed.starts_with("-}}").then_some((at + 4, true))
}

/// The tokens of one action.
fn action(
    source: &str,
    mut at: usize,
    open: usize,
    out: &mut Vec<Placed>,
) -> Result<(usize, bool), TemplateError> {
    let mut depth = 0_i32;
    loop {
        if let Some(next) = close(source, at) {
            if depth > 0 {
                return Err(error(source, at, "unclosed left paren"));
            }
            out.push((Token::Close, at));
            return Ok(next);
        }
        let rest = &source[at..];
        let Some(c) = rest.chars().next() else {
            return Err(error(source, open, "unclosed action"));
        };
        let begin = at;
        let token = match c {
            ' ' | '\t' | '\r' | '\n' => {
                let spaces = rest.len() - rest.trim_start_matches(SPACE).len();
                at += spaces;
                // The last one belongs to a trimming delimiter.
                if source[at..].starts_with("-}}") {
                    at -= 1;
                    if spaces == 1 {
                        continue;
                    }
                }
                Token::Space
            }
            '|' | '(' | ')' | ',' | '=' => {
                at += 1;
                match c {
                    '|' => Token::Pipe,
                    ',' => Token::Comma,
                    '=' => Token::Assign,
                    '(' => {
                        depth += 1;
                        Token::Left
                    }
                    _ => {
                        depth -= 1;
                        if depth < 0 {
                            return Err(error(source, at, "unexpected right paren"));
                        }
                        Token::Right
                    }
                }
            }
            ':' if rest.starts_with(":=") => {
                at += 2;
                Token::Declare
            }
            ':' => return Err(error(source, at, "expected :=")),
            '"' => quoted(source, &mut at)?,
            '`' => {
                let end = rest[1..]
                    .find('`')
                    .ok_or_else(|| error(source, at, "unterminated raw quoted string"))?;
                at += end + 2;
                Token::Text2(rest[1..=end].to_owned())
            }
            '\'' => character(source, &mut at)?,
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let name = word(&rest[1..]);
                at += 1 + name.len();
                if name.is_empty() {
                    Token::Dot
                } else {
                    Token::Field(name.to_owned())
                }
            }
            '$' => {
                let name = word(&rest[1..]);
                at += 1 + name.len();
                Token::Variable(format!("${name}"))
            }
            '+' | '-' | '.' | '0'..='9' => {
                let len = 1 + rest[1..]
                    .find(|c: char| {
                        !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || c == '+' || c == '-')
                    })
                    .unwrap_or(rest.len() - 1);
                at += len;
                Token::Number(rest[..len].to_owned())
            }
            c if c.is_alphanumeric() || c == '_' => {
                let name = word(rest);
                at += name.len();
                Token::Word(name.to_owned())
            }
            c => {
                return Err(error(
                    source,
                    at,
                    format!("unrecognized character in action: {}", code(c)),
                ));
            }
        };
        if let Token::Field(_) | Token::Word(_) | Token::Variable(_) | Token::Dot = token {
            ends_well(source, at)?;
        }
        out.push((token, begin));
    }
}

/// After a name only these may stand (Go: `atTerminator`).
fn ends_well(source: &str, at: usize) -> Result<(), TemplateError> {
    match source[at..].chars().next() {
        None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | '(' | ')' | '=') => Ok(()),
        Some('}') if source[at..].starts_with("}}") => Ok(()),
        Some(c) => Err(error(source, at, format!("bad character {}", code(c)))),
    }
}

fn code(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

fn word(text: &str) -> &str {
    let len = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    &text[..len]
}

/// A string in double quotes, with Go's escapes.
fn quoted(source: &str, at: &mut usize) -> Result<Token, TemplateError> {
    let begin = *at;
    let mut out = String::new();
    let mut rest = source[begin + 1..].chars();
    loop {
        match rest.next() {
            None | Some('\n') => return Err(error(source, begin, "unterminated quoted string")),
            Some('"') => break,
            Some('\\') => out.push(escape(&mut rest).ok_or_else(|| error(source, begin, "invalid syntax"))?),
            Some(c) => out.push(c),
        }
    }
    *at = source.len() - rest.as_str().len();
    Ok(Token::Text2(out))
}

fn character(source: &str, at: &mut usize) -> Result<Token, TemplateError> {
    let begin = *at;
    let bad = || error(source, begin, "unterminated character constant");
    let mut rest = source[begin + 1..].chars();
    let c = match rest.next().ok_or_else(bad)? {
        '\\' => escape(&mut rest).ok_or_else(bad)?,
        '\'' | '\n' => return Err(bad()),
        c => c,
    };
    if rest.next() != Some('\'') {
        return Err(bad());
    }
    *at = source.len() - rest.as_str().len();
    Ok(Token::Char(c))
}

fn escape(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let c = rest.clone().next()?;
    match c {
        'x' | 'u' | 'U' => {
            rest.next();
            let mut hex = |n: usize| {
                let text = rest.as_str().get(..n)?;
                let value = u32::from_str_radix(text, 16).ok()?;
                rest.nth(n - 1);
                char::from_u32(value)
            };
            return hex(match c {
                'x' => 2,
                'u' => 4,
                _ => 8,
            });
        }
        '0'..='7' => {
            let text = rest.as_str().get(..3)?;
            let value = u32::from_str_radix(text, 8).ok()?;
            rest.nth(2);
            return char::from_u32(value);
        }
        _ => drop(rest.next()),
    }
    Some(match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' => c,
        _ => return None,
    })
}
