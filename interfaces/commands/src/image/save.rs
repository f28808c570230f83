//! `dhow save`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::streams;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    aliases: "image save, save",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        flag(
            "output",
            'o',
            Kind::Text,
            "string",
            "",
            "Write to a file, instead of STDOUT",
        ),
        flag(
            "platform",
            '\0',
            Kind::Text,
            "string",
            "",
            "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
        flag(
            "since",
            '\0',
            Kind::Text,
            "string",
            "",
            "Leave out the layers of this image: the archive can be loaded where it is",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let sink = streams::Sink::open(args.text("output"), "failed to save image")?;
    let platforms: Vec<String> = args
        .all("platform")
        .iter()
        .map(|p| super::inspect::platform(p))
        .collect();
    let client = app.client()?;
    let reply = client
        .image_save(&args.args, args.text("since"), &platforms)
        .await?;
    sink.fill(reply).await
}
