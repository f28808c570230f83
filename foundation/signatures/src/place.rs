//! Where signatures lie: layers of an image whose tag is made of the digest that is signed (cosign's SIGNATURE_SPEC,
//! «Storage»), or of images that refer to it.

use oci::digest::Digest;
use oci::image::{Descriptor, Manifest, media_type};
use serde_json::{Map, json};

/// The kind of a layer that holds a signed text.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The kind of an artifact that refers to what it signs.
pub const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The note beside a layer that holds its signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// More signatures of one image are not looked at.
pub const MOST: usize = 64;
/// A signed text is larger than this only by mistake.
pub const PAYLOAD_LIMIT: usize = 64 << 10;

/// The tag under which signatures of `digest` lie.
pub fn tag(digest: &Digest) -> String {
    format!("{}-{}.sig", digest.algorithm().name(), digest.hex())
}

/// Whether a tag belongs to what lies beside an image (`sha256-….sig`, `.att`, `.sbom`, or a list of referrers), not to an
/// image.
pub fn is_beside(tag: &str) -> bool {
    let Some((hex, end)) = tag
        .strip_prefix("sha256-")
        .and_then(|rest| rest.split_at_checked(64))
    else {
        return false;
    };
    hex.bytes().all(|b| b.is_ascii_hexdigit()) && (end.is_empty() || end.starts_with('.'))
}

/// The layers of such an image that hold a signed text, with the signature of each; at most [`MOST`].
pub fn signatures(manifest: &Manifest) -> impl Iterator<Item = (&Descriptor, &str)> {
    manifest
        .layers
        .iter()
        .filter(|layer| layer.media_type == PAYLOAD && layer.size <= PAYLOAD_LIMIT as u64)
        .filter_map(|layer| Some((layer, layer.annotations.get(SIGNATURE)?.as_str())))
        .take(MOST)
}

/// The descriptor of a signed text with its signature.
pub fn layer(payload: &[u8], signature: String) -> Descriptor {
    let mut layer = Descriptor::new(PAYLOAD, Digest::sha256(payload), payload.len() as u64);
    layer.annotations.insert(SIGNATURE.to_owned(), signature);
    layer
}

/// The configuration and the manifest of an image with these layers.
pub fn image(layers: Vec<Descriptor>) -> (Vec<u8>, Manifest) {
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let never = "0001-01-01T00:00:00Z";
    let config = json!({"architecture": "", "config": {}, "created": never, "os": "",
        "history": layers.iter().map(|_| json!({"created": never})).collect::<Vec<_>>(),
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string()
    .into_bytes();
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_owned(),
        config: Descriptor::new(
            media_type::OCI_CONFIG,
            Digest::sha256(&config),
            config.len() as u64,
        ),
        layers,
        annotations: Default::default(),
        extra: Map::new(),
    };
    (config, manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_images_is_known_by_its_tag() {
        let digest = Digest::sha256("x");
        assert!(is_beside(&tag(&digest)) && is_beside(&format!("sha256-{}", digest.hex())));
        for image in [
            "latest",
            "sha256-1",
            "sha256-",
            &format!("sha256-{}x", digest.hex()),
        ] {
            assert!(!is_beside(image), "{image}");
        }
    }

    #[test]
    fn what_is_put_there_is_found_there() {
        assert_eq!(
            tag(&Digest::sha256("test")),
            "sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.sig"
        );
        let other = Descriptor::new(media_type::OCI_LAYER, Digest::sha256("x"), 1);
        let large = Descriptor {
            size: PAYLOAD_LIMIT as u64 + 1,
            ..layer(b"large", "c".to_owned())
        };
        let (config, manifest) = image(vec![layer(b"text", "sig".to_owned()), other, large]);
        assert!(manifest.config.digest.verifies(&config));
        let found: Vec<_> = signatures(&manifest)
            .map(|(l, s)| (l.digest.clone(), s))
            .collect();
        assert_eq!(found, [(Digest::sha256("text"), "sig")]);
    }
}
