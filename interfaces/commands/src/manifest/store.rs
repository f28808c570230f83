//! Lists that are being put together: `~/.docker/manifests/LIST/MEMBER`, one JSON file per member, in docker's form.

use std::fs;
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::image::Descriptor;
use oci::reference::Reference;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::failure::Failure;

/// One image of a list. The names of the fields are docker's (`cli/manifest/types`).
#[derive(Serialize, Deserialize)]
pub(super) struct Member {
    /// Where it comes from, in canonical form.
    #[serde(rename = "Ref")]
    pub(super) name: String,
    #[serde(rename = "Descriptor")]
    pub(super) descriptor: Descriptor,
    /// The manifest's bytes in Base64.
    #[serde(rename = "Raw", default)]
    pub(super) raw: String,
    /// The same for reading, if it is docker's schema 2.
    #[serde(rename = "SchemaV2Manifest", default, skip_serializing_if = "Option::is_none")]
    pub(super) docker_form: Option<Box<RawValue>>,
    /// The same for reading, if it is OCI's.
    #[serde(rename = "OCIManifest", default, skip_serializing_if = "Option::is_none")]
    pub(super) oci_form: Option<Box<RawValue>>,
}

impl Member {
    /// The manifest's bytes, which must be those of the descriptor's digest.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let broken = |why: String| Failure::new(format!("the stored manifest of {} {why}", self.name));
        let bytes = match (&self.docker_form, &self.oci_form) {
            // Before version 24, docker kept no other form than these.
            (Some(text), _) | (None, Some(text)) if self.raw.is_empty() => text.get().as_bytes().to_vec(),
            _ => STANDARD
                .decode(&self.raw)
                .map_err(|e| broken(format!("cannot be read: {e}")))?,
        };
        if !self.descriptor.digest.verifies(&bytes) {
            return Err(broken(format!("is not that of {}", self.descriptor.digest)));
        }
        Ok(bytes)
    }
}

/// The folder of all lists.
pub(super) struct Store {
    root: PathBuf,
}

/// A name of a file for a reference, as docker makes it.
fn file_name(name: &Reference) -> String {
    name.to_string().replace(':', "-").replace('/', "_")
}

fn failed(step: &str, path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::new(format!("{step} {}: {error}", path.display()))
}

impl Store {
    pub(super) fn of(app: &App) -> Self {
        Self {
            root: app.config_dir.join("manifests"),
        }
    }

    fn folder(&self, list: &Reference) -> PathBuf {
        self.root.join(file_name(list))
    }

    pub(super) fn has(&self, list: &Reference) -> bool {
        self.folder(list).is_dir()
    }

    /// The members of a list in the order of their files' names; `None` if there is no such list.
    pub(super) fn members(&self, list: &Reference) -> Result<Option<Vec<Member>>, Failure> {
        let folder = self.folder(list);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &folder, &error)),
        };
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            // What was left of a write that was interrupted.
            .filter(|path| path.extension().is_none_or(|end| end != "new"))
            .collect();
        paths.sort();
        paths.iter().map(read).collect::<Result<Vec<_>, _>>().map(Some)
    }

    pub(super) fn member(&self, list: &Reference, name: &Reference) -> Result<Option<Member>, Failure> {
        let path = self.folder(list).join(file_name(name));
        match path.exists() {
            true => read(&path).map(Some),
            false => Ok(None),
        }
    }

    /// Writes a member; a reader sees the old one or the new one.
    pub(super) fn save(&self, list: &Reference, name: &Reference, member: &Member) -> Result<(), Failure> {
        let folder = self.folder(list);
        fs::create_dir_all(&folder).map_err(|e| failed("make", &folder, &e))?;
        let path = folder.join(file_name(name));
        let text = serde_json::to_vec(member).map_err(|e| Failure::new(e.to_string()))?;
        let new = folder.join(format!("{}.new", std::process::id()));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|e| failed("write", &path, &e))
    }

    /// Forgets a list; whether there was one.
    pub(super) fn remove(&self, list: &Reference) -> Result<bool, Failure> {
        let folder = self.folder(list);
        match fs::remove_dir_all(&folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &folder, &error)),
        }
    }
}

fn read(path: &PathBuf) -> Result<Member, Failure> {
    let text = fs::read(path).map_err(|e| failed("read", path, &e))?;
    serde_json::from_slice(&text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_docker_names_them() {
        let check = |name: &str, expected: &str| {
            assert_eq!(file_name(&Reference::parse_docker(name).unwrap()), expected);
        };
        check("127.0.0.1:5000/app:1", "127.0.0.1-5000_app-1");
        check("app", "docker.io_library_app-latest");
    }

    #[test]
    fn a_member_with_other_bytes_than_its_digest_says_is_refused() {
        let mut member = Member {
            name: "a".to_owned(),
            descriptor: Descriptor::new("m", oci::digest::Digest::sha256("text"), 4),
            raw: STANDARD.encode("text"),
            docker_form: None,
            oci_form: None,
        };
        assert_eq!(member.bytes().unwrap(), b"text");
        member.raw = STANDARD.encode("another");
        assert!(member.bytes().unwrap_err().message.contains("is not that of"));
    }
}
