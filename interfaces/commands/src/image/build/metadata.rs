//! `--metadata-file`: what a program wants to know of the result, with the keys that buildx has.

use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};
use crate::image::{split_name, transfer};

/// Writes the file.
pub(super) fn write(path: &str, id: &str, tags: &[String], digest: Option<&str>) -> Outcome {
    let failed = |error: std::io::Error| Failure::new(format!("write {path}: {error}"));
    let mut text =
        serde_json::to_vec_pretty(&document(id, tags, digest)).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    std::fs::write(path, text).map_err(failed)
}

fn document(id: &str, tags: &[String], digest: Option<&str>) -> Value {
    let names: Vec<String> = tags
        .iter()
        .map(|tag| match split_name(tag) {
            (repository, "") => transfer::canonical(repository, "latest"),
            (repository, tag) => transfer::canonical(repository, tag),
        })
        .collect();
    let mut document = Map::new();
    document.insert("containerimage.config.digest".to_owned(), id.into());
    // Without a registry there is no manifest, and the image's id stands for it.
    document.insert("containerimage.digest".to_owned(), digest.unwrap_or(id).into());
    if !names.is_empty() {
        document.insert("image.name".to_owned(), names.join(",").into());
    }
    document.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_and_a_registrys_digest_goes_before_the_id() {
        let found = document(
            "sha256:a",
            &["x".to_owned(), "r:5/y:2".to_owned()],
            Some("sha256:b"),
        );
        assert_eq!(found["image.name"], "docker.io/library/x:latest,r:5/y:2");
        assert_eq!(found["containerimage.digest"], "sha256:b");
        let found = document("sha256:a", &[], None);
        assert_eq!(found["containerimage.digest"], "sha256:a");
        assert!(found.get("image.name").is_none());
    }
}
