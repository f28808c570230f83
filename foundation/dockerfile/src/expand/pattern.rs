//! Patterns in `${NAME#pattern}`, `${NAME%pattern}` and `${NAME/pattern/text}`: `*`, `?` and escapes.

enum Part {
    Char(char),
    Any,
    Many,
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Many,
            '?' => Part::Any,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            c => Part::Char(c),
        });
    }
    parts
}

/// All lengths of beginnings of `text` that match, in the order of the lengths. Linear in memory, quadratic in time.
fn matches(parts: &[Part], text: &[char]) -> Vec<usize> {
    // reached[i]: the parts so far match text[..i].
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; text.len() + 1];
        for i in 0..=text.len() {
            match part {
                Part::Many => next[i] = reached[i] || (i > 0 && next[i - 1]),
                Part::Any => next[i] = i > 0 && reached[i - 1],
                Part::Char(c) => next[i] = i > 0 && reached[i - 1] && text[i - 1] == *c,
            }
        }
        reached = next;
    }
    let lengths = reached.iter().enumerate().filter(|(_, reached)| **reached);
    lengths.map(|(length, _)| length).collect()
}

/// Work that a single substitution may make: letters compared.
const MAX_WORK: usize = 200_000_000;

/// Whether a pattern is too large for a value, `rounds` times over.
pub(super) fn too_large(pattern: &str, value: &str, rounds: usize) -> bool {
    pattern.len().saturating_mul(value.len()).saturating_mul(rounds) > MAX_WORK
}

pub(super) fn trim_prefix(pattern: &str, value: &str, greedy: bool) -> String {
    let text: Vec<char> = value.chars().collect();
    let found = matches(&parts(pattern), &text);
    let length = if greedy { found.last() } else { found.first() };
    text[length.copied().unwrap_or(0)..].iter().collect()
}

pub(super) fn trim_suffix(pattern: &str, value: &str, greedy: bool) -> String {
    let text: Vec<char> = value.chars().rev().collect();
    let mut parts = parts(pattern);
    parts.reverse();
    let found = matches(&parts, &text);
    let length = if greedy { found.last() } else { found.first() };
    text[length.copied().unwrap_or(0)..].iter().rev().collect()
}

/// Replaces the first longest match, or all.
pub(super) fn replace(pattern: &str, value: &str, replacement: &str, all: bool) -> String {
    let parts = parts(pattern);
    let text: Vec<char> = value.chars().collect();
    let mut out = String::new();
    let (mut position, mut done) = (0, parts.is_empty());
    while position < text.len() {
        let length = if done {
            0
        } else {
            matches(&parts, &text[position..]).last().copied().unwrap_or(0)
        };
        if length == 0 {
            out.push(text[position]);
            position += 1;
        } else {
            out.push_str(replacement);
            position += length;
            done = !all;
        }
    }
    out
}
