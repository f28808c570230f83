//! `dhow top`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};
use crate::{console, table};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTAINER [ps OPTIONS]",
    about: "Display the running processes of a container",
    aliases: "container top, top",
    count: Count::AtLeast(1),
    stop_early: true,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let top = app
        .client()?
        .container_top(args.arg(0), &args.args[1..].join(" "))
        .await?;
    let mut text = top.titles.join("\t");
    text.push('\n');
    for process in &top.processes {
        text.push_str(&process.join("\t"));
        text.push('\n');
    }
    console::print(table::columns(&text, 20, 3));
    Ok(())
}
