//! What becomes of a result: an image that is kept or pushed, or files and archives that go to the client.

mod archive;
mod files;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use images::{Image, PushOptions};
use oci::reference::Reference;

use crate::grpc::{Code, Status};
use crate::service::BuildKit;
use crate::session::Session;
use crate::trace::{Task, Trace};

/// One thing to do with a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// Keep it under these names.
    Image { names: Vec<String>, push: bool },
    /// Send its files.
    Local,
    /// Send its files as one archive.
    Tar,
    /// Send the image as an archive that docker loads and that is an OCI layout, too.
    Archive { names: Vec<String> },
    /// Nothing: what it is built for is the cache.
    Nothing,
}

type Output = (String, BTreeMap<String, String>);

fn wrong(text: String) -> Status {
    Status::new(Code::InvalidArgument, text)
}

impl Exporter {
    /// Reads kinds and attributes.
    ///
    /// # Errors
    /// One is not known, or cannot be done; it is named.
    pub(crate) fn read(outputs: &[Output]) -> Result<Vec<Self>, Status> {
        outputs
            .iter()
            .map(|(kind, attributes)| Self::one(kind, attributes))
            .collect()
    }

    /// The same for docker's command, which names the image in parameters of its own.
    ///
    /// # Errors
    /// As [`Exporter::read`].
    pub(crate) fn read_all(outputs: &[Output], tags: Vec<String>) -> Result<Vec<Self>, Status> {
        let tags = tags.iter().map(|tag| name(tag)).collect::<Result<Vec<_>, _>>()?;
        let mut exporters = Self::read(outputs)?;
        if exporters.is_empty() {
            let (names, push) = (Vec::new(), false);
            exporters.push(Self::Image { names, push });
        }
        for exporter in &mut exporters {
            if let Self::Image { names, .. } | Self::Archive { names } = exporter
                && names.is_empty()
            {
                names.clone_from(&tags);
            }
        }
        Ok(exporters)
    }

    fn one(kind: &str, attributes: &BTreeMap<String, String>) -> Result<Self, Status> {
        let mut names = Vec::new();
        let mut push = false;
        for (key, value) in attributes {
            let on = matches!(value.as_str(), "" | "true" | "1");
            match (kind, key.as_str()) {
                ("image" | "moby" | "docker" | "oci" | "", "name") => {
                    for text in value.split(',').filter(|text| !text.is_empty()) {
                        names.push(name(text)?);
                    }
                }
                ("image" | "moby" | "", "push") => push = on,
                // An image is always kept, and always as layers that are unpacked.
                ("image" | "moby" | "", "unpack") => {}
                ("image" | "moby" | "", "store") | ("docker" | "oci", "tar") if on => {}
                ("moby", "type") if value == "docker" => {}
                // Of one platform there is nothing to split.
                ("local" | "tar", "platform-split" | "dest") | ("docker" | "oci", "dest") => {}
                ("image" | "moby" | "docker" | "oci" | "", "compression") if value == "gzip" => {}
                (kind, key) => {
                    let text = format!(
                        "the attribute {key}={value} of the exporter {kind} is not available in this version of dhow"
                    );
                    return Err(Status::new(Code::Unimplemented, text));
                }
            }
        }
        Ok(match kind {
            "image" | "moby" | "" => Self::Image { names, push },
            "docker" | "oci" => Self::Archive { names },
            "local" => Self::Local,
            "tar" => Self::Tar,
            "cacheonly" => Self::Nothing,
            other => return Err(wrong(format!("exporter {other:?} could not be found"))),
        })
    }
}

/// A name for an image, in full.
fn name(text: &str) -> Result<String, Status> {
    let invalid = |_| wrong(format!("invalid reference format: {text:?}"));
    let name = Reference::parse_normalized(text).map_err(invalid)?;
    match name.digest() {
        Some(_) => Err(wrong(format!("an image cannot be named by a digest: {text}"))),
        None => Ok(name.tag_or_latest().to_string()),
    }
}

impl BuildKit {
    /// Does with an image what the client wants; answers what it is told of that.
    ///
    /// # Errors
    /// Why something could not be done; what comes after it is not.
    pub(crate) async fn export(
        &self,
        exporters: &[Exporter],
        image: &Image,
        session: Option<&Session>,
        trace: &Trace,
    ) -> Result<HashMap<String, String>, Status> {
        let mut told = HashMap::new();
        for (exporter, number) in exporters.iter().zip(0..) {
            let what = match exporter {
                Exporter::Image { .. } => "exporting to image",
                Exporter::Local => "exporting to client directory",
                Exporter::Tar => "exporting to client tarball",
                Exporter::Archive { .. } => "exporting to docker image format",
                Exporter::Nothing => continue,
            };
            let task = trace.task(what).await;
            let work = self.export_one(exporter, number, image, session, &task);
            let outcome = match session {
                Some(session) => session.unless_gone(work).await,
                None => work.await,
            };
            task.end(&outcome).await;
            if let Some(names) = outcome? {
                let id = image.id.to_string();
                told.insert("containerimage.config.digest".to_owned(), id.clone());
                told.insert("containerimage.digest".to_owned(), id);
                if !names.is_empty() {
                    told.insert("image.name".to_owned(), names);
                }
            }
        }
        Ok(told)
    }

    /// The names of an image that was kept; nothing for other results.
    async fn export_one(
        &self,
        exporter: &Exporter,
        number: usize,
        image: &Image,
        session: Option<&Session>,
        task: &Task,
    ) -> Result<Option<String>, Status> {
        let needs = || wrong("the result cannot be sent: the build has no session".to_owned());
        match exporter {
            Exporter::Image { names, push } => {
                task.done_with(&format!("writing image {}", image.id), 0).await;
                for name in names {
                    let tagged = self.images.tag(&image.id.to_string(), name, "").await;
                    tagged.map_err(|error| Status::of(&error))?;
                    task.done_with(&format!("naming to {name}"), 0).await;
                    if *push {
                        self.push(name, session).await?;
                        task.done_with(&format!("pushing {name}"), 0).await;
                    }
                }
                if *push && names.is_empty() {
                    return Err(wrong("an image that is pushed needs a name".to_owned()));
                }
                Ok(Some(names.join(",")))
            }
            Exporter::Local => files::send(&self.images, image, session.ok_or_else(needs)?, number)
                .await
                .map(|()| None),
            Exporter::Tar => archive::send_files(&self.images, image, session.ok_or_else(needs)?, number)
                .await
                .map(|()| None),
            Exporter::Archive { names } => {
                match session.filter(|session| session.offers(archive::FILE_SEND).is_some()) {
                    Some(session) => archive::send_image(&self.images, image, names, session, number)
                        .await
                        .map(|()| Some(names.join(","))),
                    // Who takes no archive wants the image in the engine.
                    None => {
                        for name in names {
                            let tagged = self.images.tag(&image.id.to_string(), name, "").await;
                            tagged.map_err(|error| Status::of(&error))?;
                            task.done_with(&format!("naming to {name}"), 0).await;
                        }
                        Ok(Some(names.join(",")))
                    }
                }
            }
            Exporter::Nothing => Ok(None),
        }
    }

    async fn push(&self, name: &str, session: Option<&Session>) -> Result<(), Status> {
        let mut options = PushOptions::new(name, "").map_err(|error| Status::of(&error))?;
        if let Some(session) = session {
            let domain = options.reference.domain().to_owned();
            let asked = builds::Client::credentials(session, domain).await;
            options.credentials = asked.map_err(|error| crate::job::failed(&error))?;
        }
        let pushed = self.images.push(options, Arc::new(|_| {})).await;
        pushed.map_err(|error| Status::of(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, attributes: &[(&str, &str)]) -> Result<Exporter, Status> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Exporter::one(kind, &attributes.iter().map(owned).collect())
    }

    #[test]
    fn kinds_and_attributes_are_read() {
        let full = |name: &str| format!("docker.io/library/{name}");
        let names = vec![full("a:latest"), full("b:1")];
        let push = true;
        assert_eq!(
            one("moby", &[("name", "a,b:1"), ("push", "true")]),
            Ok(Exporter::Image { names, push })
        );
        let names = vec![full("a:latest")];
        assert_eq!(
            one("docker", &[("name", "a"), ("tar", "true")]),
            Ok(Exporter::Archive { names })
        );
        assert_eq!(one("local", &[]), Ok(Exporter::Local));
        for (kind, key, value) in [
            ("image", "name", "UPPER"),
            ("image", "compression", "zstd"),
            ("image", "push-by-digest", "true"),
            ("oci", "tar", "false"),
            ("nix", "name", "a"),
        ] {
            assert!(one(kind, &[(key, value)]).is_err(), "{kind} {key}={value}");
        }
        let none = Exporter::read_all(&[], vec!["x".into()]).unwrap();
        let (names, push) = (vec![full("x:latest")], false);
        assert_eq!(none, [Exporter::Image { names, push }]);
    }
}
