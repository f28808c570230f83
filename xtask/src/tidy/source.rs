//! What stands in the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Where Rust files are.
const FOLDERS: [&str; 8] = [
    "foundation",
    "kernel",
    "drivers",
    "services",
    "interfaces",
    "bin",
    "tests",
    "xtask",
];
const BANNED: [&str; 10] = [
    "common", "util", "utils", "core", "manager", "managers", "helper", "helpers", "misc", "shared",
];
const LONGEST: usize = 800;
const LONG: usize = 400;

/// A Rust file.
pub(super) struct File {
    /// Below the workspace.
    pub(super) path: PathBuf,
    /// As it stands.
    pub(super) text: String,
    /// Without comments and the contents of literals, line by line the same.
    pub(super) code: String,
}

pub(super) fn read_all() -> Result<Vec<File>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(Path::new(folder), &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let Ok(list) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in list {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            let code = strip(&text);
            files.push(File { path, text, code });
        }
    }
    Ok(())
}

pub(super) fn no_unsafe(files: &[File]) -> Vec<String> {
    find_word(
        files.iter().filter(|file| !file.path.starts_with("kernel/linux")),
        "unsafe",
    )
}

pub(super) fn lengths(files: &[File]) -> Vec<String> {
    let over = files
        .iter()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST);
    over.map(|(file, lines)| format!("{} has {lines} lines", file.path.display()))
        .collect()
}

/// Not an error, but each should have a reason.
pub(super) fn long(files: &[File]) -> Vec<String> {
    let over = files
        .iter()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LONG);
    over.map(|(file, lines)| format!("{lines:>5} lines  {}", file.path.display()))
        .collect()
}

pub(super) fn names(files: &[File]) -> Vec<String> {
    let parts = files
        .iter()
        .flat_map(|file| file.path.iter().map(|part| part.to_string_lossy().into_owned()));
    let stems: BTreeSet<String> = parts
        .map(|part| part.trim_end_matches(".rs").to_owned())
        .collect();
    stems
        .iter()
        .filter(|stem| BANNED.contains(&stem.as_str()))
        .map(|stem| format!("a folder or file {stem:?}"))
        .collect()
}

pub(super) fn documented(files: &[File]) -> Vec<String> {
    let first = |file: &File| {
        file.text
            .lines()
            .find(|line| !line.trim().is_empty())
            .map(str::to_owned)
    };
    // What a file `x/tests.rs` is for needs no words.
    let bare = files
        .iter()
        .filter(|file| !file.path.ends_with("tests.rs"))
        .filter(|file| !first(file).is_some_and(|line| line.starts_with("//! ")));
    bare.map(|file| format!("{} does not say what it is for", file.path.display()))
        .collect()
}

pub(super) fn finished(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for word in ["todo", "unimplemented"] {
        wrong.extend(find(files.iter(), word, |rest| rest.starts_with('!')));
    }
    for file in files {
        for (number, line) in file.code.lines().enumerate() {
            if line.trim() == "#[ignore]" {
                wrong.push(format!(
                    "{}:{}: a test is ignored without a reason",
                    file.path.display(),
                    number + 1
                ));
            }
        }
    }
    wrong
}

/// Public error enums of the library crates must implement `Fault`.
pub(super) fn faults(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    // Errors of the runtime and the monitor end as text on a channel, those of kernel/linux are wrapped by its users.
    let outside = [
        "bin",
        "tests",
        "xtask",
        "foundation/fault",
        "interfaces/commands",
        "kernel/linux",
        "drivers/runtime",
        "drivers/monitor",
    ];
    for file in files
        .iter()
        .filter(|file| !outside.iter().any(|folder| file.path.starts_with(folder)))
    {
        let lines: Vec<&str> = file.code.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let name = line
                .strip_prefix("pub enum ")
                .or_else(|| line.strip_prefix("pub struct "));
            let Some(name) =
                name.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(rest))
            else {
                continue;
            };
            let above = lines[..number]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#[") || line.trim().is_empty());
            if !above
                .into_iter()
                .any(|line| line.contains("thiserror::Error") || line.contains(", Error)"))
            {
                continue;
            }
            let krate: PathBuf = file.path.iter().take(2).collect();
            let said = |other: &File| {
                other.path.starts_with(&krate)
                    && [
                        format!("Fault for {name} "),
                        format!("Fault for super::{name} "),
                        format!("Fault for crate::{name} "),
                    ]
                    .iter()
                    .any(|text| other.code.contains(text.as_str()))
            };
            if !files.iter().any(said) {
                wrong.push(format!(
                    "{}:{}: {name} does not implement Fault",
                    file.path.display(),
                    number + 1
                ));
            }
        }
    }
    wrong
}

fn find_word<'a>(files: impl Iterator<Item = &'a File>, word: &str) -> Vec<String> {
    find(files, word, |_| true)
}

/// Places where `word` stands alone and what follows fits.
fn find<'a>(files: impl Iterator<Item = &'a File>, word: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.code.lines().enumerate() {
            for (at, _) in line.match_indices(word) {
                let (before, after) = (&line[..at], &line[at + word.len()..]);
                if !before.ends_with(part) && !after.starts_with(part) && fits(after) {
                    found.push(format!("{}:{}: {}", file.path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    found
}

/// Blanks comments, strings and characters, so that words in them are not taken for code. Line breaks stay.
pub(super) fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal(rest, out.chars().last());
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (gone, left) = rest.split_at(length);
            out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = left;
        }
    }
    out
}

/// Length of the comment or literal at the head of `text`; 0: there is none.
fn literal(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |at| at + 2);
    }
    let inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with('r') && !inside_word {
        let hashes = text[1..].bytes().take_while(|b| *b == b'#').count();
        if text[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            return text[start..]
                .find(&end)
                .map_or(text.len(), |at| start + at + end.len());
        }
    }
    if text.starts_with('"') {
        let mut escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return at + 1,
                _ => {}
            }
        }
        return text.len();
    }
    // A character, not a lifetime: 'x' or '\n'.
    if let Some(after) = text.strip_prefix('\'') {
        let mut chars = after.char_indices();
        return match chars.next() {
            Some((_, '\\')) => after[2..].find('\'').map_or(0, |at| 1 + 2 + at + 1),
            Some(_) => chars
                .next()
                .filter(|(_, c)| *c == '\'')
                .map_or(0, |(at, _)| 1 + at + 1),
            None => 0,
        };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_literals_are_no_code() {
        let text = "let a = \"unsafe \\\" x\"; // unsafe\nlet b = r#\"unsafe \" \"#; /* unsafe\n */ let c = 'u'; fn f<'a>() {}\n";
        let code = strip(text);
        assert!(!code.contains("unsafe"), "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(code.contains("fn f<'a>() {}"), "{code}");
    }

    #[test]
    fn a_word_alone_is_found_and_a_part_of_one_is_not() {
        let file = |text: &str| File {
            path: "a.rs".into(),
            text: text.to_owned(),
            code: strip(text),
        };
        assert_eq!(find_word([file("unsafe {}")].iter(), "unsafe").len(), 1);
        assert_eq!(
            find_word([file("unsafe_code not_unsafe")].iter(), "unsafe").len(),
            0
        );
        assert_eq!(finished(&[file("fn f() { todo!() }\n#[ignore]\n")]).len(), 2);
    }
}
