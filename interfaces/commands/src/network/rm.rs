//! `dhow network rm`.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "NETWORK [NETWORK...]",
    about: "Remove one or more networks",
    aliases: "network rm, network remove",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[flag(
        "force",
        'f',
        Kind::Bool,
        "",
        "",
        "Do not error if the network does not exist",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let mut failed = false;
    for name in &args.args {
        match client.network_remove(name).await {
            Ok(()) => console::line(name),
            Err(error) if args.on("force") && error.is_not_found() => {}
            Err(error) => {
                console::error(error.to_string());
                failed = true;
            }
        }
    }
    if failed {
        Err(Failure::new("exit status 1"))
    } else {
        Ok(())
    }
}
