//! Writable layers of containers: differences, sizes, commit.

mod support;

use std::fs::File;
use std::path::Path;

use archive::ChangeKind;
use images::{CommitOptions, Images};
use storage_drivers::{Key, Recipe};
use support::{Archive, House, is_root, tar};

/// Where a container writes, without mounting anything.
fn upper(images: &Images, container: &str) -> std::path::PathBuf {
    match images.container_recipe(container).unwrap() {
        Recipe::Overlay { upper, .. } => upper.unwrap(),
        Recipe::Bind { path, .. } => path,
    }
}

fn changes(list: &[archive::Change]) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    list.iter()
        .map(|change| format!("{} {}", letter(change.kind), text(&change.path)))
        .collect()
}

#[tokio::test]
async fn a_fresh_container_differs_in_nothing_and_commits_what_it_changed() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let base = Archive::new(
        "base:1",
        vec![tar(&[("bin/", b""), ("bin/sh", b"#!sh"), ("etc/motd", b"hi")])],
    );
    house.load(base.legacy()).await.unwrap();
    let layer = house
        .images
        .create_container_layer("c1", &base.id())
        .await
        .unwrap();
    assert_eq!(layer.image, base.id());
    assert_eq!(house.images.container_changes("c1").await.unwrap(), []);
    let size = house.images.container_size("c1").await.unwrap();
    assert_eq!((size.writable, size.total), (0, 6));

    let upper = upper(&house.images, "c1");
    std::fs::create_dir(upper.join("etc")).unwrap();
    std::fs::write(upper.join("etc/new"), "12345").unwrap();
    assert_eq!(
        changes(&house.images.container_changes("c1").await.unwrap()),
        ["C /etc", "A /etc/new"]
    );
    assert_eq!(house.images.container_size("c1").await.unwrap().writable, 5);
    let options = CommitOptions {
        comment: "changed".to_owned(),
        author: "me".to_owned(),
        reference: Some(("child".to_owned(), "2".to_owned())),
        ..CommitOptions::default()
    };
    let child = house.images.commit("c1", options).await.unwrap();
    assert_eq!(child.chain_ids.len(), 2);
    assert_eq!((child.size, child.config.author.as_str()), (11, "me"));
    assert_eq!(child.config.extra["unknown"]["kept"], true);

    // What was committed is what a container of the new image sees, and what is saved.
    house
        .images
        .create_container_layer("c2", &child.id)
        .await
        .unwrap();
    assert_eq!(house.images.container_changes("c2").await.unwrap(), []);
    let other = House::new();
    let loaded = other.load(house.save(&["child:2"]).await).await.unwrap();
    assert_eq!(loaded[0].id, child.id);
    let Recipe::Overlay { lowers, .. } = other.images.image_recipe(&child.id).unwrap() else {
        panic!("overlay")
    };
    assert_eq!(std::fs::read(lowers[0].join("etc/new")).unwrap(), b"12345");
    assert_eq!(std::fs::read(lowers[1].join("etc/motd")).unwrap(), b"hi");
}

#[tokio::test]
async fn a_mounted_container_has_the_engines_mount_points_and_the_images_files() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let base = Archive::new("base:1", vec![tar(&[("etc/hosts", b"image's own")])]);
    house.load(base.legacy()).await.unwrap();
    house
        .images
        .create_container_layer("c1", &base.id())
        .await
        .unwrap();
    let mount = house
        .images
        .container_recipe("c1")
        .unwrap()
        .mount_detached()
        .unwrap();
    let root = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&mount));
    let inside = |path: &str| Path::new(&root).join(path);
    assert_eq!(std::fs::read(inside("etc/hosts")).unwrap(), b"image's own");
    for path in ["proc", "sys", "dev/shm", "etc/resolv.conf", ".dockerenv"] {
        assert!(inside(path).exists(), "{path}");
    }
    File::create(inside("made")).unwrap();
    drop(mount);
    assert_eq!(
        changes(&house.images.container_changes("c1").await.unwrap()),
        ["A /made"]
    );
}

#[tokio::test]
async fn an_image_without_layers_can_be_run_and_committed() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let empty = Archive::new("empty:1", vec![]);
    house.load(empty.legacy()).await.unwrap();
    house
        .images
        .create_container_layer("c1", &empty.id())
        .await
        .unwrap();
    std::fs::write(upper(&house.images, "c1").join("f"), "x").unwrap();
    let image = house.images.commit("c1", CommitOptions::default()).await.unwrap();
    assert_eq!(image.chain_ids.len(), 1);
}

#[tokio::test]
async fn a_second_layer_for_the_same_container_is_refused_and_the_first_stays() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let base = Archive::new("base:1", vec![tar(&[("a", b"b")])]);
    house.load(base.legacy()).await.unwrap();
    house
        .images
        .create_container_layer("c1", &base.id())
        .await
        .unwrap();
    assert!(
        house
            .images
            .create_container_layer("c1", &base.id())
            .await
            .is_err()
    );
    house.images.container_recipe("c1").unwrap();
    house.images.remove_container_layer("c1").await.unwrap();
    house.images.remove_container_layer("c1").await.unwrap();
    assert!(house.images.container_recipe("c1").is_err());
}

#[tokio::test]
async fn an_init_layer_that_a_kill_left_half_made_is_swept_and_holds_no_layer_back() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let base = Archive::new("base:1", vec![tar(&[("bin/sh", b"#!sh")])]);
    house.load(base.legacy()).await.unwrap();
    let (layers, _) = house.on_disk();
    let [layer] = layers.as_slice() else {
        panic!("one layer: {layers:?}")
    };
    let driver = storage_drivers::open("overlay", house.dir.path()).unwrap();
    let init = Key::new(format!("init-{layer}")).unwrap();
    driver
        .prepare(&init, &[Key::new(layer.clone()).unwrap()])
        .unwrap();

    let house = house.reopen().await;
    house.images.sweep().await.unwrap();
    let keys = || -> Vec<String> {
        let items = driver.list().unwrap();
        items.iter().map(|item| item.key.as_str().to_owned()).collect()
    };
    assert_eq!(
        keys(),
        layers,
        "the layer stays, its half made init layer does not"
    );
    let options = images::RemoveOptions {
        force: true,
        ..images::RemoveOptions::default()
    };
    house.images.remove("base:1", options).await.unwrap();
    assert_eq!(keys(), Vec::<String>::new());
}
