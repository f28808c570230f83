//! `dhow rmi`.

use crate::app::App;
use crate::console;
use crate::failure::{Outcome, Problems};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    aliases: "image rm, image remove, rmi",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        flag("force", 'f', Kind::Bool, "", "", "Force removal of the image"),
        flag(
            "no-prune",
            '\0',
            Kind::Bool,
            "",
            "",
            "Do not delete untagged parents",
        ),
        flag(
            "platform",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let platforms: Vec<String> = args
        .all("platform")
        .iter()
        .map(|p| super::inspect::platform(p))
        .collect();
    let (force, prune) = (args.on("force"), !args.on("no-prune"));
    let mut problems = Problems::default();
    let mut missing_only = true;
    for name in &args.args {
        match client.image_remove(name, force, prune, &platforms).await {
            Ok(reply) => {
                for item in App::json(&reply)?.items() {
                    match item.str_at("Deleted") {
                        "" => console::line(format!("Untagged: {}", item.str_at("Untagged"))),
                        id => console::line(format!("Deleted: {id}")),
                    }
                }
            }
            Err(error) => {
                missing_only &= error.is_not_found();
                problems.note(error);
            }
        }
    }
    match problems.outcome() {
        // With -f it is no failure that there was nothing to remove.
        Err(failure) if force && missing_only => {
            console::error(failure.message);
            Ok(())
        }
        other => other,
    }
}
