//! The text that is signed: «simple signing», as containers/image and cosign have it
//! (containers-signature(5), `critical` and `optional`).

use oci::digest::Digest;
use oci::reference::Reference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SignatureError;

/// What cosign and skopeo write for `type`.
const KIND: &str = "cosign container image signature";

/// A statement about an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    critical: Critical,
    #[serde(default)]
    optional: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

impl Claim {
    /// That `name` has the manifest `digest`; `time` in seconds since 1970.
    pub fn new(name: &Reference, digest: &Digest, creator: &str, time: i64) -> Self {
        Self {
            critical: Critical {
                identity: Identity {
                    name: name.to_string(),
                },
                image: Image {
                    digest: digest.clone(),
                },
                kind: KIND.to_owned(),
            },
            optional: serde_json::json!({"creator": creator, "timestamp": time}),
        }
    }

    /// Reads the text that was signed.
    ///
    /// # Errors
    /// [`SignatureError::Claim`].
    pub fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        let claim: Self =
            serde_json::from_slice(text).map_err(|error| SignatureError::Claim(error.to_string()))?;
        match claim.critical.kind.as_str() {
            KIND => Ok(claim),
            other => Err(SignatureError::Claim(format!("it is a {other:?}"))),
        }
    }

    /// The text to sign.
    pub fn to_json(&self) -> Vec<u8> {
        // A value made of texts and numbers has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The name that was signed for, as it stands there.
    pub fn name(&self) -> &str {
        &self.critical.identity.name
    }

    pub(crate) fn must_mean(&self, name: &Reference, digest: &Digest) -> Result<(), SignatureError> {
        let signed = &self.critical.image.digest;
        if signed != digest {
            return Err(SignatureError::OtherImage {
                signed: signed.clone(),
                wanted: digest.clone(),
            });
        }
        let own = Reference::parse_normalized(self.name()).ok();
        let fits = own.is_some_and(|own| {
            let same_tag = match (own.tag(), name.tag()) {
                (Some(signed), Some(wanted)) => signed == wanted,
                _ => true,
            };
            own.name() == name.name() && same_tag
        });
        match fits {
            true => Ok(()),
            false => Err(SignatureError::OtherName {
                signed: self.name().to_owned(),
                wanted: name.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cosign_signs_is_read() {
        let text = br#"{"critical":{"identity":{"docker-reference":"reg.example/app"},"image":{"docker-manifest-digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"type":"cosign container image signature"},"optional":null}"#;
        let claim = Claim::parse(text).unwrap();
        assert_eq!(claim.name(), "reg.example/app");
        let (name, digest) = (
            Reference::parse_docker("reg.example/app:3").unwrap(),
            Digest::sha256("test"),
        );
        assert_eq!(claim.must_mean(&name, &digest), Ok(()));
    }

    #[test]
    fn other_statements_are_none() {
        let gpg = br#"{"critical":{"identity":{"docker-reference":"a"},"image":{"docker-manifest-digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"type":"atomic container signature"},"optional":{}}"#;
        assert!(Claim::parse(gpg).unwrap_err().to_string().contains("atomic"));
        assert!(Claim::parse(b"{}").is_err() && Claim::parse(b"").is_err());
    }
}
