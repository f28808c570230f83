//! `dhow context import`.

use std::io::Read;

use super::store::{self, Stored};
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::streams::cause;
use crate::template::Value;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTEXT FILE|-",
    about: "Import a context from a tar or zip file",
    aliases: "",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

/// No honest context is larger.
const LIMIT: u64 = 10 << 20;

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (name, path) = (args.arg(0), args.arg(1));
    store::check_name(name)?;
    if store::load(app, name).is_ok() {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    let source: Box<dyn Read> = match path {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(
            std::fs::File::open(path).map_err(|e| Failure::new(format!("open {path}: {}", cause(&e))))?,
        ),
    };
    let meta = meta(source).map_err(|e| Failure::new(cause(&e)))?;
    let meta = meta.ok_or_else(|| Failure::new("invalid context: no metadata found"))?;
    store::save(
        app,
        &Stored {
            name: name.to_owned(),
            description: meta
                .at(&["Metadata", "Description"])
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            host: meta
                .at(&["Endpoints", "docker", "Host"])
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        },
    )?;
    console::line(name);
    console::error(format!("Successfully imported context {name:?}"));
    Ok(())
}

/// The file `meta.json` of the archive. TLS material in it would be of no use yet, and is refused.
fn meta(source: impl Read) -> std::io::Result<Option<Value>> {
    let mut found = None;
    for entry in tar::Archive::new(source.take(LIMIT)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        if name.starts_with("tls") && entry.header().entry_type().is_file() {
            return Err(std::io::Error::other(
                "TLS material in a context is not available in this version of dhow",
            ));
        }
        if name.as_os_str() == "meta.json" {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            found = Some(Value::from_json(&text).map_err(std::io::Error::other)?);
        }
    }
    Ok(found)
}
