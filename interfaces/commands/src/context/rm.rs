//! `dhow context rm`.

use super::store;
use crate::app::App;
use crate::console;
use crate::failure::{Outcome, Problems};
use crate::flags::{Kind, Parsed, flag};
use crate::streams::cause;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTEXT [CONTEXT...]",
    about: "Remove one or more contexts",
    aliases: "context rm, context remove",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[flag(
        "force",
        'f',
        Kind::Bool,
        "",
        "",
        "Force the removal of a context in use",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (current, force) = (app.context_name(), args.on("force"));
    let mut problems = Problems::default();
    for name in &args.args {
        let meta = store::meta_dir(app, name);
        if name == super::DEFAULT {
            problems.note(format!("context {name:?} cannot be removed"));
        } else if *name == current && !force {
            problems.note(format!("context {name:?} is in use, set -f flag to force remove"));
        } else if !meta.exists() && !force {
            problems.note(format!("context {name:?} does not exist"));
        } else {
            let gone = std::fs::remove_dir_all(&meta);
            let _ = std::fs::remove_dir_all(store::tls_dir(app, name));
            match gone {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => problems.note(cause(&e)),
                _ => {
                    if *name == current && app.settings().str_at("currentContext") == name {
                        super::use_::set_current(app, "")?;
                    }
                    console::line(name);
                }
            }
        }
    }
    problems.outcome()
}
