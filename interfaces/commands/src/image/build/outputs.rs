//! `--output`, `--push`, `--load`: where the result goes besides the daemon's images.

use std::path::{Path, PathBuf};

use client::Client;

use super::fields::Fields;
use crate::app::App;
use crate::container::cp::unpack;
use crate::credentials;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::image::transfer;
use crate::streams::{Sink, cause};

/// Where a result goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The files, into a directory.
    Local(PathBuf),
    /// The files, as an archive; an empty path is standard output.
    Tar(String),
    /// The image, as an archive that docker loads, which is an OCI layout too; an empty path is standard output.
    Archive(String),
    /// The image, as an OCI layout in a directory.
    Layout(PathBuf),
    /// The image under these names, which may be sent to their registries.
    Image { names: Vec<String>, push: bool },
}

impl Output {
    fn parse(text: &str) -> Result<Self, Failure> {
        if !text.contains('=') {
            return Ok(match text {
                "-" => Self::Tar(String::new()),
                path => Self::Local(path.into()),
            });
        }
        let mut fields = Fields::parse(text)?;
        let kind = fields.take("type").unwrap_or_default();
        let dest = fields
            .take("dest")
            .map(|dest| if dest == "-" { String::new() } else { dest });
        let needed = |dest: Option<String>| {
            dest.filter(|dest| !dest.is_empty())
                .ok_or_else(|| Failure::new(format!("dest is required for {kind} exporter")))
        };
        let output = match kind.as_str() {
            "local" => Self::Local(needed(dest)?.into()),
            "tar" => Self::Tar(dest.unwrap_or_default()),
            "oci" | "docker" => match (fields.take_bool("tar", true)?, dest) {
                (false, dest) => Self::Layout(needed(dest)?.into()),
                (true, None) if kind == "docker" => Self::Image {
                    names: names(&mut fields),
                    push: false,
                },
                (true, dest) => Self::Archive(dest.unwrap_or_default()),
            },
            "image" | "registry" => Self::Image {
                push: fields.take_bool("push", kind == "registry")?,
                names: names(&mut fields),
            },
            "" => return Err(Failure::new(format!("type is required for output {text}"))),
            other => return Err(Failure::new(format!("unsupported output type {other}"))),
        };
        fields.end("output")?;
        Ok(output)
    }

    fn prints(&self) -> bool {
        matches!(self, Self::Tar(path) | Self::Archive(path) if path.is_empty())
    }
}

fn names(fields: &mut Fields) -> Vec<String> {
    let names = fields.take("name").unwrap_or_default();
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// All outputs of a build, and the names that its image gets.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    outputs: Vec<Output>,
    pub(super) tags: Vec<String>,
    push: bool,
}

impl Outputs {
    pub(super) fn parse(args: &Parsed) -> Result<Self, Failure> {
        let texts = args.all("output");
        let outputs = texts
            .iter()
            .map(|text| Output::parse(text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tags = args.all("tag");
        let mut push = args.on("push");
        for output in &outputs {
            if let Output::Image { names, push: wanted } = output {
                tags.extend(names.iter().cloned());
                push |= *wanted;
            }
        }
        if push && args.on("load") {
            return Err(Failure::new(
                "push and load may not be set together at the moment",
            ));
        }
        if push && tags.is_empty() {
            return Err(Failure::new("tag is needed when pushing to registry"));
        }
        if outputs.iter().filter(|output| output.prints()).count() > 1 {
            return Err(Failure::new("only one output can go to standard output"));
        }
        if outputs.iter().any(Output::prints) {
            // Refused before the build, not behind it.
            drop(Sink::open("", "output")?);
        }
        Ok(Self { outputs, tags, push })
    }

    /// Standard output is taken; what the build tells goes to standard error.
    pub(super) fn print(&self) -> bool {
        self.outputs.iter().any(Output::prints)
    }

    /// Gives the image where it is wanted; answers the digest that a registry knows it by, if it was sent to one.
    pub(super) async fn give(&self, app: &App, id: &str, quiet: bool) -> Result<Option<String>, Failure> {
        let client = app.client()?;
        for output in &self.outputs {
            match output {
                Output::Image { .. } => {}
                Output::Archive(path) => {
                    let sink = Sink::open(path, "failed to write the image")?;
                    sink.fill(client.image_save(&self.saved_as(id), "", &[]).await?)
                        .await?;
                }
                Output::Layout(path) => layout(client, &self.saved_as(id), path).await?,
                Output::Tar(path) => {
                    let sink = Sink::open(path, "failed to write the files")?;
                    sink.fill(client.image_files(id).await?).await?;
                }
                Output::Local(path) => {
                    let plan = into(path)?;
                    // Owners are root's to give.
                    let owner = rustix::process::geteuid().is_root();
                    unpack::reply(client.image_files(id).await?, plan, owner).await?;
                }
            }
        }
        let mut digest = None;
        if self.push {
            for tag in &self.tags {
                digest = push(app, tag, quiet).await?.or(digest);
            }
        }
        Ok(digest)
    }

    /// An archive has the image under its names, or under none.
    fn saved_as(&self, id: &str) -> Vec<String> {
        match self.tags.is_empty() {
            true => vec![id.to_owned()],
            false => self.tags.clone(),
        }
    }
}

/// A directory that is made where it is missing.
fn into(path: &Path) -> Result<unpack::Plan, Failure> {
    std::fs::create_dir_all(path)
        .map_err(|error| Failure::new(format!("create {}: {}", path.display(), cause(&error))))?;
    Ok(unpack::Plan {
        root: path.to_owned(),
        rename: None,
    })
}

/// Unpacks an archive of images into a directory.
pub(super) async fn layout(client: &Client, names: &[String], path: &Path) -> Outcome {
    let plan = into(path)?;
    let reply = client.image_save(names, "", &[]).await?;
    unpack::reply(reply, plan, false).await.map(drop)
}

/// Sends an image to the registry that its name says; the digest that it has there.
pub(super) async fn push(app: &App, name: &str, quiet: bool) -> Result<Option<String>, Failure> {
    let (repository, tag) = transfer::repository_and_tag(name, false, true)?;
    let login = credentials::header_for(app, repository)?;
    let reply = app.client()?.image_push(repository, tag, "", &login).await?;
    let mut digest = None;
    transfer::show_with(reply, quiet, transfer::Output::Error, |aux| {
        if let Some(told) = aux["Digest"].as_str() {
            digest = Some(told.to_owned());
        }
    })
    .await?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_in_all_their_forms() {
        let read = |text: &str| Output::parse(text).map_err(|failure| failure.message);
        assert_eq!(read("out/dir"), Ok(Output::Local("out/dir".into())));
        assert_eq!(read("-"), Ok(Output::Tar(String::new())));
        assert_eq!(read("type=local,dest=d"), Ok(Output::Local("d".into())));
        assert_eq!(read("type=tar,dest=-"), Ok(Output::Tar(String::new())));
        assert_eq!(
            read("type=docker,dest=x.tar"),
            Ok(Output::Archive("x.tar".into()))
        );
        assert_eq!(read("type=oci,tar=false,dest=d"), Ok(Output::Layout("d".into())));
        let image = |names: &[&str], push| {
            Ok(Output::Image {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                push,
            })
        };
        assert_eq!(read("type=docker"), image(&[], false));
        assert_eq!(read("type=image,name=a:1"), image(&["a:1"], false));
        assert_eq!(read("type=registry,\"name=a:1,b\""), image(&["a:1", "b"], true));
        for bad in [
            "type=local",
            "type=what",
            "dest=x",
            "type=tar,compression=zstd",
            "type=image,push=x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
