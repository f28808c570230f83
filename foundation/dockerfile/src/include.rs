//! `INCLUDE path`: the lines of another file of the context in the place of the instruction.

use crate::error::{Located, SyntaxError};
use crate::parser::parse;

/// Files that may include one another.
const DEEPEST: usize = 16;
/// Files that one Dockerfile may include in all.
const MOST: usize = 1000;
/// A longer Dockerfile is refused by the parser too.
const LONGEST: usize = 16 << 20;

/// Whether a text may include others; a quick look that needs no whole file.
pub fn may_include(text: &str) -> bool {
    text.lines().any(|line| {
        line.trim_start()
            .get(..7)
            .is_some_and(|word| word.eq_ignore_ascii_case("INCLUDE"))
    })
}

/// Puts the files that a Dockerfile includes into it; `read` gives a file of the context, or says why not. Paths are from the
/// context's root; a file that includes another one is no different.
///
/// # Errors
/// [`SyntaxError::Include`] with the line of the instruction; what is wrong in a file that is included is told with its name.
pub fn expand(text: &str, read: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<String, Located> {
    let mut left = MOST;
    inside(text, &mut Vec::new(), &mut left, read)
}

fn inside(
    text: &str,
    stack: &mut Vec<String>,
    left: &mut usize,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<String, Located> {
    if !may_include(text) {
        return Ok(text.to_owned());
    }
    let tree = parse(text)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut whole = String::new();
    let mut next = 0;
    let includes = tree
        .nodes
        .iter()
        .filter(|node| node.keyword.eq_ignore_ascii_case("INCLUDE"));
    for node in includes {
        let (first, last) = (node.span.first, node.span.last);
        let path = node.arguments.words().join(" ");
        let wrong = |why: &str| {
            let error = SyntaxError::Include {
                path: path.clone(),
                why: why.to_owned(),
            };
            Located::new(error, first, last)
        };
        *left = left
            .checked_sub(1)
            .ok_or_else(|| wrong("too many files are included"))?;
        match () {
            () if path.is_empty() || path.contains(char::is_whitespace) => {
                return Err(wrong("INCLUDE takes the path of one file in the context"));
            }
            () if stack.contains(&path) => return Err(wrong("the file includes itself")),
            () if stack.len() >= DEEPEST => return Err(wrong("files include one another too deeply")),
            () => {}
        }
        let included = read(&path).map_err(|why| wrong(&why))?;
        stack.push(path.clone());
        let included = inside(&included, stack, left, read).map_err(|error| wrong(&error.to_string()))?;
        stack.pop();
        whole.extend(lines.iter().take(first - 1).skip(next).copied());
        whole.push_str(&included);
        if !included.ends_with('\n') {
            whole.push('\n');
        }
        next = last;
        if whole.len() > LONGEST {
            return Err(wrong("the files are too long together"));
        }
    }
    whole.extend(lines.iter().skip(next).copied());
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let mut read = |path: &str| match path {
            "a" => Ok("RUN a\nRUN b".to_owned()),
            "nested" => Ok("# a comment\ninclude a\nENV x=1\n".to_owned()),
            "self" => Ok("INCLUDE other\n".to_owned()),
            "other" => Ok("INCLUDE self\n".to_owned()),
            "broken" => Ok("INCLUDE a\nNONSENSE\n".to_owned()),
            "all" => Ok("INCLUDE many\n".repeat(100)),
            "many" => Ok("INCLUDE a\n".repeat(100)),
            _ => Err("no such file".to_owned()),
        };
        expand(text, &mut read).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_of_files_stand_where_they_are_included() {
        assert_eq!(
            expanded("FROM x\nINCLUDE nested\nRUN c\n").as_deref(),
            Ok("FROM x\n# a comment\nRUN a\nRUN b\nENV x=1\nRUN c\n")
        );
        assert_eq!(
            expanded("FROM x\nINCLUDE a").as_deref(),
            Ok("FROM x\nRUN a\nRUN b\n")
        );
        let untouched = "FROM x\nRUN <<E\nINCLUDE a\nE\nRUN echo \\\n  INCLUDE a\n";
        assert_eq!(expanded(untouched).as_deref(), Ok(untouched), "no instruction");
    }

    #[test]
    fn what_cannot_be_included_is_named_with_its_line() {
        for (text, expect) in [
            ("FROM x\nINCLUDE gone\n", "line 2: INCLUDE gone: no such file"),
            ("FROM x\nINCLUDE\n", "takes the path of one file"),
            ("FROM x\nINCLUDE a b\n", "takes the path of one file"),
            ("FROM x\nINCLUDE self\n", "the file includes itself"),
            (
                "FROM x\nINCLUDE broken\n",
                "INCLUDE broken: dockerfile parse error on line 2",
            ),
            ("FROM x\nINCLUDE all\n", "too many files"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
