//! What a builder reads: Dockerfiles, rules of what is left out, variables.

use dockerfile::expand::Lexer;
use dockerfile::glob::Pattern;
use dockerfile::ignore::{Ignore, clean};
use dockerfile::lint::{Options, lint};
use dockerfile::{Dockerfile, Instruction};

/// The bytes are a Dockerfile.
pub(crate) fn dockerfile(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let lines = text.split('\n').count();
    let parsed = Dockerfile::parse(text);
    assert_eq!(parsed, Dockerfile::parse(text), "deterministic");
    let file = match parsed {
        Ok(file) => file,
        Err(error) => {
            assert!(
                error.span.first >= 1 && error.span.first <= lines.max(1),
                "{error}"
            );
            let rendered = error.render("Dockerfile", text);
            assert!(rendered.starts_with("Dockerfile:"), "{rendered}");
            return;
        }
    };
    assert!(!file.stages.is_empty());
    let ignore = Ignore::parse("*\n!a").expect("rules");
    let options = Options {
        build_args: vec![("A".to_owned(), "b".to_owned())],
        ignore: Some(&ignore),
        advice: true,
    };
    for warning in lint(&file, &options) {
        assert!(
            (1..=lines).contains(&warning.span.first),
            "{warning:?} of {lines} lines"
        );
        assert!(!warning.description().is_empty());
    }
    let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
    let lexer = Lexer::new(file.directives.escape);
    for stage in &file.stages {
        for command in &stage.commands {
            assert!(
                command.span.first >= 1 && command.span.last <= lines,
                "{command:?}"
            );
            assert!(command.span.first <= command.span.last, "{command:?}");
            if let Instruction::Run(run) = &command.instruction {
                let _ = run.script();
            }
            if let Instruction::Cmd(line) | Instruction::Entrypoint(line) = &command.instruction {
                let _ = line.argv(&shell);
            }
            let mut expanded = command.instruction.clone();
            let word = |text: &str| lexer.word(text, &variables);
            let words = |text: &str| lexer.words(text, &variables);
            if expanded.expand(&word, &words).is_ok() {
                assert_eq!(expanded.name(), command.instruction.name());
            }
        }
    }
}

fn variables(name: &str) -> Option<String> {
    match name {
        "A" => Some("b".to_owned()),
        "EMPTY" => Some(String::new()),
        "LONG" => Some("xyxyxyxyxyxyxyxy".to_owned()),
        "WORDS" => Some("one 'two three' \"four".to_owned()),
        _ => None,
    }
}

/// The first line is a path, the rest a `.dockerignore`.
pub(crate) fn ignore(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (path, rules) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(mut ignore) = Ignore::parse(rules) else {
        return;
    };
    let path = clean(path);
    if path.is_empty() || path.starts_with('/') || path.starts_with("..") {
        return;
    }
    let ignored = ignore.ignores(&path);
    if ignore.is_empty() {
        assert!(!ignored);
    }
    if ignored && !ignore.has_exceptions() {
        assert!(
            ignore.ignores(&format!("{path}/child")),
            "what is in it is ignored too"
        );
    }
    ignore.except(&path);
    assert!(!ignore.ignores(&path), "{path:?} was taken back in");
}

/// The first line is a path, the second a pattern; a naive matcher must say the same.
pub(crate) fn glob(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((path, pattern)) = text.split_once('\n') else {
        return;
    };
    let Ok(ready) = Pattern::new(pattern) else { return };
    let found = ready.matches(path);
    let (path, pattern): (Vec<char>, Vec<char>) = (path.chars().collect(), pattern.chars().collect());
    let mut steps = 100_000;
    if let Some(expect) = naive(&pattern, &path, &mut steps) {
        assert_eq!(found, expect, "{text:?}");
    }
}

/// Go's `filepath.Match` by trying everything; nothing when that takes too many steps.
fn naive(pattern: &[char], path: &[char], steps: &mut u32) -> Option<bool> {
    *steps = steps.checked_sub(1)?;
    let Some((first, rest)) = pattern.split_first() else {
        return Some(path.is_empty());
    };
    match first {
        '*' => {
            for taken in 0..=path.len() {
                if path[..taken].contains(&'/') {
                    break;
                }
                if naive(rest, &path[taken..], steps)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        '?' => match path.split_first() {
            Some((c, path)) if *c != '/' => naive(rest, path, steps),
            _ => Some(false),
        },
        '[' => {
            let (negated, mut rest) = match rest.split_first() {
                Some(('^', rest)) => (true, rest),
                _ => (false, rest),
            };
            let mut inside = false;
            let mut any = false;
            let c = path.first();
            loop {
                if rest.first() == Some(&']') && any {
                    rest = &rest[1..];
                    break;
                }
                let (low, after) = member(rest)?;
                let (high, after) = match after.split_first() {
                    Some(('-', after)) => member(after)?,
                    _ => (low, after),
                };
                inside |= c.is_some_and(|c| (low..=high).contains(c));
                any = true;
                rest = after;
            }
            match c {
                Some(c) if *c != '/' && inside != negated => naive(rest, &path[1..], steps),
                _ => Some(false),
            }
        }
        '\\' => {
            let (c, rest) = rest.split_first()?;
            literal(*c, rest, path, steps)
        }
        c => literal(*c, rest, path, steps),
    }
}

fn literal(c: char, rest: &[char], path: &[char], steps: &mut u32) -> Option<bool> {
    match path.split_first() {
        Some((first, path)) if *first == c => naive(rest, path, steps),
        _ => Some(false),
    }
}

fn member(text: &[char]) -> Option<(char, &[char])> {
    let (first, rest) = text.split_first()?;
    if *first == '\\' {
        let (c, rest) = rest.split_first()?;
        return Some((*c, rest));
    }
    Some((*first, rest))
}

/// The first byte chooses how the text is read.
pub(crate) fn expand(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let Ok(text) = str::from_utf8(data) else { return };
    let lexer = Lexer {
        raw_quotes: choice & 1 != 0,
        raw_escapes: choice & 2 != 0,
        skip_unset: choice & 4 != 0,
        no_quotes: choice & 8 != 0,
        ..Lexer::new(if choice & 16 == 0 { '\\' } else { '`' })
    };
    let word = lexer.word(text, &variables);
    let words = lexer.words(text, &variables);
    assert_eq!(word.is_ok(), words.is_ok(), "both or none: {text:?}");
    assert_eq!(word, lexer.word(text, &variables), "deterministic");
    let (Ok(word), Ok(words)) = (word, words) else {
        return;
    };
    assert!(word.len() <= 8 << 20, "bounded");
    let plain = |c: char| c.is_alphanumeric() || "./-_=:".contains(c);
    if text.chars().all(plain) {
        assert_eq!(word, text, "nothing to expand");
        assert_eq!(words.concat(), text);
    }
}
