//! How the rest of an instruction falls into words, flags and pairs.

use crate::error::SyntaxError;
use crate::node::Arguments;

/// The white space between words of a logical line.
const SPACES: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// Splits at white space only.
pub(crate) fn whitespace(rest: &str) -> Vec<String> {
    let words = rest.split(SPACES).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The flags in front (without quotes), and what follows them. `--` ends them.
pub(crate) fn flags(rest: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    while rest.starts_with("--") {
        let (word, after) = flag(rest);
        rest = after.trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

fn flag(rest: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.char_indices();
    while let Some((position, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &rest[position..]),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// Splits at white space outside of quotes; quotes and escapes stay in the words.
pub(crate) fn quoted(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '"' | '\'') {
            quote = Some(c);
        } else if c == escape && quote != Some('\'') {
            // An escape at the very end is left out.
            if let Some(next) = chars.next() {
                word.extend([c, next]);
            }
            continue;
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `NAME=value …`, or the old form `NAME the rest`.
pub(crate) fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Arguments, SyntaxError> {
    let words = quoted(rest, escape);
    let Some(first) = words.first() else {
        return Ok(Arguments::Pairs {
            pairs: Vec::new(),
            with_equals: true,
        });
    };
    if !first.contains('=') {
        let two = rest
            .split_once(SPACES)
            .map(|(name, value)| (name, value.trim_start_matches(SPACES)));
        let (name, value) = two.ok_or_else(|| SyntaxError::TwoArguments(keyword.to_owned()))?;
        return Ok(Arguments::Pairs {
            pairs: vec![(name.to_owned(), value.to_owned())],
            with_equals: false,
        });
    }
    let pairs = words.iter().map(|word| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(SyntaxError::NoPair(word.clone())),
    });
    Ok(Arguments::Pairs {
        pairs: pairs.collect::<Result<_, _>>()?,
        with_equals: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_lose_their_quotes_and_end_at_the_first_other_word() {
        assert_eq!(
            flags(r#"--a="b c" --d\ e f --g"#),
            (vec!["--a=b c".into(), "--d e".into()], "f --g")
        );
        assert_eq!(flags("-- x"), (vec![], "x"));
        assert_eq!(flags("x --y"), (vec![], "x --y"));
    }
}
