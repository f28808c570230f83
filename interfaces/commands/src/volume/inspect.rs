//! `dhow volume inspect`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Parsed, recurring};
use crate::inspect;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Display detailed information on one or more volumes",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[recurring::FORMAT_OBJECT],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    inspect::print(&args.args, args.text("format"), |name| {
        client.volume_inspect(name)
    })
    .await
}
