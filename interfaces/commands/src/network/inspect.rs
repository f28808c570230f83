//! `dhow network inspect`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::inspect;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    about: "Display detailed information on one or more networks",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        recurring::FORMAT_OBJECT,
        flag(
            "verbose",
            'v',
            Kind::Bool,
            "",
            "",
            "Verbose output for diagnostics",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let verbose = args.on("verbose");
    inspect::print(&args.args, args.text("format"), |name| {
        client.network_inspect(name, verbose)
    })
    .await
}
