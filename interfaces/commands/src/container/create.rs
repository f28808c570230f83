//! `dhow create`, and the part of `dhow run` that creates.

use std::io::Write as _;

use api_types::container::CreateRequest;

use super::options;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, joined};
use crate::tree::{Command, Count, run};
use crate::{console, credentials, image, streams};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    aliases: "container create, create",
    count: Count::AtLeast(1),
    stop_early: true,
    flags: &joined::<{ options::FLAGS.len() + 1 }>(options::FLAGS, &[
        flag("pull", '\0', Kind::Text, "string", "\"missing\"", "Pull image before creating (\"always\", \"|missing\", \"never\")"),
    ]),
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let request = options::request(args).map_err(|e| refused(app, &COMMAND, &e))?;
    console::line(create(app, args, &request).await?);
    Ok(())
}

/// A flag whose value makes no sense: with the usage if it is the value alone, with a hint if flags contradict.
pub(super) fn refused(app: &App, command: &Command, message: &str) -> Failure {
    if message.starts_with("invalid argument ") {
        let path = &app.path;
        return Failure::new(format!(
            "{message}\n\nUsage:  {path} {}\n\nRun '{path} --help' for more information",
            command.usage
        ))
        .code(125);
    }
    app.usage_error(message, 125)
}

/// The file of `--cidfile`: it must not exist before, and is removed if nothing comes of the container.
struct IdFile<'a> {
    path: &'a str,
    kept: bool,
}

impl<'a> IdFile<'a> {
    fn make(path: &'a str) -> Result<Self, Failure> {
        if !path.is_empty() {
            if std::path::Path::new(path).exists() {
                return Err(Failure::new(format!(
                    "container ID file found, make sure the other container isn't running or delete {path}"
                )));
            }
            std::fs::File::create_new(path).map_err(|e| {
                Failure::new(format!(
                    "failed to create the container ID file: open {path}: {}",
                    streams::cause(&e)
                ))
            })?;
        }
        Ok(Self { path, kept: false })
    }

    fn write(&mut self, id: &str) -> Outcome {
        if self.path.is_empty() {
            return Ok(());
        }
        let written = std::fs::File::options()
            .write(true)
            .open(self.path)
            .and_then(|mut f| f.write_all(id.as_bytes()));
        written.map_err(|e| Failure::new(format!("failed to write the container ID ({id}) to file: {e}")))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if !self.path.is_empty() && !self.kept {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Creates the container, pulling its image as `--pull` says; returns its id. Warnings go to standard error.
pub(super) async fn create(app: &App, args: &Parsed, request: &CreateRequest) -> Result<String, Failure> {
    let pull = args.text("pull");
    if !matches!(pull, "" | "missing" | "always" | "never") {
        return Err(Failure::new(format!(
            "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let client = app.client()?;
    let name = args.text("name");
    let platform = match args.text("platform") {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        platform => platform.to_owned(),
    };
    let quiet = args.on("quiet");
    let mut id_file = IdFile::make(args.text("cidfile"))?;
    let wanted = image::with_tag(args.arg(0));
    if pull == "always" {
        fetch(app, &wanted, &platform, quiet).await?;
    }
    if credentials::trust_demanded(args) {
        if pull == "never" {
            return Err(Failure::new(
                "--pull=never cannot be combined with content trust: what is signed is known at the registry",
            ));
        }
        let output = image::transfer::Output::Error;
        image::pull::trusted(app, &wanted, &platform, quiet, output).await?;
    }
    let mut made = client.container_create(name, &platform, request).await;
    let missing = matches!(&made, Err(e) if e.is_not_found()
        && ["No such image", "specified platform"].iter().any(|words| e.message().contains(words)));
    if missing && pull != "never" && pull != "always" {
        console::error(format!("Unable to find image '{wanted}' locally"));
        fetch(app, &wanted, &platform, quiet).await?;
        made = client.container_create(name, &platform, request).await;
    }
    let made = made?;
    for warning in &made.warnings {
        console::error(format!("WARNING: {warning}"));
    }
    id_file.write(&made.id)?;
    Ok(made.id)
}

async fn fetch(app: &App, name: &str, platform: &str, quiet: bool) -> Outcome {
    let (repository, tag) = image::split_name(name);
    let login = credentials::header_for(app, repository)?;
    let reply = app
        .client()?
        .image_pull(repository, tag, platform, &login)
        .await?;
    image::transfer::show(reply, quiet, image::transfer::Output::Error).await
}
