//! `dhow load`.

use std::fs::File;

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::streams;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Load an image from a tar archive or STDIN",
    aliases: "image load, load",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        flag(
            "input",
            'i',
            Kind::Text,
            "string",
            "",
            "Read from tar archive file, instead of STDIN",
        ),
        flag(
            "platform",
            '\0',
            Kind::Text,
            "string",
            "",
            "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
        flag("quiet", 'q', Kind::Bool, "", "", "Suppress the load output"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let path = args.text("input");
    let body = if path.is_empty() {
        if streams::is_terminal(0) {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        streams::body_of(std::io::stdin())
    } else {
        let file =
            File::open(path).map_err(|e| Failure::new(format!("open {path}: {}", streams::cause(&e))))?;
        streams::body_of(file)
    };
    // Without a terminal there is nobody to show progress to.
    let quiet = args.on("quiet") || !streams::is_terminal(1);
    let platforms: Vec<String> = args
        .all("platform")
        .iter()
        .map(|p| super::inspect::platform(p))
        .collect();
    let reply = app.client()?.image_load(quiet, &platforms, body).await?;
    super::progress(reply, false, console::line).await
}
