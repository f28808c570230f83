//! `dhow context create`.

use super::store::{self, Stored};
use super::update::FLAGS;
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, joined};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTEXT",
    about: "Create a context",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &joined::<{ FLAGS.len() + 1 }>(
        FLAGS,
        &[flag(
            "from",
            '\0',
            Kind::Text,
            "string",
            "",
            "create context from a named context",
        )],
    ),
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = args.arg(0);
    store::check_name(name)?;
    if store::load(app, name).is_ok() {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    let (from, docker) = (args.text("from"), args.all("docker"));
    let mut context = match (from, docker.is_empty()) {
        ("", true) => Stored {
            host: app.host()?,
            description: String::new(),
            name: String::new(),
        },
        ("", false) => Stored {
            host: store::docker_endpoint(&docker)?
                .ok_or_else(|| Failure::new("docker endpoint configuration is required"))?,
            description: String::new(),
            name: String::new(),
        },
        (from, true) => store::load(app, from)?,
        (_, false) => return Err(Failure::new("cannot use --docker flag when --from is set")),
    };
    context.name = name.to_owned();
    if args.has("description") {
        context.description = args.text("description").to_owned();
    }
    store::save(app, &context)?;
    console::line(name);
    console::error(format!("Successfully created context {name:?}"));
    Ok(())
}
