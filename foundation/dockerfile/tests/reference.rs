//! The parser against the cases of BuildKit's own parser (shared/reference/dockerfile-parser).

use std::fmt::Write;
use std::path::{Path, PathBuf};

use dockerfile::{Arguments, Node};

fn cases() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/dockerfile-parser");
    path.is_dir().then_some(path)
}

#[expect(clippy::print_stderr, reason = "says that it is skipped")]
fn skipped() {
    eprintln!("skipped: the reference's cases are not here");
}

/// Go's `%q`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => write!(out, "\\x{:02x}", c as u32).unwrap(),
            c => out.push(c),
        }
    }
    out + "\""
}

fn dump(node: &Node) -> String {
    let mut out = node.keyword.to_ascii_lowercase();
    if !node.flags.is_empty() {
        let flags: Vec<String> = node.flags.iter().map(|flag| quote(flag)).collect();
        write!(out, " [{}]", flags.join(" ")).unwrap();
    }
    match &node.arguments {
        Arguments::Words(words) | Arguments::Json(words) => {
            words
                .iter()
                .for_each(|word| write!(out, " {}", quote(word)).unwrap());
        }
        Arguments::Pairs { pairs, with_equals } => {
            for (name, value) in pairs {
                let sign = if *with_equals { "=" } else { "" };
                write!(out, " {} {} {}", quote(name), quote(value), quote(sign)).unwrap();
            }
        }
        Arguments::Trigger(inner) => write!(out, " {}", dump(inner)).unwrap(),
    }
    format!("({out})")
}

#[test]
fn every_file_gives_the_expected_tree() {
    let Some(cases) = cases() else { return skipped() };
    let mut count = 0;
    for entry in std::fs::read_dir(cases.join("testfiles")).unwrap() {
        let folder = entry.unwrap().path();
        let text = std::fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let expect = std::fs::read_to_string(folder.join("result")).unwrap();
        let tree = dockerfile::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let got: Vec<String> = tree.nodes.iter().map(dump).collect();
        assert_eq!(got.join("\n"), expect.trim_end(), "{}", folder.display());
        count += 1;
    }
    assert_eq!(count, 33);
}

#[test]
fn every_wrong_file_is_refused() {
    let Some(cases) = cases() else { return skipped() };
    let mut count = 0;
    for entry in std::fs::read_dir(cases.join("testfiles-negative")).unwrap() {
        let folder = entry.unwrap().path();
        let text = std::fs::read_to_string(folder.join("Dockerfile")).unwrap();
        assert!(dockerfile::parse(&text).is_err(), "{}", folder.display());
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn instructions_know_their_lines() {
    let Some(cases) = cases() else { return skipped() };
    let text = std::fs::read_to_string(cases.join("testfile-line/Dockerfile")).unwrap();
    let tree = dockerfile::parse(&text).unwrap();
    let lines: Vec<_> = tree
        .nodes
        .iter()
        .map(|node| (node.span.first, node.span.last))
        .collect();
    assert_eq!(lines, [(5, 5), (11, 12), (17, 31)]);
}
