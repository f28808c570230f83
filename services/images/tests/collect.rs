//! Garbage collection by policy.

mod support;

use std::time::Duration;

use images::{GcPolicy, RemoveOptions, Use};
use support::{Archive, House, is_root, tar};

const NOTHING: GcPolicy = GcPolicy {
    interval: Duration::from_secs(3600),
    unused_for: None,
    min_free: None,
    keep_last: 0,
};
const EVERYTHING: GcPolicy = GcPolicy {
    unused_for: Some(Duration::ZERO),
    ..NOTHING
};

async fn add(house: &House, name: &str, year: u32) {
    let mut archive = Archive::new(name, vec![tar(&[(name, b"12345678")])]);
    archive.config["created"] = format!("{year}-01-02T03:04:05Z").into();
    house.load(archive.legacy()).await.unwrap();
}

fn names(house: &House) -> Vec<String> {
    let images = house.images.list(true, &api_types::Filters::default()).unwrap();
    let mut names: Vec<String> = images.into_iter().flat_map(|image| image.repo_tags).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_old_goes_but_for_what_is_held_and_the_last_of_each_repository() {
    if !is_root() {
        return;
    }
    let house = House::new();
    for (name, year) in [
        ("a:1", 2020),
        ("a:2", 2022),
        ("a:3", 2021),
        ("b:1", 2019),
        ("held:1", 2018),
    ] {
        add(&house, name, year).await;
    }
    let held = house.images.resolve("held:1").unwrap();
    let hold = house.images.hold(&held.id, "container c", Use::Stopped).unwrap();
    let report = house.images.collect_garbage(&NOTHING).await.unwrap();
    assert_eq!((report.images_deleted, report.space_reclaimed), (None, 0));
    let month = GcPolicy {
        unused_for: Some(Duration::from_secs(30 * 86400)),
        ..NOTHING
    };
    // Old as they say they are, they came just now.
    assert_eq!(
        house.images.collect_garbage(&month).await.unwrap().images_deleted,
        None
    );
    let two = GcPolicy {
        keep_last: 2,
        ..EVERYTHING
    };
    let report = house.images.collect_garbage(&two).await.unwrap();
    assert_eq!(report.space_reclaimed, 8);
    assert_eq!(names(&house), ["a:2", "a:3", "b:1", "held:1"]);
    house.images.collect_garbage(&EVERYTHING).await.unwrap();
    assert_eq!(names(&house), ["held:1"]);
    // Who let go a moment ago has used it until then, also after a restart.
    drop(hold);
    let house = house.reopen().await;
    assert_eq!(
        house.images.collect_garbage(&month).await.unwrap().images_deleted,
        None
    );
    house.images.collect_garbage(&EVERYTHING).await.unwrap();
    assert_eq!((house.images.count(), house.images.usage().layers), (0, 0));
    assert_eq!(house.on_disk(), (vec![], vec![]));
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_while_room_is_scarce() {
    if !is_root() {
        return;
    }
    let house = House::new();
    add(&house, "a:1", 2020).await;
    add(&house, "b:1", 2021).await;
    let scarce = |bytes| GcPolicy {
        min_free: Some(bytes),
        ..NOTHING
    };
    house.images.collect_garbage(&scarce(1)).await.unwrap();
    assert_eq!(names(&house), ["a:1", "b:1"]);
    let all_but_one = GcPolicy {
        keep_last: 1,
        ..scarce(u64::MAX)
    };
    house.images.tag("b:1", "a", "2").await.unwrap();
    house.images.collect_garbage(&all_but_one).await.unwrap();
    assert_eq!(
        names(&house),
        ["a:2", "b:1"],
        "the image of 2021 is the last of both"
    );
    house.images.collect_garbage(&scarce(u64::MAX)).await.unwrap();
    assert_eq!(house.images.count(), 0);
    add(&house, "c:1", 2020).await;
    house
        .images
        .remove("c:1", RemoveOptions::default())
        .await
        .unwrap();
}
