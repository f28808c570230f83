//! Names and documents of images.

use distribution::manifest::{Document, Manifest, choose};
use oci::digest::Digest;
use oci::image::ImageConfig;
use oci::platform::Platform;
use oci::reference::{AnyReference, Reference, familiar_match, is_repository, is_tag};

/// The first line is a reference, the second a pattern.
pub(crate) fn reference(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (text, pattern) = text.split_once('\n').unwrap_or((text, "*"));
    if let Ok(strict) = Reference::parse(text) {
        assert_eq!(
            Reference::parse(&strict.to_string()).as_ref(),
            Ok(&strict),
            "{text:?}"
        );
    }
    if let Ok(name) = Reference::parse_normalized(text) {
        assert!(is_repository(name.path()), "{text:?}: {}", name.path());
        assert!(name.tag().is_none_or(is_tag), "{text:?}");
        assert_eq!(
            Reference::parse(&name.to_string()).as_ref(),
            Ok(&name),
            "in full: {text:?}"
        );
        let familiar = name.familiar();
        assert_eq!(
            Reference::parse_normalized(&familiar).as_ref(),
            Ok(&name),
            "in short: {text:?}"
        );
        let plain = name.without_tag_and_digest();
        assert!(plain.is_name_only());
        assert_eq!(plain.name(), name.name());
        let _ = familiar_match(pattern, &name);
    }
    let _ = Reference::parse_docker(text);
    let _ = AnyReference::parse(text);
}

/// The bytes are a digest, or a platform.
pub(crate) fn digest(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text, "a digest has one spelling");
        assert_eq!(digest.hex().len(), digest.algorithm().hex_len());
        assert!(digest.hex().starts_with(digest.short()));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        let again: Platform = platform
            .to_string()
            .parse()
            .expect("what was printed can be read");
        assert_eq!(again, platform, "{text:?}");
        assert!(platform.accepts(&platform), "{text:?}");
    }
}

/// The first line is the media type of the header, the rest the document.
pub(crate) fn manifest(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, rest) = data.split_at(end);
    let bytes = rest.strip_prefix(b"\n").unwrap_or(rest).to_vec();
    let Ok(document) = Document::new("fuzz", &String::from_utf8_lossy(header), bytes.clone()) else {
        return;
    };
    assert_eq!(document.bytes, bytes, "as they came");
    assert!(document.digest.verifies(&bytes));
    match document.parse() {
        Ok(Manifest::Image(image)) => {
            let text = serde_json::to_vec(&image).expect("it can be written");
            let again: oci::image::Manifest = serde_json::from_slice(&text).expect("and read");
            assert_eq!(again, *image);
            // The other reader must not see an index in it (CVE-2021-41190).
            let value: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
            assert!(value.get("manifests").is_none(), "an image that is an index");
        }
        Ok(Manifest::Index(index)) => {
            let text = serde_json::to_vec(&index).expect("it can be written");
            let again: oci::image::Index = serde_json::from_slice(&text).expect("and read");
            assert_eq!(again, index);
            let value: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
            assert!(
                value.get("layers").is_none() && value.get("config").is_none(),
                "an index that is an image"
            );
            for platform in [Platform::host(), Platform::new("linux", "arm", Some("v7"))] {
                if let Some(found) = choose(&index, &platform) {
                    let theirs = found.platform.as_ref().expect("a platform");
                    assert!(platform.accepts(theirs), "{platform} does not accept {theirs}");
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The bytes are the configuration of an image.
pub(crate) fn image_config(data: &[u8]) {
    let Ok(config) = serde_json::from_slice::<ImageConfig>(data) else {
        return;
    };
    let text = serde_json::to_string(&config).expect("it can be written");
    let again: ImageConfig = serde_json::from_str(&text).expect("and read");
    assert_eq!(again, config);
    let twice = serde_json::to_string(&again).expect("it can be written");
    assert_eq!(text, twice, "writing is stable");
    let chain = oci::chain_id::chain_ids(&config.rootfs.diff_ids);
    assert_eq!(chain.len(), config.rootfs.diff_ids.len());
    let _ = config.platform();
}
