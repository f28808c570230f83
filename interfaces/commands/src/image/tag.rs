//! `dhow tag`.

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    aliases: "image tag, tag",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (repository, tag) = super::split_name(args.arg(1));
    if args.arg(1).contains('@') {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    super::check_name(args.arg(1)).map_err(|error| {
        Failure::new(format!(
            "Error parsing reference: {:?} is not a valid repository/tag: {error}",
            args.arg(1)
        ))
    })?;
    Ok(app
        .client()?
        .image_tag(
            args.arg(0),
            repository,
            if tag.is_empty() { "latest" } else { tag },
        )
        .await?)
}
