//! `dhow import`.

use std::fs::File;

use client::{Body, ImportOptions};

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::streams;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    aliases: "image import, import",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        flag(
            "change",
            'c',
            Kind::List,
            "list",
            "",
            "Apply Dockerfile instruction to the created image",
        ),
        flag(
            "message",
            'm',
            Kind::Text,
            "string",
            "",
            "Set commit message for imported image",
        ),
        flag(
            "platform",
            '\0',
            Kind::Text,
            "string",
            "",
            "Set platform if server is multi-platform capable",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let source = args.arg(0);
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let body = if is_url {
        Body::Empty
    } else if source == "-" {
        streams::body_of(std::io::stdin())
    } else {
        let file =
            File::open(source).map_err(|e| Failure::new(format!("open {source}: {}", streams::cause(&e))))?;
        streams::body_of(file)
    };
    let (repository, tag) = super::split_name(args.arg(1));
    let options = ImportOptions {
        source: if is_url { source.to_owned() } else { "-".to_owned() },
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        message: args.text("message").to_owned(),
        changes: args.all("change"),
        platform: args.text("platform").to_owned(),
    };
    let reply = app.client()?.image_import(&options, body).await?;
    super::progress(reply, false, console::line).await
}
