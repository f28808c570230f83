//! Named contexts (`--build-context NAME=VALUE`): files, or an image, that FROM and `--from` find under a name. A name
//! goes before a stage or an image that is called the same.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::remote::Remote;
use images::{Image, Images};
use oci::digest::Digest;
use oci::image::Index;
use oci::reference::Reference;
use tokio::sync::OnceCell;

use crate::copy::Root;
use crate::engine::Engine;
use crate::error::file;
use crate::{BuildError, context, sources};

/// Where a named context comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A directory at the top of the archive that the client sends.
    Sent(String),
    /// `docker-image://`.
    Image(String),
    /// `oci-layout://`: an image in a directory at the top of the archive, by tag or digest.
    Layout { directory: String, reference: String },
    /// A URL.
    Fetched(Remote),
    /// A directory of the daemon's, as long as the request lives.
    Kept(PathBuf),
}

impl Origin {
    fn parse(name: &str, value: &str) -> Result<Self, BuildError> {
        let wrong = |why: &str| BuildError::Parameter(format!("invalid context {name}={value}: {why}"));
        if let Some(image) = value.strip_prefix("docker-image://") {
            return Ok(Self::Image(image.to_owned()));
        }
        if let Some(directory) = value.strip_prefix("sent:") {
            return match is_name(directory) {
                true => Ok(Self::Sent(directory.to_owned())),
                false => Err(wrong("not the name of a directory")),
            };
        }
        if let Some(layout) = value.strip_prefix("oci-layout://") {
            let (directory, reference) = match layout.find(['@', ':']) {
                Some(at) => (&layout[..at], &layout[at..]),
                None => (layout, ""),
            };
            return match is_name(directory) {
                true => Ok(Self::Layout {
                    directory: directory.to_owned(),
                    reference: reference.to_owned(),
                }),
                false => Err(wrong("not the name of a directory")),
            };
        }
        match sources::parse(value)? {
            Some(remote) => Ok(Self::Fetched(remote)),
            None => Err(wrong(
                "must be docker-image://, oci-layout:// or the URL of files or a repository",
            )),
        }
    }

    /// The directory of the archive that it stands in.
    fn sent(&self) -> Option<&str> {
        match self {
            Self::Sent(directory) | Self::Layout { directory, .. } => Some(directory),
            Self::Image(_) | Self::Fetched(_) | Self::Kept(_) => None,
        }
    }
}

fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '\0'])
}

/// What a context turns out to be.
#[derive(Clone, Debug)]
pub(crate) enum Resolved {
    Files(Arc<Root>),
    Image(Image),
}

/// All named contexts of a build; each is made when a step first asks for it.
#[derive(Debug, Default)]
pub(crate) struct Contexts(BTreeMap<String, (Origin, OnceCell<Resolved>)>);

impl Contexts {
    /// Reads the values as they are asked for.
    pub(crate) fn parse(asked: &BTreeMap<String, String>) -> Result<Self, BuildError> {
        let mut contexts = BTreeMap::new();
        for (name, value) in asked {
            contexts.insert(key(name), (Origin::parse(name, value)?, OnceCell::new()));
        }
        Ok(Self(contexts))
    }

    /// The same with directories that are here.
    pub(crate) fn with(mut self, directories: &BTreeMap<String, crate::Directory>) -> Self {
        for (name, directory) in directories {
            let origin = Origin::Kept(directory.path.clone());
            self.0.insert(key(name), (origin, OnceCell::new()));
        }
        self
    }

    /// Whether a name stands for a context.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(&key(name))
    }

    /// Takes the directories of named contexts out of the archive that has been unpacked.
    pub(crate) fn take(&self, unpacked: &Path, build: &Path) -> Result<(), BuildError> {
        for directory in self.0.values().filter_map(|(origin, _)| origin.sent()) {
            let to = place(build, directory);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(file("create", parent))?;
            }
            let from = unpacked.join(directory);
            let is_directory = from.symlink_metadata().is_ok_and(|about| about.is_dir());
            // Two names may stand for the same directory; an empty one is not in every archive.
            if is_directory {
                std::fs::rename(&from, &to).map_err(file("take out", &from))?;
            } else {
                std::fs::create_dir_all(&to).map_err(file("create", &to))?;
            }
        }
        Ok(())
    }
}

/// Where the files of a context that was sent are.
fn place(build: &Path, directory: &str) -> PathBuf {
    build.join("contexts").join(directory)
}

/// What a name is known by: that of an image without what it has by default, or itself in small letters.
fn key(name: &str) -> String {
    match Reference::parse_normalized(name) {
        Ok(reference) => {
            let familiar = reference.familiar();
            familiar.strip_suffix(":latest").unwrap_or(&familiar).to_owned()
        }
        Err(_) => name.to_lowercase(),
    }
}

impl Engine {
    /// The context with this name, if there is one.
    pub(crate) async fn context(
        self: &Arc<Self>,
        part: usize,
        name: &str,
        platform: Option<&oci::platform::Platform>,
    ) -> Result<Option<Resolved>, BuildError> {
        let Some((origin, cell)) = self.contexts.0.get(&key(name)) else {
            return Ok(None);
        };
        let make = || async {
            let made = match origin {
                Origin::Sent(directory) => {
                    sources::tree(&place(&self.directory, directory)).map(Resolved::Files)
                }
                Origin::Image(image) => self.base(part, image, platform).await.map(Resolved::Image),
                Origin::Layout { directory, reference } => {
                    let path = place(&self.directory, directory);
                    load_layout(&self.images, path, reference)
                        .await
                        .map(Resolved::Image)
                }
                Origin::Kept(path) => sources::tree(path).map(Resolved::Files),
                Origin::Fetched(remote) => self.fetch_context(remote).await.map(Resolved::Files),
            };
            made.map_err(|source| BuildError::From {
                from: name.to_owned(),
                source: Box::new(source),
            })
        };
        cell.get_or_try_init(make).await.cloned().map(Some)
    }

    /// An archive of the web is unpacked; any other file stands alone in a directory.
    async fn fetch_context(&self, remote: &Remote) -> Result<Arc<Root>, BuildError> {
        let path = self.directory.join(format!("fetched-{}", self.number()));
        match remote {
            Remote::Git(repository) => {
                let checkout = sources::checkout(repository, None, false, path).await?;
                Ok(checkout.directory(&repository.directory)?.root)
            }
            Remote::Http(url) => {
                let file_name = dockerfile::remote::file_name(url).unwrap_or_else(|| "index".to_owned());
                let root = sources::tree(&path)?;
                let fetched = path.join(&file_name);
                sources::download(&self.images, url, None, &fetched).await?;
                let unpacked = path.with_extension("unpacked");
                let unpacking = tokio::task::spawn_blocking(move || {
                    let body = std::fs::File::open(&fetched).map_err(file("open", &fetched))?;
                    match context::unpack(body, &unpacked)? {
                        context::Body::Archive => sources::tree(&unpacked),
                        context::Body::Text(_) => Ok(root),
                    }
                });
                unpacking.await.map_err(|error| BuildError::task(&error))?
            }
        }
    }
}

/// Loads one image out of an OCI layout, under no name.
async fn load_layout(images: &Arc<Images>, path: PathBuf, reference: &str) -> Result<Image, BuildError> {
    let index_path = path.join("index.json");
    let wrong = |why: String| BuildError::Context(format!("oci-layout{reference}: {why}"));
    let text = sources::tree(&path)?.read("/index.json", LONGEST_INDEX);
    let text = text.map_err(|error| wrong(format!("index.json: {error}")))?;
    let mut index: Index =
        serde_json::from_slice(&text).map_err(|error| wrong(format!("index.json: {error}")))?;
    choose(&mut index, reference).map_err(wrong)?;
    let text = serde_json::to_vec(&index).map_err(|error| wrong(error.to_string()))?;
    // It may be a link in what was sent.
    std::fs::remove_file(&index_path).map_err(file("replace", &index_path))?;
    std::fs::write(&index_path, text).map_err(file("replace", &index_path))?;
    // Docker's own table of contents would be read instead of the index.
    match std::fs::remove_file(path.join("manifest.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file("remove manifest.json of", &path)(error));
        }
        _ => {}
    }
    let (reader, writer) = std::io::pipe().map_err(file("make a pipe for", &path))?;
    let packing = tokio::task::spawn_blocking(move || {
        let directory = std::fs::File::open(&path).map_err(file("open", &path))?;
        let mut out = std::io::BufWriter::with_capacity(256 << 10, writer);
        let packed = archive::pack(directory.as_fd(), &mut out, archive::PackOptions::default());
        // When the reading side is gone, it says why.
        drop(packed);
        Ok::<(), BuildError>(())
    });
    let quiet: images::Progress = Arc::new(|_| {});
    let loaded = images
        .load(
            BufReader::new(reader),
            images::LoadOptions {
                quiet: true,
                ..Default::default()
            },
            quiet,
        )
        .await;
    packing.await.map_err(|error| BuildError::task(&error))??;
    let mut loaded = loaded.map_err(BuildError::part)?;
    match loaded.len() {
        1 => Ok(loaded.remove(0)),
        count => Err(wrong(format!("{count} images are in it, and one is wanted"))),
    }
}

const LONGEST_INDEX: u64 = 4 << 20;

/// Leaves the one image that is meant, without its names. `reference` is `:tag`, `@digest` or nothing: then the only
/// image is meant, or that with the tag `latest`.
fn choose(index: &mut Index, reference: &str) -> Result<(), String> {
    const NAME: &str = "org.opencontainers.image.ref.name";
    let digest = match reference.split_once('@') {
        Some((_, digest)) => Some(digest.parse::<Digest>().map_err(|error| error.to_string())?),
        None => None,
    };
    let tag = reference
        .split('@')
        .next()
        .unwrap_or_default()
        .trim_start_matches(':');
    let only = index.manifests.len() == 1;
    let position = index.manifests.iter().position(|manifest| match &digest {
        Some(digest) => manifest.digest == *digest,
        None => {
            let name = manifest
                .annotations
                .get(NAME)
                .map(String::as_str)
                .unwrap_or_default();
            let wanted = if tag.is_empty() { "latest" } else { tag };
            (tag.is_empty() && only) || name == wanted || name.ends_with(&format!(":{wanted}"))
        }
    });
    let position = position.ok_or("no such image in index.json")?;
    let mut chosen = index.manifests.swap_remove(position);
    chosen.annotations.clear();
    index.manifests = vec![chosen];
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read() {
        let read = |value: &str| Origin::parse("n", value);
        assert_eq!(read("docker-image://a:1").unwrap(), Origin::Image("a:1".into()));
        assert_eq!(read("sent:x1").unwrap(), Origin::Sent("x1".into()));
        let layout = Origin::Layout {
            directory: "x".into(),
            reference: "@sha256:ab".into(),
        };
        assert_eq!(read("oci-layout://x@sha256:ab").unwrap(), layout);
        assert!(matches!(
            read("https://h/x.tar"),
            Ok(Origin::Fetched(Remote::Http(_)))
        ));
        for bad in [
            "",
            "dir",
            "sent:..",
            "sent:a/b",
            "sent:",
            "oci-layout://../x",
            "/etc",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_images_are_the_same_however_they_are_written() {
        let asked = BTreeMap::from([(
            "docker.io/library/alpine".to_owned(),
            "docker-image://b".to_owned(),
        )]);
        let contexts = Contexts::parse(&asked).unwrap();
        assert!(contexts.has("alpine") && contexts.has("alpine:latest") && !contexts.has("alpine:3"));
        let asked = BTreeMap::from([("Source".to_owned(), "docker-image://b".to_owned())]);
        assert!(Contexts::parse(&asked).unwrap().has("source"));
    }

    #[test]
    fn one_image_of_a_layout_is_chosen() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let manifest = |digit: &str, name: &str| {
            serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
                "digest": digest(digit), "annotations": {"org.opencontainers.image.ref.name": name}})
        };
        let index = |manifests: Vec<serde_json::Value>| -> Index {
            let text = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
            serde_json::from_value(text).unwrap()
        };
        let two = || index(vec![manifest("1", "v1"), manifest("2", "latest")]);
        let chosen = |mut index: Index, reference: &str| {
            choose(&mut index, reference).map(|()| index.manifests[0].digest.to_string())
        };
        assert_eq!(chosen(two(), "").unwrap(), digest("2"));
        assert_eq!(chosen(two(), ":v1").unwrap(), digest("1"));
        assert_eq!(chosen(two(), &format!("@{}", digest("1"))).unwrap(), digest("1"));
        assert!(chosen(two(), ":v2").is_err() && chosen(two(), "@x").is_err());
        assert_eq!(
            chosen(index(vec![manifest("3", "any")]), "").unwrap(),
            digest("3")
        );
    }
}
