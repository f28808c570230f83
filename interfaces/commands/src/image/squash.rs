//! `dhow image squash`.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [TARGET_IMAGE[:TAG]]",
    about: "Make an image with the same filesystem in one layer",
    aliases: "",
    count: Count::Between(1, 2),
    stop_early: false,
    flags: &[flag(
        "since",
        '\0',
        Kind::Text,
        "string",
        "",
        "Keep the layers of this image, and make one of those above it",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (repository, tag) = super::split_name(args.arg(1));
    if args.arg(1).contains('@') {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let client = app.client()?;
    let made = client
        .image_squash(args.arg(0), args.text("since"), repository, tag)
        .await?;
    console::line(made.id);
    Ok(())
}
