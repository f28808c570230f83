//! Words of a Dockerfile's line: quotes, escapes and variables.

use super::ChangeError;

/// Replaces `$name`, `${name}`, `${name:-default}` and `${name:+other}`; single quotes and backslashes protect. Quotes
/// and backslashes themselves stay.
pub(super) fn expand(text: &str, env: &[String]) -> Result<String, ChangeError> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let (mut single, mut double) = (false, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' if !single => {
                out.push(c);
                out.extend(chars.next());
            }
            '\'' if !double => {
                single = !single;
                out.push(c);
            }
            '"' if !single => {
                double = !double;
                out.push(c);
            }
            '$' if !single => variable(&mut chars, env, &mut out)?,
            c => out.push(c),
        }
    }
    Ok(out)
}

fn variable(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    env: &[String],
    out: &mut String,
) -> Result<(), ChangeError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if chars.next_if_eq(&'{').is_none() {
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| is_name(*c)) {
            name.push(c);
        }
        match name.as_str() {
            "" => out.push('$'),
            name => out.push_str(lookup(env, name)),
        }
        return Ok(());
    }
    let mut inner = String::new();
    loop {
        match chars.next() {
            None => return Err(ChangeError::Unclosed("}")),
            Some('}') => break,
            Some(c) => inner.push(c),
        }
    }
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, modifier) = inner.split_at(end);
    let value = lookup(env, name);
    match modifier {
        "" => out.push_str(value),
        modifier => match (modifier.strip_prefix(":-"), modifier.strip_prefix(":+")) {
            (Some(default), _) => out.push_str(if value.is_empty() { default } else { value }),
            (_, Some(other)) => out.push_str(if value.is_empty() { "" } else { other }),
            _ => return Err(ChangeError::Substitution(inner)),
        },
    }
    Ok(())
}

fn lookup<'a>(env: &'a [String], name: &str) -> &'a str {
    let value = env
        .iter()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| *key == name);
    value.map_or("", |(_, value)| value)
}

/// Splits at blanks outside of quotes, and takes quotes and escapes away.
pub(super) fn split(text: &str) -> Result<Vec<String>, ChangeError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some('\'') => return Err(ChangeError::Unclosed("single-quote")),
        Some(_) => return Err(ChangeError::Unclosed("double-quote")),
        None => {}
    }
    words.extend(word);
    Ok(words)
}

/// The pairs of `ENV` and `LABEL`: `name=value name=value`, or in the old form `name value with blanks`.
pub(super) fn pairs(
    instruction: &'static str,
    text: &str,
    env: &[String],
) -> Result<Vec<(String, String)>, ChangeError> {
    if text.is_empty() {
        return Err(ChangeError::NoArgument(instruction));
    }
    let expanded = expand(text, env)?;
    let first_ends = expanded.find(char::is_whitespace).unwrap_or(expanded.len());
    if !expanded[..first_ends].contains('=') {
        let (name, value) = expanded.split_at(first_ends);
        return match value.trim() {
            "" => Err(ChangeError::TwoArguments(instruction)),
            value => Ok(vec![(split(name)?.concat(), split_once_unquoted(value)?)]),
        };
    }
    let pair = |word: String| match word.split_once('=') {
        None => Err(ChangeError::NoPair(word)),
        Some(("", _)) => Err(ChangeError::BlankName(instruction)),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    };
    split(&expanded)?.into_iter().map(pair).collect()
}

/// A value of the old form: blanks between its words stay.
fn split_once_unquoted(value: &str) -> Result<String, ChangeError> {
    if value.contains(['\'', '"', '\\']) {
        return Ok(split(value)?.join(" "));
    }
    Ok(value.to_owned())
}
