//! The crates by floor: a map for the reader.

use std::fs;

use anyhow::Result;

use crate::workspace::{Metadata, root};

/// From the bottom up.
pub(crate) const FLOORS: [&str; 6] = ["foundation", "kernel", "drivers", "services", "interfaces", "bin"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only crates whose name or purpose contains this word
    word: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let metadata = Metadata::read()?;
    let mut members = metadata.members();
    members.sort_by_key(|package| package.folder());
    for floor in FLOORS.iter().rev().chain(&["tests", "xtask"]) {
        println!("{floor}");
        for package in members.iter().filter(|package| package.floor() == *floor) {
            let purpose = purpose(&package.folder());
            let wanted =
                |word: &String| package.name.contains(word.as_str()) || purpose.contains(word.as_str());
            if !arguments.word.as_ref().is_none_or(wanted) {
                continue;
            }
            println!("  {:<17} {purpose}", package.name);
            let below = metadata.dependencies(&package.id);
            let own = below
                .iter()
                .filter(|dep| metadata.workspace_members.contains(&dep.id));
            let own: Vec<&str> = own.map(|dep| dep.name.as_str()).collect();
            if !own.is_empty() {
                println!("  {:<17}   on {}", "", own.join(", "));
            }
        }
    }
    Ok(())
}

/// First line of the crate's documentation.
pub(crate) fn purpose(folder: &str) -> String {
    let read = |file: &str| fs::read_to_string(root().join(folder).join("src").join(file)).ok();
    let text = read("lib.rs").or_else(|| read("main.rs")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("//! "))
        .unwrap_or("(says nothing)");
    line.to_owned()
}
