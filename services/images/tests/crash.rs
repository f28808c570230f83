//! A kill at any point: what was promised is there, and nothing else is left.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use images::{CommitOptions, Images, LoadOptions, PullOptions, PushOptions, RemoveOptions, SquashOptions};
use support::{Archive, is_root, on_disk, open_at, tar};

fn sample() -> Archive {
    Archive::new("sample:1", vec![tar(&[("a", b"1")]), tar(&[("b", b"22")])])
}

/// Runs as a child of the tests below; does nothing otherwise.
#[tokio::test]
async fn child_that_is_killed() {
    let Some(root) = std::env::var_os("DHOW_TEST_IMAGES_ROOT") else {
        return;
    };
    let (images, _events) = open_at(Path::new(&root), "overlay");
    images.sweep().await.unwrap();
    let archive = sample();
    pull_push_and_remove(&images, &archive).await;
    let source = std::io::Cursor::new(archive.legacy());
    images
        .load(source, LoadOptions::default(), Arc::new(|_| {}))
        .await
        .unwrap();
    let squashed = images.squash("sample:1", SquashOptions::default()).await.unwrap();
    images
        .remove(squashed.id.short(), RemoveOptions::default())
        .await
        .unwrap();
    images.tag("sample:1", "sample", "2").await.unwrap();
    images.create_container_layer("c1", &archive.id()).await.unwrap();
    let child = images.commit("c1", CommitOptions::default()).await.unwrap();
    images.remove_container_layer("c1").await.unwrap();
    images
        .remove(child.id.short(), RemoveOptions::default())
        .await
        .unwrap();
    images.remove("sample:2", RemoveOptions::default()).await.unwrap();
    images.remove("sample:1", RemoveOptions::default()).await.unwrap();
}

/// The same image by way of a registry.
async fn pull_push_and_remove(images: &Arc<Images>, archive: &Archive) {
    let registry = fake_registry::Registry::start();
    let layers: Vec<_> = archive
        .layers
        .iter()
        .map(|bytes| fake_registry::Layer::plain(bytes))
        .collect();
    registry.put_image("sample", "1", &archive.config, &layers);
    let name = format!("{}/sample:1", registry.address());
    let pull = PullOptions::new(&name, "").unwrap();
    images.pull(pull, Arc::new(|_| {})).await.unwrap();
    let push = PushOptions::new(&name, "").unwrap();
    images.push(push, Arc::new(|_| {})).await.unwrap();
    images.remove(&name, RemoveOptions::default()).await.unwrap();
}

fn run_until(root: &Path, point: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_killed"])
        .env("DHOW_TEST_IMAGES_ROOT", root)
        .env("DHOW_CRASH_AT", point)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(9), "{point} was reached");
}

/// Every point that this crate names, from its sources.
fn points() -> Vec<String> {
    let mut points = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split("crash_point(\"").skip(1);
            points.extend(calls.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    points.sort();
    points
}

#[tokio::test]
async fn a_kill_at_any_point_leaves_whole_images_or_none_and_no_garbage() {
    if !is_root() {
        return;
    }
    let points = points();
    assert!(points.len() >= 10, "{points:?}");
    for point in points {
        let dir = tempfile::tempdir().unwrap();
        run_until(dir.path(), &point);
        let (images, _events) = open_at(dir.path(), "overlay");
        images.sweep().await.unwrap();
        let known = images.usage().layers;
        let (keys, records) = on_disk(dir.path());
        assert_eq!(
            (keys.len(), records.len()),
            (known, known),
            "{point}: {keys:?} {records:?}"
        );
        assert!(
            known == 2 || images.count() == 0 && known == 0,
            "{point}: {known} layers"
        );
        if let Ok(image) = images.resolve("sample:1") {
            assert_eq!(image.id, sample().id(), "{point}");
            images.image_recipe(&image.id).unwrap();
        }
        // And life goes on.
        let source = std::io::Cursor::new(sample().legacy());
        let loaded = images
            .load(source, LoadOptions::default(), Arc::new(|_| {}))
            .await
            .unwrap();
        assert_eq!(loaded[0].id, sample().id(), "{point}");
        images.create_container_layer("c1", &sample().id()).await.unwrap();
        images.container_recipe("c1").unwrap();
    }
}

#[tokio::test]
async fn a_layer_lost_with_the_power_takes_its_image_away_and_a_sound_one_stays() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sound = Archive::new("sound:1", vec![tar(&[("a", b"1")])]);
    let lost = Archive::new("lost:1", vec![tar(&[("a", b"1")]), tar(&[("b", b"22")])]);
    let (images, events) = open_at(dir.path(), "overlay");
    for archive in [&sound, &lost] {
        let source = std::io::Cursor::new(archive.legacy());
        images
            .load(source, LoadOptions::default(), Arc::new(|_| {}))
            .await
            .unwrap();
    }
    let recipe = images.image_recipe(&lost.id()).unwrap();
    let storage_drivers::Recipe::Overlay { lowers, .. } = recipe else {
        panic!("overlay")
    };
    drop((images, events));
    // What a power loss does: another boot, and files that are empty.
    std::fs::write(lowers[0].join("b"), "").unwrap();
    let mut rows = Vec::new();
    let state = dir.path().join("state.redb");
    durable::dump(&durable::Store::open(&state).unwrap(), &mut rows).unwrap();
    let boot = durable::volatile::boot_id().unwrap();
    let rows = String::from_utf8(rows).unwrap().replace(&boot, "another-boot");
    durable::restore(&state, &mut rows.as_bytes()).unwrap();

    let (images, _events) = open_at(dir.path(), "overlay");
    images.sweep().await.unwrap();
    assert_eq!(images.resolve("sound:1").unwrap().id, sound.id());
    assert!(images.resolve("lost:1").is_err());
    assert_eq!(images.count(), 1);
    assert_eq!(on_disk(dir.path()).0.len(), 1);
}
