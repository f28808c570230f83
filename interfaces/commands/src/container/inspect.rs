//! `dhow container inspect`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::inspect;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        recurring::FORMAT_OBJECT,
        flag("size", 's', Kind::Bool, "", "", "Display total file sizes"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let size = args.on("size");
    inspect::print(&args.args, args.text("format"), |name| {
        client.container_inspect(name, size)
    })
    .await
}
