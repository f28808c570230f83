//! `dhow manifest create`.

use super::store::Store;
use super::{Found, look_up, reference};
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
    about: "Create a local manifest list for annotating and pushing to a registry",
    aliases: "",
    count: Count::AtLeast(2),
    stop_early: false,
    flags: &[
        flag(
            "amend",
            'a',
            Kind::Bool,
            "",
            "",
            "Amend an existing manifest list",
        ),
        recurring::INSECURE,
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let parsed = reference(args.arg(0));
    let list = parsed.map_err(|e| {
        Failure::new(format!(
            "error parsing name for manifest list {}: {}",
            args.arg(0),
            e.message
        ))
    })?;
    let store = Store::of(app);
    if store.has(&list) && !args.on("amend") {
        return Err(Failure::new(
            "refusing to amend an existing manifest list with no --amend flag",
        ));
    }
    // All are looked up before one is kept: a name that is wrong leaves no half of a list.
    let mut members = Vec::new();
    for name in &args.args[1..] {
        let name = reference(name)?;
        // What is in the list keeps what it was annotated with.
        let member = match store.member(&list, &name)? {
            Some(member) => member,
            None => match look_up(app, &name, args.on("insecure")).await? {
                Found::One(member) => *member,
                Found::Several(_) => {
                    return Err(Failure::new(format!("{} is a manifest list", name.familiar())));
                }
            },
        };
        members.push((name, member));
    }
    for (name, member) in &members {
        store.save(&list, name, member)?;
    }
    console::line(format!("Created manifest list {list}"));
    Ok(())
}
