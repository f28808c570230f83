//! Reading a manifest that somebody pushes: what it is, what it needs, and whether it is one at all.

use std::collections::BTreeMap;

use oci::digest::Digest;
use oci::image::media_type;
use serde::Deserialize;

use crate::error::{Code, Failure};

/// No manifest may be larger (the size that the distribution-spec asks registries to accept).
pub(crate) const LARGEST: usize = 4 << 20;
/// No media type may be longer (RFC 6838, section 4.2: 127 characters on each side of the slash).
const LONGEST_TYPE: usize = 255;

/// A pointer to content, as far as a registry looks at it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pointer {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Pointer {
    /// Whether the content is served from elsewhere by its owner's wish, so that registries need not have it.
    fn is_foreign(&self) -> bool {
        self.media_type.contains("foreign") || self.media_type.contains("nondistributable")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u32>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Pointer>,
    layers: Option<Vec<Pointer>>,
    manifests: Option<Vec<Pointer>>,
    subject: Option<Pointer>,
    annotations: Option<BTreeMap<String, String>>,
}

/// A manifest that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) media_type: String,
    pub(crate) artifact_type: Option<String>,
    /// Blobs that must be there.
    pub(crate) blobs: Vec<Pointer>,
    /// Manifests that must be there.
    pub(crate) manifests: Vec<Pointer>,
    pub(crate) subject: Option<Digest>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Parsed {
    /// Reads `bytes`, which the client says are of the media type `declared`.
    pub(crate) fn read(bytes: &[u8], declared: Option<&str>) -> Result<Self, Failure> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| invalid(format!("the manifest cannot be read: {error}")))?;
        let declared = declared.map(without_parameters).filter(|text| !text.is_empty());
        let own = document.media_type.as_deref().filter(|text| !text.is_empty());
        let media_type = match (declared, own) {
            (Some(declared), Some(own)) if declared != own => {
                return Err(invalid(format!(
                    "the manifest says that it is {own:?}, the header Content-Type says {declared:?}"
                )));
            }
            (Some(text), _) | (None, Some(text)) => text.to_owned(),
            (None, None) => {
                return Err(invalid(
                    "neither the manifest nor a header Content-Type says what it is",
                ));
            }
        };
        if document.schema_version != Some(2) {
            return Err(invalid("schemaVersion must be 2"));
        }
        match media_type.as_str() {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => document.image(media_type),
            media_type::OCI_INDEX | media_type::DOCKER_LIST => document.index(media_type),
            _ => Err(invalid(format!(
                "manifests of type {media_type:?} are not kept here: an OCI manifest or index, or Docker's schema 2 and list are"
            ))),
        }
    }
}

impl Document {
    fn image(self, media_type: String) -> Result<Parsed, Failure> {
        // What is both an image and an index means different things to different clients (CVE-2021-41190).
        if self.manifests.is_some() {
            return Err(invalid("an image manifest may not have \"manifests\""));
        }
        let config = self
            .config
            .ok_or_else(|| invalid("an image manifest must have a \"config\""))?;
        let layers = self.layers.unwrap_or_default();
        let artifact_type = self.artifact_type.filter(|text| !text.is_empty());
        let artifact_type =
            artifact_type.or_else(|| Some(config.media_type.clone()).filter(|t| !t.is_empty()));
        let mut blobs = vec![config];
        blobs.extend(layers.into_iter().filter(|layer| !layer.is_foreign()));
        Ok(Parsed {
            media_type,
            artifact_type: short(artifact_type)?,
            blobs,
            manifests: Vec::new(),
            subject: kept(self.subject)?,
            annotations: self.annotations.unwrap_or_default(),
        })
    }

    fn index(self, media_type: String) -> Result<Parsed, Failure> {
        if self.layers.is_some() || self.config.is_some() {
            return Err(invalid("an index may have neither \"config\" nor \"layers\""));
        }
        let manifests = self
            .manifests
            .ok_or_else(|| invalid("an index must have \"manifests\""))?;
        Ok(Parsed {
            media_type,
            artifact_type: short(self.artifact_type.filter(|text| !text.is_empty()))?,
            blobs: Vec::new(),
            manifests,
            subject: kept(self.subject)?,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

/// A subject need not be there, but it must be something that could be.
fn kept(subject: Option<Pointer>) -> Result<Option<Digest>, Failure> {
    let Some(subject) = subject else { return Ok(None) };
    crate::route::digest(&subject.digest.to_string()).map(Some)
}

fn short(artifact_type: Option<String>) -> Result<Option<String>, Failure> {
    match artifact_type {
        Some(text) if text.len() > LONGEST_TYPE => {
            Err(invalid("the artifact type is longer than 255 characters"))
        }
        other => Ok(other),
    }
}

/// `type/subtype` of `type/subtype; charset=utf-8`.
fn without_parameters(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Code::ManifestInvalid, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pointer(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::sha256("x"), "size": 1})
    }

    fn read(document: &Value, declared: Option<&str>) -> Result<Parsed, Failure> {
        Parsed::read(document.to_string().as_bytes(), declared)
    }

    #[test]
    fn an_image_needs_its_blobs_but_not_foreign_layers_or_its_subject() {
        let image = json!({
            "schemaVersion": 2, "config": pointer(media_type::OCI_CONFIG), "subject": pointer("a/b"),
            "layers": [pointer(media_type::OCI_LAYER), pointer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]
        });
        let parsed = read(
            &image,
            Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
        )
        .unwrap();
        assert_eq!(parsed.media_type, media_type::OCI_MANIFEST);
        assert_eq!((parsed.blobs.len(), parsed.manifests.len()), (2, 0));
        assert_eq!(parsed.subject, Some(Digest::sha256("x")));
        assert_eq!(parsed.artifact_type.as_deref(), Some(media_type::OCI_CONFIG));
    }

    #[test]
    fn what_is_no_manifest_or_two_things_at_once_is_refused() {
        let config = pointer(media_type::OCI_CONFIG);
        let oci = Some(media_type::OCI_MANIFEST);
        let index = Some(media_type::OCI_INDEX);
        for (document, declared) in [
            (json!([]), oci),
            (json!({}), oci),
            (json!({"schemaVersion": 1, "config": config}), oci),
            (json!({"schemaVersion": 2}), oci),
            (json!({"schemaVersion": 2, "config": config}), None),
            (
                json!({"schemaVersion": 2, "config": config, "mediaType": media_type::DOCKER_MANIFEST}),
                oci,
            ),
            (
                json!({"schemaVersion": 2, "config": config, "manifests": []}),
                oci,
            ),
            (json!({"schemaVersion": 2, "manifests": [], "layers": []}), index),
            (json!({"schemaVersion": 2}), index),
            (json!({"schemaVersion": 2, "config": config}), Some("text/plain")),
            (
                json!({"schemaVersion": 2, "config": {"digest": "sha256:../../x", "size": 1}}),
                oci,
            ),
            (
                json!({"schemaVersion": 2, "config": {"digest": Digest::sha256("x"), "size": -1}}),
                oci,
            ),
            (
                json!({"schemaVersion": 2, "config": config, "artifactType": "x".repeat(300)}),
                oci,
            ),
        ] {
            let failure = read(&document, declared).unwrap_err();
            assert_eq!(failure.complaints[0].code, Code::ManifestInvalid, "{document}");
        }
        assert!(Parsed::read(&[b'['; 100_000], oci).is_err(), "depth is bounded");
    }

    #[test]
    fn an_index_may_be_empty_and_its_type_may_stand_inside_only() {
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
        let parsed = read(&index, None).unwrap();
        assert!(parsed.manifests.is_empty() && parsed.artifact_type.is_none());
    }
}
