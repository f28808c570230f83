//! One file for each command of `dhow`, each known to the tree of commands.

use super::source::File;

const FOLDER: &str = "interfaces/commands/src";
/// Where the words of the command line are joined with the files.
const TREE: &str = "interfaces/commands/src/tree";

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
