//! The tree in ARCHITECTURE.md against the disk, two levels deep.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const FLOORS_AND_MORE: [&str; 8] = [
    "foundation",
    "kernel",
    "drivers",
    "services",
    "interfaces",
    "bin",
    "tests",
    "docs",
];

pub(super) fn check() -> Result<Vec<String>> {
    let text = fs::read_to_string("ARCHITECTURE.md").context("ARCHITECTURE.md")?;
    let drawn = drawn(&text);
    let mut there = BTreeSet::new();
    for floor in FLOORS_AND_MORE {
        for name in folders(Path::new(floor))? {
            there.insert(format!("{floor}/{name}"));
        }
    }
    if Path::new("xtask").is_dir() {
        there.insert("xtask".to_owned());
    }
    let missing = drawn
        .difference(&there)
        .map(|path| format!("{path} is drawn, but not there"));
    let unknown = there
        .difference(&drawn)
        .map(|path| format!("{path} is there, but not drawn"));
    let named = named(&text);
    let nowhere = named
        .iter()
        .filter(|path| !Path::new(path).exists())
        .map(|path| format!("{path} does not exist"));
    Ok(missing.chain(unknown).chain(nowhere).collect())
}

/// Paths that the text names between backticks.
fn named(text: &str) -> BTreeSet<String> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let floor = |path: &str| {
        FLOORS_AND_MORE
            .iter()
            .any(|floor| path.strip_prefix(floor).is_some_and(|p| p.starts_with('/')))
    };
    quoted
        .filter(|path| floor(path) && !path.contains(['*', ' ']))
        .map(str::to_owned)
        .collect()
}

fn folders(of: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let Ok(list) = fs::read_dir(of) else {
        return Ok(names);
    };
    for entry in list {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Folders of the first code block that draws a tree: `├── kernel/` and below it `│   ├── linux/`.
fn drawn(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut floor = String::new();
    for line in text
        .lines()
        .skip_while(|line| !line.starts_with("├── ") && !line.starts_with("└── "))
    {
        if line.starts_with("```") {
            break;
        }
        let Some(at) = line.find("── ") else { continue };
        let depth = line[..at].chars().count() / 4;
        let words = line[at + "── ".len()..].split_whitespace();
        for name in words.map_while(|word| word.strip_suffix('/')) {
            match depth {
                0 => {
                    name.clone_into(&mut floor);
                    if name == "xtask" {
                        out.insert(name.to_owned());
                    }
                }
                _ => {
                    out.insert(format!("{floor}/{name}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_two_levels_deep() {
        let text = "words\n```\n.\n├── kernel/    LINUX\n│   ├── linux/   the one\n│   └── a/   b/   two\n├── xtask/   all\n└── docs/\n    └── guides/   how\n```\n├── no/\n";
        let expect = ["docs/guides", "kernel/a", "kernel/b", "kernel/linux", "xtask"];
        assert_eq!(
            named("see `kernel/a/src/x.rs` and `bin/*`, `foo/bar`")
                .into_iter()
                .collect::<Vec<_>>(),
            ["kernel/a/src/x.rs"]
        );
        assert_eq!(drawn(text).into_iter().collect::<Vec<_>>(), expect);
    }
}
