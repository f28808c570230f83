//! One file for each command of `dhow`, each known to the tree of commands and run by an end-to-end test.

use super::source::File;

const FOLDER: &str = "interfaces/commands/src";
/// Where the words of the command line are joined with the files.
const TREE: &str = "interfaces/commands/src/tree";

/// Where the end-to-end tests are.
const TESTS: &str = "tests/e2e/tests";
/// What no daemon answers: nothing to test end to end.
const LOCAL: [&str; 1] = ["completion"];

/// Every command begins the list of arguments somewhere in the end-to-end tests, under one of its names.
pub(super) fn check_tests(files: &[File]) -> Vec<String> {
    let tests: String = files
        .iter()
        .filter(|file| file.path.starts_with(TESTS))
        .flat_map(|file| file.text.chars().filter(|c| !c.is_whitespace()))
        .collect();
    let commands = files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && file.code.contains("static COMMAND"));
    let mut wrong = Vec::new();
    for file in commands {
        let names = names(file);
        let is_run = |name: &String| {
            let words: Vec<String> = name.split(' ').map(|word| format!("{word:?}")).collect();
            tests.contains(&format!("[{}", words.join(",")))
        };
        if !names.iter().any(is_run) && !names.iter().any(|name| LOCAL.contains(&&**name)) {
            wrong.push(format!(
                "no end-to-end test runs `dhow {}` ({})",
                names.join("`, `dhow "),
                file.path.display()
            ));
        }
    }
    wrong
}

/// What a command is called: by its aliases, else by its place (`volume/ls.rs` is `volume ls`).
fn names(file: &File) -> Vec<String> {
    let aliases = file
        .text
        .split_once("aliases: \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    match aliases {
        Some((aliases, _)) if !aliases.is_empty() => aliases.split(", ").map(str::to_owned).collect(),
        _ => {
            let below = file.path.strip_prefix(FOLDER).unwrap_or(&file.path);
            let words: Vec<String> = below
                .with_extension("")
                .iter()
                .map(|part| part.to_string_lossy().trim_end_matches('_').replace('_', "-"))
                .collect();
            let whole = words.join(" ");
            // `inspect` stands beside the nouns, too.
            let last = words.last().cloned().unwrap_or_default();
            if words.first().is_some_and(|noun| noun == "system") {
                vec![whole, last]
            } else {
                vec![whole]
            }
        }
    }
}

pub(super) fn check(files: &[File]) -> Vec<String> {
    let tree: String = files
        .iter()
        .filter(|file| file.path.starts_with(TREE))
        .map(|file| file.code.as_str())
        .collect();
    if tree.is_empty() {
        return vec![format!("{TREE} is not there")];
    }
    let mut wrong = Vec::new();
    let mut known = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && !file.path.starts_with(TREE))
    {
        if !file.code.contains("static COMMAND") {
            continue;
        }
        // container/run.rs is container::run.
        let below = file
            .path
            .strip_prefix(FOLDER)
            .unwrap_or(&file.path)
            .with_extension("");
        let name: Vec<String> = below
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let name = name.join("::");
        if !tree.contains(&format!("{name}::COMMAND")) {
            wrong.push(format!(
                "{} is a command that the tree does not know",
                file.path.display()
            ));
        }
        known.push(name);
    }
    for line in tree.lines() {
        let Some(end) = line.find("::COMMAND") else {
            continue;
        };
        let start = line[..end]
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
            .map_or(0, |at| at + 1);
        let name = &line[start..end];
        if !known.iter().any(|file| file == name) {
            wrong.push(format!("the tree names {name}, which has no file of its own"));
        }
    }
    wrong
}
