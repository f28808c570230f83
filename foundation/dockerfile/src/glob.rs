//! Wildcards of COPY and ADD: Go's `filepath.Match`.

/// The pattern is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

impl fault::Fault for BadPattern {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

/// Whether a path has characters that make it a pattern.
pub fn is_pattern(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Char(char),
    Any,
    Many,
    /// `(.*/)?`: any directories, or none.
    Directories,
    /// `.*` over all characters, `/` too.
    Everything,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Go's syntax: `*` and `?` do not match `/`; `[a-z]`, `[^a-z]`; `\` escapes.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        Self::read(pattern, false)
    }

    /// The same with `**` for any number of directories, as in `.dockerignore`.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn with_double_stars(pattern: &str) -> Result<Self, BadPattern> {
        Self::read(pattern, true)
    }

    fn read(pattern: &str, double_stars: bool) -> Result<Self, BadPattern> {
        let mut parts = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' if double_stars && chars.peek() == Some(&'*') => {
                    chars.next();
                    if chars.peek() == Some(&'/') {
                        chars.next();
                    }
                    if chars.peek().is_none() {
                        Part::Everything
                    } else {
                        Part::Directories
                    }
                }
                '*' => Part::Many,
                '?' => Part::Any,
                '\\' => Part::Char(chars.next().ok_or(BadPattern)?),
                '[' => class(&mut chars)?,
                c => Part::Char(c),
            });
        }
        Ok(Self { parts })
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &str) -> bool {
        let text: Vec<char> = path.chars().collect();
        // reached[i]: the parts so far match text[..i].
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = step(part, &text, &reached);
        }
        reached[text.len()]
    }
}

fn step(part: &Part, text: &[char], reached: &[bool]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    let mut earlier = false;
    for i in 0..reached.len() {
        let before = (i > 0).then(|| text[i - 1]);
        let from = i > 0 && reached[i - 1];
        next[i] = match part {
            Part::Char(c) => from && before == Some(*c),
            Part::Any => from && before != Some('/'),
            Part::Many => reached[i] || (i > 0 && next[i - 1] && before != Some('/')),
            Part::Everything => {
                earlier |= reached[i];
                earlier
            }
            Part::Directories => {
                let here = reached[i] || (earlier && before == Some('/'));
                earlier |= reached[i];
                here
            }
            Part::Class { negated, ranges } => {
                let inside = |c: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                from && before.is_some_and(|c| c != '/' && inside(c) != *negated)
            }
        };
    }
    next
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, BadPattern> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Ok(Part::Class { negated, ranges });
        }
        let low = member(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => member(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    match chars.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => chars.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, path, expect) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("*x", "xxx", true),
            ("", "", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(path),
                expect,
                "{pattern} {path}"
            );
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "\\"] {
            assert_eq!(Pattern::new(bad), Err(BadPattern), "{bad}");
        }
    }

    #[test]
    fn an_escaped_wildcard_makes_no_pattern() {
        assert!(is_pattern("a*") && is_pattern("[x") && !is_pattern("a\\*") && !is_pattern("a.b"));
    }
}
