//! `--cache-from` and `--cache-to`: steps that were made elsewhere. An image holds the history of all its steps, so that a
//! cache is an image: in a registry, or in a directory as an OCI layout.

use std::path::{Path, PathBuf};

use client::Client;

use super::context;
use super::fields::Fields;
use super::outputs;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::image::transfer;
use crate::{console, credentials};

/// Where steps are found.
#[derive(Debug, PartialEq, Eq)]
enum From {
    /// An image that is here.
    Image(String),
    /// An image of a registry.
    Registry(String),
    /// An OCI layout.
    Local(PathBuf),
}

/// Where steps are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum To {
    /// In the image itself.
    Inline,
    /// In a registry, under this name.
    Registry(String),
    /// As an OCI layout; with the images of all stages.
    Local(PathBuf, bool),
}

fn needed(fields: &mut Fields, key: &str, what: &str) -> Result<String, Failure> {
    let value = fields.take(key).filter(|value| !value.is_empty());
    value.ok_or_else(|| Failure::new(format!("{key} is needed for {what}")))
}

impl From {
    fn parse(text: &str) -> Result<Self, Failure> {
        if !text.contains('=') {
            return Ok(Self::Image(text.to_owned()));
        }
        let mut fields = Fields::parse(text)?;
        let from = match fields.take("type").as_deref() {
            None | Some("registry") => Self::Registry(needed(&mut fields, "ref", "a cache of a registry")?),
            Some("local") => Self::Local(needed(&mut fields, "src", "a local cache")?.into()),
            Some(other) => {
                return Err(Failure::new(format!(
                    "--cache-from type={other} is not available in this version of dhow: only registry and local"
                )));
            }
        };
        fields.end("cache-from")?;
        Ok(from)
    }
}

impl To {
    fn parse(text: &str) -> Result<Self, Failure> {
        if !text.contains('=') {
            return Ok(match text {
                "inline" => Self::Inline,
                name => Self::Registry(name.to_owned()),
            });
        }
        let mut fields = Fields::parse(text)?;
        let to = match fields.take("type").as_deref() {
            Some("inline") => Self::Inline,
            None | Some("registry") => Self::Registry(needed(&mut fields, "ref", "a cache of a registry")?),
            Some("local") => Self::Local(needed(&mut fields, "dest", "a local cache")?.into(), false),
            Some(other) => {
                return Err(Failure::new(format!(
                    "--cache-to type={other} is not available in this version of dhow: only inline, registry and local"
                )));
            }
        };
        let to = match (fields.take("mode").as_deref(), to) {
            (None | Some("min"), to) => to,
            (Some("max"), Self::Local(path, _)) => Self::Local(path, true),
            (Some("max"), _) => {
                return Err(Failure::new(
                    "--cache-to mode=max is available with type=local only in this version of dhow: one name of a registry has one image",
                ));
            }
            (Some(other), _) => {
                return Err(Failure::new(format!(
                    "invalid mode {other} of --cache-to: must be min or max"
                )));
            }
        };
        fields.end("cache-to")?;
        Ok(to)
    }

    /// Whether the images of all stages are kept.
    pub(super) fn wants_stages(&self) -> bool {
        matches!(self, Self::Local(_, true))
    }
}

/// Reads `--cache-to`.
pub(super) fn targets(list: &[String]) -> Result<Vec<To>, Failure> {
    list.iter().map(|text| To::parse(text)).collect()
}

/// Gets the sources of `--cache-from` here; answers the names or ids of their images. One that cannot be had is told, and
/// the build goes on without.
pub(super) async fn sources(app: &App, list: &[String]) -> Result<Vec<String>, Failure> {
    let sources = whole(list)
        .iter()
        .map(|text| From::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut images = Vec::new();
    for source in sources {
        let had = match &source {
            From::Image(name) => Ok(vec![name.clone()]),
            From::Registry(name) => pull(app, name).await.map(|()| vec![name.clone()]),
            From::Local(path) => load(app.client()?, path).await,
        };
        match had {
            Ok(names) => images.extend(names),
            Err(failure) => console::error(format!(
                "WARNING: importing the cache {source:?} failed: {}",
                failure.message
            )),
        }
    }
    Ok(images)
}

/// The flag splits its values at commas; fields of one source belong together.
fn whole(list: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for text in list {
        match joined.last_mut() {
            Some(last) if last.contains('=') && text.contains('=') && !text.starts_with("type=") => {
                last.push(',');
                last.push_str(text);
            }
            _ => joined.push(text.clone()),
        }
    }
    joined
}

async fn pull(app: &App, name: &str) -> Outcome {
    let (repository, tag) = transfer::repository_and_tag(name, false, true)?;
    let login = credentials::header_for(app, repository)?;
    let reply = app.client()?.image_pull(repository, tag, "", &login).await?;
    transfer::show(reply, true, transfer::Output::Error).await
}

/// Loads an OCI layout; the ids of its images.
async fn load(client: &Client, path: &Path) -> Result<Vec<String>, Failure> {
    let index = path.join("index.json");
    if !index.is_file() {
        return Err(Failure::new(format!("{}: no such file", index.display())));
    }
    let mut reply = client.image_load(true, &[], context::layout(path)).await?;
    let mut text: Vec<u8> = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        text.extend_from_slice(&chunk);
    }
    let mut ids = Vec::new();
    for line in text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
    {
        let message: api_types::progress::Message = serde_json::from_slice(line)
            .map_err(|error| Failure::new(format!("the reply is broken: {error}")))?;
        if !message.error.is_empty() {
            return Err(Failure::new(message.error));
        }
        let (_, name) = message.stream.trim().split_once(": ").unwrap_or_default();
        if !name.is_empty() {
            ids.push(name.to_owned());
        }
    }
    Ok(ids)
}

/// Keeps the steps of an image where they are wanted.
pub(super) async fn keep(app: &App, targets: &[To], id: &str, stages: &[String]) -> Outcome {
    let client = app.client()?;
    for target in targets {
        match target {
            To::Inline => {}
            To::Registry(name) => {
                let (repository, tag) = transfer::repository_and_tag(name, false, true)?;
                client.image_tag(id, repository, tag).await?;
                outputs::push(app, name, true).await?;
            }
            To::Local(path, all) => {
                let mut ids = vec![id.to_owned()];
                ids.extend(stages.iter().filter(|stage| *all && *stage != id).cloned());
                outputs::layout(client, &ids, path).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_read_in_all_their_forms() {
        let from = |text: &str| From::parse(text).map_err(|failure| failure.message);
        assert_eq!(from("a:1"), Ok(From::Image("a:1".into())));
        assert_eq!(from("type=registry,ref=a:1"), Ok(From::Registry("a:1".into())));
        assert_eq!(from("type=local,src=d"), Ok(From::Local("d".into())));
        let to = |text: &str| To::parse(text).map_err(|failure| failure.message);
        assert_eq!(to("type=inline"), Ok(To::Inline));
        assert_eq!(to("inline"), Ok(To::Inline));
        assert_eq!(
            to("type=registry,ref=r/a,mode=min"),
            Ok(To::Registry("r/a".into()))
        );
        assert_eq!(to("type=local,dest=d"), Ok(To::Local("d".into(), false)));
        assert_eq!(to("type=local,dest=d,mode=max"), Ok(To::Local("d".into(), true)));
        for bad in [
            "type=gha",
            "type=local",
            "type=registry,ref=a,mode=max",
            "type=inline,what=1",
        ] {
            assert!(to(bad).is_err(), "{bad}");
        }
        assert!(from("type=s3,bucket=x").is_err());
    }

    #[test]
    fn fields_that_the_flag_has_split_are_put_together() {
        let list = ["a:1", "type=registry", "ref=b", "type=local", "src=d"].map(str::to_owned);
        assert_eq!(whole(&list), ["a:1", "type=registry,ref=b", "type=local,src=d"]);
    }
}
