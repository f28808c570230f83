//! `dhow volume update`: for cluster volumes only, which there are none of yet.

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [VOLUME]",
    about: "Update a volume (cluster volumes only)",
    aliases: "",
    count: Count::Between(0, 1),
    stop_early: false,
    flags: &[flag(
        "availability",
        '\0',
        Kind::Text,
        "string",
        "\"active\"",
        "Cluster Volume availability (\"active\", \"pause\", \"drain\")",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let flag = if args.has("availability") {
        " --availability"
    } else {
        ""
    };
    Err(Failure::new(format!(
        "{}{flag} is not available in this version of dhow",
        app.path
    )))
}
