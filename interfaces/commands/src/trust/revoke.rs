//! `dhow trust revoke`.

use signatures::place;

use super::{look_up, meant, remove};
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE[:TAG]",
    about: "Remove trust for an image",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[flag(
        "yes",
        'y',
        Kind::Bool,
        "",
        "",
        "Do not prompt for confirmation",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let text = args.arg(0);
    let names = meant(app, text).await?;
    let whole = names.len() != 1 || names[0].familiar() != text;
    let question = format!("Confirm you would like to delete all signature data for {text}?");
    if whole && !args.on("yes") && !console::confirm(&question) {
        return Err(Failure::new("Aborting action."));
    }
    let mut any = false;
    for name in names {
        let Some(found) = look_up(app, &name).await? else {
            continue;
        };
        // All signatures of what the tag stands for go, ours and others': trust in it ends.
        let place = name.without_tag_and_digest().with_tag(&place::tag(&found.digest));
        let place = place.map_err(|error| Failure::new(error.to_string()))?;
        if remove(app, &place).await? {
            any = true;
            console::line(format!("Successfully deleted signature for {}", name.familiar()));
        }
    }
    match any {
        true => Ok(()),
        false => Err(Failure::new(format!("no signed tags to remove: {text}"))),
    }
}
