//! `dhow manifest rm`.

use super::reference;
use super::store::Store;
use crate::app::App;
use crate::failure::{Outcome, Problems};
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "MANIFEST_LIST [MANIFEST_LIST...]",
    about: "Delete one or more manifest lists from local storage",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let store = Store::of(app);
    let mut problems = Problems::default();
    for text in &args.args {
        let removed = reference(text).and_then(|list| Ok((store.remove(&list)?, list)));
        match removed {
            Ok((true, _)) => {}
            Ok((false, list)) => problems.note(format!("No such manifest: {}", list.familiar())),
            Err(error) => problems.note(error.message),
        }
    }
    problems.outcome()
}
