//! `dhow volume inspect`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::inspect;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Display detailed information on one or more volumes",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[flag(
        "format",
        'f',
        Kind::Text,
        "string",
        "",
        "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    inspect::print(&args.args, args.text("format"), |name| {
        client.volume_inspect(name)
    })
    .await
}
