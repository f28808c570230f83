//! What the specifications promise, asked from outside: a real `dhow-registry` on a port of its own, and a client that
//! sends exactly the bytes that a test wants.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

mod http;
mod server;

pub use http::{Reply, Request};
pub use server::{Server, server, server_with};

use oci::digest::Digest;
use oci::image::media_type;
use serde_json::{Value, json};

impl Server {
    /// Pushes a blob in one piece; its digest.
    pub fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let begun = self.post(&format!("/v2/{repository}/blobs/uploads/")).send();
        assert_eq!(begun.status, 202, "{begun:?}");
        let reply = self
            .put(&with(&begun.location(), &format!("digest={digest}")))
            .body(content)
            .send();
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    /// Pushes a manifest; its digest.
    pub fn push_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> Digest {
        let bytes = manifest.to_string();
        let media_type = manifest["mediaType"].as_str().unwrap_or(media_type::OCI_MANIFEST);
        let reply = self
            .put(&format!("/v2/{repository}/manifests/{reference}"))
            .header("Content-Type", media_type)
            .body(bytes.as_bytes())
            .send();
        assert_eq!(reply.status, 201, "{reply:?}");
        Digest::sha256(&bytes)
    }

    /// Pushes an image of one layer with the given content; its manifest and the manifest's digest.
    pub fn push_image(&self, repository: &str, tag: &str, layer: &[u8]) -> (Value, Digest) {
        let manifest = self.image(repository, layer);
        let digest = self.push_manifest(repository, tag, &manifest);
        (manifest, digest)
    }

    /// Pushes the blobs of an image of one layer; its manifest.
    pub fn image(&self, repository: &str, layer: &[u8]) -> Value {
        let config = b"{}";
        let config_digest = self.push_blob(repository, config);
        let layer_digest = self.push_blob(repository, layer);
        json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::OCI_CONFIG, "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": media_type::OCI_LAYER, "digest": layer_digest, "size": layer.len()}],
        })
    }
}

/// A line for the log of the suite.
pub fn say(line: &str) {
    println!("{line}");
}

/// Adds a query to a location, which may have one.
pub fn with(location: &str, query: &str) -> String {
    let joint = if location.contains('?') { '&' } else { '?' };
    format!("{location}{joint}{query}")
}
