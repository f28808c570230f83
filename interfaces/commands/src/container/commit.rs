//! `dhow commit`.

use client::{Body, Query};

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    about: "Create a new image from a container's changes",
    aliases: "container commit, commit",
    count: Count::Between(1, 2),
    stop_early: true,
    flags: &[
        flag(
            "author",
            'a',
            Kind::Text,
            "string",
            "",
            "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")",
        ),
        flag(
            "change",
            'c',
            Kind::List,
            "list",
            "",
            "Apply Dockerfile instruction to the created image",
        ),
        flag("message", 'm', Kind::Text, "string", "", "Commit message"),
        flag(
            "pause",
            'p',
            Kind::Bool,
            "",
            "true",
            "Pause container during commit",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if !args.arg(1).is_empty() {
        crate::image::check_name(args.arg(1)).map_err(|error| Failure::new(error.to_string()))?;
    }
    let (repository, tag) = crate::image::split_name(args.arg(1));
    let mut query = Query::new()
        .with("container", args.arg(0))
        .with_some("repo", repository)
        .with_some("tag", tag)
        .with_some("comment", args.text("message"))
        .with_some("author", args.text("author"));
    for change in args.all("change") {
        query = query.with("changes", change);
    }
    if !args.on("pause") {
        query = query.with("pause", "0");
    }
    let reply = app.client()?.container_commit(query, Body::Empty).await?;
    console::line(App::json(&reply)?.str_at("Id"));
    Ok(())
}
