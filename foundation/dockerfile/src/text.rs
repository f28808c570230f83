//! Physical lines to logical ones: continuation, comments, blank lines.

/// Takes off leading white space.
pub(crate) fn trim_start(line: &str) -> &str {
    line.trim_start()
}

/// Whether the line is a comment.
pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without a continuation mark at its end, and whether there was one. An escaped mark is none.
pub(crate) fn continued(line: &str, escape: char) -> (&str, bool) {
    let line = line.trim_end_matches(['\r', '\n']);
    let Some(before) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        return (line, false);
    };
    if before.ends_with(escape) {
        return (line, false);
    }
    (before, true)
}

/// The lines of a text, each with its end, without the mark that Windows' editors put in front.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split_inclusive('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_mark_does_not_continue_a_line() {
        assert_eq!(continued("a \\\n", '\\'), ("a ", true));
        assert_eq!(continued("a \\ \t\r\n", '\\'), ("a ", true));
        assert_eq!(continued("a\\\\", '\\'), ("a\\\\", false));
        assert_eq!(continued("\\", '\\'), ("", true));
        assert_eq!(continued("a \\", '`'), ("a \\", false));
    }
}
