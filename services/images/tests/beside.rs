//! Images beside each other: shared layers, what differs, and many layers in one.

mod support;

use images::{ImageError, SquashOptions};
use oci::digest::Digest;
use support::{Archive, House, is_root, members, tar};

fn base() -> Archive {
    Archive::new(
        "base:1",
        vec![tar(&[("etc/", b""), ("etc/os", b"one"), ("gone", b"gone")])],
    )
}

/// Above [`base`]: a file comes and goes, one changes without changing its size, and one is deleted.
fn child() -> Archive {
    let mut layers = base().layers;
    layers.push(tar(&[("large", &[b'x'; 5000]), ("etc/os", b"two")]));
    layers.push(tar(&[(".wh.large", b""), (".wh.gone", b""), ("kept", b"kept")]));
    Archive::new("child:1", layers)
}

async fn house(driver: &str) -> House {
    let house = House::with_driver(driver);
    house.load(base().legacy()).await.unwrap();
    house.load(child().legacy()).await.unwrap();
    house
}

async fn shown(house: &House, old: &str, new: &str) -> Vec<String> {
    let changes = house.images.differences(old, new).await.unwrap();
    let line = |change: &api_types::container::Change| {
        format!("{} {}", ["C", "A", "D"][usize::from(change.kind)], change.path)
    };
    changes.iter().map(line).collect()
}

#[tokio::test]
async fn the_layers_of_an_image_tell_who_shares_them() {
    if !is_root() {
        return;
    }
    let house = house("overlay").await;
    let layers = house.images.layers_of("child:1").unwrap();
    let told: Vec<_> = layers
        .iter()
        .map(|layer| (layer.size, layer.created_by.as_str()))
        .collect();
    assert_eq!(told, [(7, "step 0"), (5003, "step 1"), (4, "step 2")]);
    assert_eq!(layers[0].shared_with, ["base:1"]);
    assert!(layers[1].shared_with.is_empty() && layers[2].shared_with.is_empty());
    assert_eq!(layers[1].diff_id, Digest::sha256(&child().layers[1]).to_string());
    let missing = house.images.layers_of("none:1").unwrap_err();
    assert!(matches!(missing, ImageError::NotFound(_)), "{missing}");
}

#[tokio::test]
async fn images_differ_by_content_and_not_only_by_size() {
    if !is_root() {
        return;
    }
    for driver in ["overlay", "vfs"] {
        let house = house(driver).await;
        let there = ["C /etc", "C /etc/os", "D /gone", "A /kept"];
        assert_eq!(shown(&house, "base:1", "child:1").await, there, "{driver}");
        let back = ["C /etc", "C /etc/os", "A /gone", "D /kept"];
        assert_eq!(shown(&house, "child:1", "base:1").await, back, "{driver}");
        assert!(shown(&house, "child:1", "child:1").await.is_empty(), "{driver}");
    }
}

#[tokio::test]
async fn a_squashed_image_has_the_same_files_and_nothing_that_was_deleted() {
    if !is_root() {
        return;
    }
    for driver in ["overlay", "vfs"] {
        let house = house(driver).await;
        let squash = |since: Option<&str>, name: &str| SquashOptions {
            since: since.map(str::to_owned),
            reference: Some((name.to_owned(), String::new())),
        };
        let whole = house
            .images
            .squash("child:1", squash(None, "whole"))
            .await
            .unwrap();
        assert_eq!((whole.chain_ids.len(), whole.size), (1, 7), "{driver}");
        assert_eq!(whole.repo_tags, ["whole:latest"]);
        assert!(shown(&house, "child:1", "whole").await.is_empty(), "{driver}");
        let above = house
            .images
            .squash("child:1", squash(Some("base:1"), "above"))
            .await
            .unwrap();
        assert_eq!((above.chain_ids.len(), above.size), (2, 14), "{driver}");
        assert_eq!(above.config.config, whole.config.config);
        assert!(shown(&house, "child:1", "above").await.is_empty(), "{driver}");
        // Who reads the history finds as many layers in it as there are.
        for image in [&whole, &above] {
            let steps = image.config.history.iter().filter(|step| !step.empty_layer);
            assert_eq!(steps.count(), image.chain_ids.len());
        }
        // It is an image like any other: saved and loaded elsewhere.
        let other = House::new();
        assert_eq!(
            other.load(house.save(&["above"]).await).await.unwrap()[0].id,
            above.id
        );
        let names: Vec<String> = members(&house.save(&["whole"]).await)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names
                .iter()
                .filter(|name| name.starts_with("blobs/sha256/") && name.len() > 20)
                .count(),
            3
        );

        let same = house
            .images
            .squash("base:1", squash(Some("base:1"), "same"))
            .await
            .unwrap();
        assert_eq!(same.chain_ids, house.images.resolve("base:1").unwrap().chain_ids);
        let refused = house
            .images
            .squash("base:1", squash(Some("child:1"), "no"))
            .await
            .unwrap_err();
        assert!(matches!(refused, ImageError::NotAbove { .. }), "{refused}");
        assert!(house.images.resolve("no").is_err());
    }
}
