//! Here-documents: `RUN <<EOF`, `COPY <<"EOF" /file`.

use crate::expand::{self, Lexer};

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it; for COPY the name of the file.
    pub name: String,
    /// Number before `<<`, empty for none.
    pub descriptor: String,
    /// Whether variables are put in: the word was not quoted.
    pub expand: bool,
    /// Whether leading tabs are taken off: `<<-`.
    pub chomp: bool,
    /// The lines as written.
    pub content: String,
}

impl Heredoc {
    /// The content, without leading tabs where `<<-` was written.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }

    /// Whether `line` ends it.
    pub(crate) fn ends_at(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\r', '\n']);
        let line = if self.chomp {
            line.trim_start_matches('\t')
        } else {
            line
        };
        line == self.name
    }
}

/// The beginning of a here-document, if the word is one.
pub fn opening(word: &str) -> Option<Heredoc> {
    let (descriptor, rest) = word.split_once("<<")?;
    if !descriptor.bytes().all(|b| b.is_ascii_digit()) || rest.contains('<') {
        return None;
    }
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() {
        return None;
    }
    let words = Lexer::new('\\').words(rest, &|_: &str| None).ok()?;
    let [name] = words.as_slice() else { return None };
    Some(Heredoc {
        name: name.clone(),
        descriptor: descriptor.to_owned(),
        expand: !rest.contains(['"', '\'', '\\']),
        chomp,
        content: String::new(),
    })
}

/// The here-documents that a line begins, still without content.
pub(crate) fn openings(line: &str, escape: char) -> Result<Vec<Heredoc>, expand::ExpandError> {
    let lexer = Lexer {
        raw_quotes: true,
        raw_escapes: true,
        skip_unset: true,
        ..Lexer::new(escape)
    };
    let words = lexer.words(line, &|_: &str| None)?;
    Ok(words.iter().filter_map(|word| opening(word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_begin_with_the_mark_are_here_documents() {
        assert_eq!(opening("<<EOF").unwrap().name, "EOF");
        assert_eq!(
            opening("3<<-'E F'").map(|h| (h.name, h.descriptor, h.chomp, h.expand)),
            Some(("E F".into(), "3".into(), true, false))
        );
        for word in ["<<<EOF", "a<<EOF", "<<", "<EOF", "$((1<<2))"] {
            assert_eq!(opening(word), None, "{word}");
        }
    }

    #[test]
    fn quoted_marks_begin_nothing() {
        assert!(openings(r#"echo "a <<b" '<<c'"#, '\\').unwrap().is_empty());
        let names = |line| {
            openings(line, '\\')
                .unwrap()
                .into_iter()
                .map(|h| h.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("cat <<ONE; cat <<TWO > $x"), ["ONE;", "TWO"]);
    }
}
