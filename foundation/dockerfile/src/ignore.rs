//! `.dockerignore`: which files of a context are not sent.

use crate::glob::{BadPattern, Pattern};

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// It is malformed.
    #[error("{pattern:?}: {source}")]
    Bad {
        /// As it is written.
        pattern: String,
        /// Why.
        source: BadPattern,
    },
    /// A lone `!`.
    #[error("illegal exclusion pattern: \"!\"")]
    LoneExclamation,
}

impl fault::Fault for IgnoreError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: Pattern,
    /// `!`: takes files back in.
    exception: bool,
}

/// The rules of a `.dockerignore`.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// [`IgnoreError`].
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        Self::new(patterns(text).iter().map(String::as_str))
    }

    /// Rules from patterns, in order.
    ///
    /// # Errors
    /// [`IgnoreError`].
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for text in patterns {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let (exception, body) = match text.strip_prefix('!') {
                Some("") => return Err(IgnoreError::LoneExclamation),
                Some(body) => (true, body),
                None => (false, text),
            };
            let pattern = Pattern::with_double_stars(&clean(body));
            let pattern = pattern.map_err(|source| IgnoreError::Bad {
                pattern: text.to_owned(),
                source,
            })?;
            rules.push(Rule { pattern, exception });
        }
        Ok(Self { rules })
    }

    /// Whether there are rules at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule takes files back in: then an ignored directory may hold files that are not.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.exception)
    }

    /// Whether the path (relative, with `/`) or a directory above it is ignored; the last rule that matches decides.
    pub fn ignores(&self, path: &str) -> bool {
        let mut ignored = false;
        for rule in &self.rules {
            // A rule that would change nothing is not asked.
            if rule.exception == ignored && matches_path_or_parent(&rule.pattern, path) {
                ignored = !rule.exception;
            }
        }
        ignored
    }

    /// Takes a file back in if it is ignored: the Dockerfile and `.dockerignore` are always sent.
    pub fn except(&mut self, path: &str) {
        if self.ignores(path) {
            let escaped: String = path.chars().flat_map(|c| ['\\', c]).collect();
            if let Ok(pattern) = Pattern::new(&escaped) {
                self.rules.push(Rule {
                    pattern,
                    exception: true,
                });
            }
        }
    }
}

fn matches_path_or_parent(pattern: &Pattern, path: &str) -> bool {
    let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
    pattern.matches(path) || parents.into_iter().any(|parent| pattern.matches(parent))
}

/// The patterns of a file: no comments, no blank lines, paths made clean.
pub fn patterns(text: &str) -> Vec<String> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let mut patterns = Vec::new();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let line = line.trim();
        let (mark, body) = match line.strip_prefix('!') {
            Some(body) => ("!", body.trim()),
            None => ("", line),
        };
        if line.is_empty() {
            continue;
        }
        let body = if body.is_empty() {
            String::new()
        } else {
            clean(body)
        };
        let body = match body.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => &body,
        };
        patterns.push(format!("{mark}{body}"));
    }
    patterns
}

/// Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Docker's pattern matcher.
    #[test]
    fn patterns_match_as_docker_matches_them() {
        for (pattern, path, expect) in [
            ("**", "file", true),
            ("**", "file/", true),
            ("**/", "file", true),
            ("**", "/", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir", "dir", true),
            ("**/dir", "dir/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**/file", "dir/file", true),
            ("**file", "dir/dir/file", true),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/file*.txt*", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("**/*.txt", "file.txt", true),
            ("**/**/*.txt", "file.txt", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/*.txt", "a/file.txt", true),
            ("a/*.txt**", "a/file.txt", true),
            ("a[b-d]e", "ae", false),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "aae", false),
            ("a[^b-d]e", "aze", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcdef", false),
            ("abc.def", "abc.def", true),
            ("abc.def", "abcZdef", false),
            ("abc?def", "abcZdef", true),
            ("abc?def", "abcdef", false),
            ("a\\\\", "a\\", true),
            ("**/foo/bar", "foo/bar", true),
            ("**/foo/bar", "dir/foo/bar", true),
            ("**/foo/bar", "dir/dir2/foo/bar", true),
            ("abc/**", "abc", false),
            ("abc/**", "abc/def", true),
            ("abc/**", "abc/def/ghi", true),
            ("**/.foo", ".foo", true),
            ("**/.foo", "bar.foo", false),
            ("a(b)c/def", "a(b)c/def", true),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            ("node_modules", "node_modules/a/b.js", true),
        ] {
            let ignore = Ignore::new([pattern]).unwrap();
            assert_eq!(
                ignore.ignores(path.trim_end_matches('/')),
                expect || path == "/",
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn the_last_matching_rule_decides() {
        let ignore = Ignore::parse("docs\n!docs/README.md\n*.md\n!keep.md\n").unwrap();
        for (path, expect) in [
            ("docs/a", true),
            ("docs/README.md", false),
            ("a.md", true),
            ("keep.md", false),
            ("src/a.md", false),
        ] {
            assert_eq!(ignore.ignores(path), expect, "{path}");
        }
        let all_but = Ignore::parse("*\n!a/b\n").unwrap();
        assert!(all_but.ignores("a/c") && !all_but.ignores("a/b") && !all_but.ignores("a/b/c"));
        assert!(all_but.has_exceptions());
    }

    #[test]
    fn a_file_is_read_line_by_line() {
        let text = "\u{feff}# comment\n\n  /a/./b/../c/  \n! /d\n #not a comment\n/\n";
        assert_eq!(
            patterns(text),
            ["a/c", "!/d".replace('/', "").as_str(), "#not a comment", "/"]
        );
        assert!(matches!(Ignore::parse("[\n"), Err(IgnoreError::Bad { .. })));
        assert!(matches!(Ignore::parse("!\n"), Err(IgnoreError::LoneExclamation)));
    }

    #[test]
    fn a_file_that_is_always_sent_is_taken_back_in() {
        let mut ignore = Ignore::parse("*\n").unwrap();
        ignore.except("Docker[file");
        assert!(!ignore.ignores("Docker[file") && ignore.ignores("Dockerf"));
    }
}
