//! Shell patterns over names, as Go's `path.Match` reads them.

use super::Reference;

/// A pattern is malformed; the text is Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct PatternError;

impl fault::Fault for PatternError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

/// Whether `pattern` fits the reference's familiar form, with or without tag and digest.
///
/// # Errors
/// [`PatternError`].
pub fn familiar_match(pattern: &str, reference: &Reference) -> Result<bool, PatternError> {
    let tokens = compile(pattern)?;
    let fits = |text: String| matches(&tokens, &text.chars().collect::<Vec<_>>());
    Ok(fits(reference.familiar()) || fits(reference.familiar_name()))
}

enum Token {
    /// `*`: any number of characters other than `/`.
    Star,
    /// `?`: one character other than `/`.
    Any,
    /// A character.
    Literal(char),
    /// `[…]`: one character within (or, after `^`, outside) the ranges, other than `/` when negated.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

fn compile(pattern: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::Literal(chars.next().ok_or(PatternError)?),
            '[' => class(&mut chars)?,
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, PatternError> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, PatternError> {
    match chars.next() {
        None | Some('-' | ']') => Err(PatternError),
        Some('\\') => chars.next().ok_or(PatternError),
        Some(c) => Ok(c),
    }
}

/// Backtracks to the last star only: linear in pattern times text.
fn matches(tokens: &[Token], text: &[char]) -> bool {
    let (mut token, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let fits = match (tokens.get(token), text.get(position)) {
            (Some(Token::Star), _) => {
                star = Some((token, position));
                token += 1;
                continue;
            }
            (None, None) => return true,
            (Some(token), Some(c)) => fits_one(token, *c),
            _ => false,
        };
        if fits {
            (token, position) = (token + 1, position + 1);
            continue;
        }
        match star {
            Some((at, from)) if text.get(from).is_some_and(|c| *c != '/') => {
                star = Some((at, from + 1));
                (token, position) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
}

fn fits_one(token: &Token, c: char) -> bool {
    match token {
        Token::Star => false,
        Token::Any => c != '/',
        Token::Literal(literal) => *literal == c,
        Token::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_go() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let text: Vec<char> = text.chars().collect();
            assert_eq!(
                matches(&compile(pattern).unwrap(), &text),
                expected,
                "{pattern} {text:?}"
            );
        };
        check("*", "abc", true);
        check("*", "a/b", false);
        check("a*b*c", "aXbXbXc", true);
        check("a*/b", "abc/b", true);
        check("a*/b", "a/c/b", false);
        check("[a-c]x", "bx", true);
        check("[^a-c]x", "bx", false);
        check("\\*", "*", true);
        check("a?c", "a/c", false);
        check("", "", true);
        check("*a*a*a*a*a*a*a*b", &"a".repeat(200), false);
        for malformed in ["[", "[]", "[a", "[-x]", "a\\", "[a-]"] {
            assert_eq!(compile(malformed).err(), Some(PatternError), "{malformed}");
        }
    }
}
