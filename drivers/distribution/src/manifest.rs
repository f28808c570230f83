//! Manifests and indexes as they come from a registry: bytes first, meaning second.

use oci::digest::Digest;
use oci::image::{Descriptor, Index, media_type};
use oci::platform::Platform;
use serde_json::Value;

use crate::error::DistributionError;

/// The largest manifest that is read; the distribution-spec lets registries refuse larger ones.
pub const MANIFEST_LIMIT: usize = 4 << 20;

/// What an image's manifest may be.
pub const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v1+prettyjws, application/json";

/// A document of a registry, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it says that it is.
    pub media_type: String,
    /// Of its bytes.
    pub digest: Digest,
    /// As they came.
    pub bytes: Vec<u8>,
}

/// A document by its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// Of one image.
    Image(Box<oci::image::Manifest>),
    /// Of one image for each of several platforms.
    Index(Index),
}

impl Document {
    /// Takes bytes for a document. What its own field says wins over the header; they must not contradict.
    ///
    /// # Errors
    /// [`DistributionError::Protocol`], if it is no JSON object. `url` is how messages call it.
    pub fn new(url: &str, header: &str, bytes: Vec<u8>) -> Result<Self, DistributionError> {
        let wrong = |reason: String| DistributionError::Protocol {
            url: url.to_owned(),
            reason,
        };
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("the manifest is no JSON: {error}")))?;
        let own = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        let header = header.split(';').next().unwrap_or_default().trim();
        if !own.is_empty() && is_manifest(header) && header != own {
            return Err(wrong(format!(
                "the manifest is a {own}, but was sent as a {header}"
            )));
        }
        // An attack (CVE-2021-41190): a document that is an image to one reader, an index to another.
        if value.get("manifests").is_some()
            && (value.get("layers").is_some() || value.get("config").is_some())
        {
            return Err(wrong("the manifest is an index and an image at once".to_owned()));
        }
        let media_type = match (own, header) {
            ("", header) if is_manifest(header) => header.to_owned(),
            ("", _) if value.get("manifests").is_some() => media_type::OCI_INDEX.to_owned(),
            ("", _) if value.get("schemaVersion") == Some(&Value::from(1)) => SCHEMA_1.to_owned(),
            ("", _) => media_type::OCI_MANIFEST.to_owned(),
            (own, _) => own.to_owned(),
        };
        Ok(Self {
            digest: Digest::sha256(&bytes),
            media_type,
            bytes,
        })
    }

    /// What it means.
    ///
    /// # Errors
    /// [`DistributionError::Unsupported`], [`DistributionError::Protocol`].
    pub fn parse(&self) -> Result<Manifest, DistributionError> {
        let wrong = |error: serde_json::Error| DistributionError::Protocol {
            url: self.digest.to_string(),
            reason: format!("the manifest cannot be read: {error}"),
        };
        match self.media_type.as_str() {
            media_type::DOCKER_LIST | media_type::OCI_INDEX => {
                Ok(Manifest::Index(serde_json::from_slice(&self.bytes).map_err(wrong)?))
            }
            media_type::DOCKER_MANIFEST | media_type::OCI_MANIFEST => {
                Ok(Manifest::Image(serde_json::from_slice(&self.bytes).map_err(wrong)?))
            }
            SCHEMA_1 | "application/vnd.docker.distribution.manifest.v1+json" => Err(DistributionError::Unsupported(
                "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Ask the author to upgrade the image to the OCI format or Docker V2 Schema 2.".to_owned(),
            )),
            other => Err(DistributionError::Unsupported(format!("unsupported manifest media type {other:?}"))),
        }
    }
}

const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

fn is_manifest(text: &str) -> bool {
    [
        media_type::DOCKER_LIST,
        media_type::OCI_INDEX,
        media_type::DOCKER_MANIFEST,
        media_type::OCI_MANIFEST,
        SCHEMA_1,
        "application/vnd.docker.distribution.manifest.v1+json",
    ]
    .contains(&text)
}

/// The manifest of an index for a platform: the first that fits, with the same variant before any other.
pub fn choose<'a>(index: &'a Index, platform: &Platform) -> Option<&'a Descriptor> {
    let fitting = || {
        index.manifests.iter().filter(|manifest| {
            manifest
                .platform
                .as_ref()
                .is_some_and(|theirs| platform.accepts(theirs))
        })
    };
    let exact = fitting().find(|m| m.platform.as_ref().is_some_and(|p| p.variant == platform.variant));
    exact.or_else(|| fitting().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(header: &str, text: &str) -> Result<Document, DistributionError> {
        Document::new("u", header, text.as_bytes().to_vec())
    }

    #[test]
    fn a_document_is_what_it_says_and_nothing_else() {
        let kind = |header: &str, text: &str| document(header, text).unwrap().media_type;
        assert_eq!(
            kind("application/json", r#"{"manifests":[]}"#),
            media_type::OCI_INDEX
        );
        assert_eq!(
            kind(media_type::DOCKER_MANIFEST, "{}"),
            media_type::DOCKER_MANIFEST
        );
        let both = r#"{"manifests":[],"layers":[]}"#;
        assert!(document("application/json", both).is_err());
        let contradicts = format!(r#"{{"mediaType":"{}"}}"#, media_type::OCI_INDEX);
        assert!(document(media_type::OCI_MANIFEST, &contradicts).is_err());
        assert!(document("text/html", "<html>").is_err());
        let old = document("application/json", r#"{"schemaVersion":1}"#).unwrap();
        assert!(matches!(old.parse(), Err(DistributionError::Unsupported(_))));
    }

    #[test]
    fn the_platform_chooses() {
        let manifest = |platform: &str, n: u8| Descriptor {
            platform: Some(platform.parse().unwrap()),
            ..Descriptor::new("m", Digest::sha256([n]), 1)
        };
        let index = Index {
            manifests: vec![
                manifest("linux/arm/v6", 1),
                manifest("linux/arm/v7", 2),
                manifest("linux/amd64", 3),
            ],
            ..serde_json::from_str(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap()
        };
        let check = |platform: &str, expected: Option<u8>| {
            let found = choose(&index, &platform.parse().unwrap()).map(|d| d.digest.clone());
            assert_eq!(found, expected.map(|n| Digest::sha256([n])), "{platform}");
        };
        check("linux/arm/v7", Some(2));
        check("linux/amd64", Some(3));
        check("linux/arm64", None);
        check("windows/amd64", None);
    }
}
