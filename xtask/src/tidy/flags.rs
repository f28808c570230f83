//! A flag that is taken and then ignored is a lie: each one must be read.

use std::collections::BTreeSet;

use super::source::File;

const FOLDER: &str = "interfaces/commands/src";
/// Where flags that many commands have are declared.
const RECURRING: &str = "interfaces/commands/src/flags/recurring.rs";
/// A command whose ways other commands use: `run` creates, `create` too.
const LENT: &str = "interfaces/commands/src/container/create.rs";

/// Flags whose name stands nowhere but in a table: neither in the file of their command nor in what commands share.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let files: Vec<&File> = files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER))
        .collect();
    let recurring: Vec<(&str, &str)> = files
        .iter()
        .filter(|file| file.path.ends_with(RECURRING))
        .flat_map(|file| constants(&file.text))
        .collect();
    let shared: BTreeSet<&str> = files
        .iter()
        .filter(|file| !file.code.contains("static COMMAND") || file.path.ends_with(LENT))
        .flat_map(|file| reads(&file.text))
        .collect();
    let mut wrong = Vec::new();
    for file in files.into_iter().filter(|file| !file.path.ends_with(RECURRING)) {
        let own: BTreeSet<&str> = reads(&file.text).collect();
        let used = recurring
            .iter()
            .filter(|(constant, _)| file.text.contains(&format!("recurring::{constant}")))
            .map(|(_, name)| *name);
        for name in declared(&file.text).chain(used) {
            if !own.contains(name) && !shared.contains(name) {
                wrong.push(format!("{}: nothing reads --{name}", file.path.display()));
            }
        }
    }
    wrong
}

/// The names in calls of `flag("name", …)`.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.split("flag(").skip(1).filter_map(|rest| {
        let name = rest.trim_start().strip_prefix('"')?;
        let (name, _) = name.split_once('"')?;
        (!name.is_empty()).then_some(name)
    })
}

/// The constants that are flags: (constant, name of the flag).
fn constants(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("const ").skip(1).filter_map(|rest| {
        let (constant, after) = rest.split_once(": Flag = ")?;
        Some((constant, declared(after).next()?))
    })
}

/// The literals that are asked for: `args.text("name")` and the like, in whatever call, but not in a table.
fn reads(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('"').filter_map(|(at, _)| {
        let before = text[..at].trim_end();
        let name = text[at + 1..].split_once('"')?.0;
        (before.ends_with(['(', ',', '[', '|']) && !before.ends_with("flag(") && !name.is_empty())
            .then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{constants, declared, reads};

    const CODE: &str = r#"
        const ALL: Flag = flag("all", 'a');
        flags: &[flag(
            "name", 'n'), flag("rest", 'r')],
        fn go() { args.text("name"); }
    "#;

    #[test]
    fn a_flag_that_stands_only_in_its_table_is_found() {
        assert_eq!(declared(CODE).collect::<Vec<_>>(), ["all", "name", "rest"]);
        assert_eq!(constants(CODE).collect::<Vec<_>>(), [("ALL", "all")]);
        assert_eq!(reads(CODE).collect::<Vec<_>>(), ["name"]);
    }
}
