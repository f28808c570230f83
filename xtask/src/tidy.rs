//! What the compiler cannot check: the house rules.
//!
//! Each check gives a list of sentences; an empty one is a pass. `edges` looks at crates, `dependencies` at
//! those of others, `source` at files, `tree` at
//! ARCHITECTURE.md.

mod commands;
mod dependencies;
mod edges;
mod flags;
mod source;
mod tree;

use anyhow::{Result, bail};

use crate::workspace::Metadata;

/// Findings shown of one check.
const MOST: usize = 30;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also name the files of more than 400 lines, which need a reason
    #[arg(long)]
    long: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let metadata = Metadata::read()?;
    let files = source::read_all()?;
    let checks: [(&str, Vec<String>); 13] = [
        ("floors and edges between crates", edges::floors(&metadata)),
        (
            "dhow-runtime is small: no tokio, no TLS, no database",
            edges::runtime_is_small(&metadata),
        ),
        (
            "crates of others are what deny.toml allows",
            dependencies::check(&metadata)?,
        ),
        ("no unsafe outside kernel/linux", source::no_unsafe(&files)),
        ("no file over 800 lines", source::lengths(&files)),
        (
            "no common, utils, core, manager, helpers, misc",
            source::names(&files),
        ),
        ("every file begins with //!", source::documented(&files)),
        (
            "no todo!, no unimplemented!, no ignored test without a reason",
            source::finished(&files),
        ),
        (
            "every error says what kind of fault it is",
            source::faults(&files),
        ),
        ("the tree in ARCHITECTURE.md is the tree on disk", tree::check()?),
        (
            "every command has a file, which is wired",
            commands::check(&files),
        ),
        ("every flag of a command is read", flags::check(&files)),
        (
            "every command is run by an end-to-end test",
            commands::check_tests(&files),
        ),
    ];
    let mut wrong = 0;
    for (what, findings) in checks {
        println!("{:<7} {what}", if findings.is_empty() { "ok" } else { "WRONG" });
        findings
            .iter()
            .take(MOST)
            .for_each(|finding| println!("        {finding}"));
        if findings.len() > MOST {
            println!("        … and {} more", findings.len() - MOST);
        }
        wrong += findings.len();
    }
    if arguments.long {
        source::long(&files).iter().for_each(|line| println!("{line}"));
    }
    if wrong > 0 {
        bail!("{wrong} findings");
    }
    Ok(())
}
