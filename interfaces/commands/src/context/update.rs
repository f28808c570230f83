//! `dhow context update`.

use super::store;
use crate::app::App;
use crate::console;
use crate::failure::Outcome;
use crate::flags::{Flag, Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

/// What a context says; `create` has these, too.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        "description",
        '\0',
        Kind::Text,
        "string",
        "",
        "Description of the context",
    ),
    flag(
        "docker",
        '\0',
        Kind::List,
        "stringToString",
        "[]",
        "set the docker endpoint",
    ),
];

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTEXT",
    about: "Update a context",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: FLAGS,
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = args.arg(0);
    store::check_name(name)?;
    let mut context = store::load(app, name)?;
    if args.has("description") {
        context.description = args.text("description").to_owned();
    }
    if let Some(host) = store::docker_endpoint(&args.all("docker"))? {
        context.host = host;
    }
    store::save(app, &context)?;
    console::line(name);
    console::error(format!("Successfully updated context {name:?}"));
    Ok(())
}
