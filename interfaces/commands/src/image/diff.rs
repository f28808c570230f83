//! `dhow image diff`.

use crate::app::App;
use crate::console;
use crate::container::diff::listing;
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "OLD_IMAGE NEW_IMAGE",
    about: "Show what differs between the filesystems of two images",
    aliases: "",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let changes = app.client()?.image_changes(args.arg(1), args.arg(0)).await?;
    console::print(listing(&changes));
    Ok(())
}
