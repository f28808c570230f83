//! `dhowd state`: all tables as one JSON document, and back. One damaged file must not be the end.

use std::ffi::OsString;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Arg, Command};
use durable::{DirLock, LockError, Store};

/// The tables, and their export that the daemon keeps beside them; both in the data root.
const TABLES: &str = "state.redb";
const EXPORT: &str = "state.json";
const DATA_ROOT: &str = "/var/lib/dhow";

fn command() -> Command {
    let root = || {
        Arg::new("data-root")
            .long("data-root")
            .value_parser(clap::value_parser!(PathBuf))
            .default_value(DATA_ROOT)
            .help("Root directory of persistent state")
    };
    Command::new("state")
        .bin_name("dhowd state")
        .about("The daemon's tables as one JSON document, and back.")
        .subcommand_required(true)
        .subcommand(
            Command::new("dump")
                .about("Print all tables; of a running daemon its last export, which is at most seconds old")
                .arg(root()),
        )
        .subcommand(
            Command::new("restore")
                .about("Make the tables anew from a dump; the daemon must not run")
                .arg(root())
                .arg(
                    Arg::new("file")
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("The dump, \"-\" for standard input [default: state.json in the data root]"),
                ),
        )
}

/// Runs `words`, of which the first is `state`.
pub(crate) fn run(words: impl Iterator<Item = OsString>) -> Result<()> {
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    let Some((verb, flags)) = matches.subcommand() else {
        bail!("neither dump nor restore");
    };
    let root = flags
        .get_one::<PathBuf>("data-root")
        .cloned()
        .unwrap_or_else(|| DATA_ROOT.into());
    match verb {
        "dump" => dump(&root),
        _ => restore(&root, flags.get_one::<PathBuf>("file")),
    }
}

fn dump(root: &Path) -> Result<()> {
    let tables = root.join(TABLES);
    if !tables.exists() {
        bail!("there is no {}", tables.display());
    }
    let mut out = std::io::stdout().lock();
    match DirLock::acquire(root) {
        Ok(_lock) => {
            let store = Store::open(&tables).context("open the tables")?;
            durable::dump(&store, &mut out).context("dump the tables")
        }
        // Its owner alone can open the file; what it keeps beside it is there for everybody.
        Err(LockError::Held { .. }) => {
            let export = root.join(EXPORT);
            let text = std::fs::read(&export).with_context(|| format!("read {}", export.display()))?;
            out.write_all(&text).context("print the tables")
        }
        Err(error) => Err(error).context("take the data root"),
    }
}

fn restore(root: &Path, file: Option<&PathBuf>) -> Result<()> {
    let _lock = DirLock::acquire(root).context("stop the daemon first")?;
    let file = file.cloned().unwrap_or_else(|| root.join(EXPORT));
    // Whole, because the export itself is written anew in the end.
    let mut text = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin()
            .read_to_end(&mut text)
            .context("read standard input")?;
    } else {
        text = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    }
    durable::restore(&root.join(TABLES), &mut Cursor::new(text)).context("restore the tables")
}
