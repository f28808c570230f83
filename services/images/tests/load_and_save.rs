//! Archives of images: what is loaded is saved again, byte for byte, and hostile ones are refused.

mod support;

use std::io::Write;
use std::sync::Arc;

use images::{ImageError, LoadOptions, SaveOptions};
use oci::digest::Digest;
use support::{Archive, House, collected, is_root, members, tar};

fn sample(tag: &str) -> Archive {
    let base = tar(&[("bin/", b""), ("bin/sh", b"#!"), ("etc/passwd", b"root:x:0:0")]);
    let upper = tar(&[("bin/sh", b"#! changed"), ("etc/.wh.passwd", b"")]);
    Archive::new(tag, vec![base, upper])
}

#[tokio::test]
async fn an_image_survives_load_save_and_load_byte_for_byte() {
    if !is_root() {
        return;
    }
    let sample = sample("sample:1");
    let house = House::new();
    let (progress, lines) = collected();
    let loaded = house
        .images
        .load(
            std::io::Cursor::new(sample.legacy()),
            LoadOptions::default(),
            progress,
        )
        .await
        .unwrap();
    assert_eq!(loaded[0].id, sample.id());
    assert_eq!(loaded[0].repo_tags, ["sample:1"]);
    assert_eq!(loaded[0].size, 2 + 10 + 10);
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    assert!(lines.iter().any(|line| line.status == "Loading layer"));
    assert_eq!(lines.last().unwrap().stream, "Loaded image: sample:1\n");

    let saved = house.save(&["sample:1"]).await;
    let contents = members(&saved);
    let content = |name: &str| {
        &contents
            .iter()
            .find(|(path, _)| path == name)
            .unwrap_or_else(|| panic!("{name}"))
            .1
    };
    for layer in &sample.layers {
        assert_eq!(
            content(&format!("blobs/sha256/{}", Digest::sha256(layer).hex())),
            layer
        );
    }
    assert_eq!(
        content(&format!("blobs/sha256/{}", sample.id().hex())),
        sample.config.to_string().as_bytes()
    );
    for name in ["manifest.json", "index.json", "oci-layout", "repositories"] {
        serde_json::from_slice::<serde_json::Value>(content(name)).unwrap();
    }
    let other = House::new();
    assert_eq!(other.load(saved.clone()).await.unwrap()[0].id, sample.id());
    assert_eq!(other.save(&["sample:1"]).await, saved);
}

#[tokio::test]
async fn several_images_share_layers_in_one_archive() {
    if !is_root() {
        return;
    }
    let base = tar(&[("base", b"base")]);
    let one = Archive::new("one:1", vec![base.clone(), tar(&[("one", b"1")])]);
    let two = Archive::new("two:1", vec![base.clone(), tar(&[("two", b"2")]), base.clone()]);
    let house = House::new();
    house.load(one.legacy()).await.unwrap();
    house.load(two.legacy()).await.unwrap();
    let saved = house.save(&["one:1", "two", &two.id().to_string()]).await;
    let names: Vec<String> = members(&saved).into_iter().map(|(name, _)| name).collect();
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    let other = House::new();
    let loaded = other.load(saved).await.unwrap();
    assert_eq!(loaded.len(), 2);
    assert_eq!(other.images.resolve("two:1").unwrap().id, two.id());
    assert_eq!(other.images.usage().layers, 4);
    assert_eq!(other.on_disk().0.len(), 4);
}

#[tokio::test]
async fn layouts_and_archives_are_loaded_however_they_are_compressed() {
    if !is_root() {
        return;
    }
    let sample = sample("sample:1");
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    for archive in [
        sample.layout(<[u8]>::to_vec),
        sample.layout(zstd),
        zstd(&sample.layout(zstd)),
        zstd(&sample.legacy()),
    ] {
        let house = House::new();
        let loaded = house.load(archive).await.unwrap();
        assert_eq!(loaded[0].id, sample.id());
        assert_eq!(house.images.resolve("sample:1").unwrap().id, sample.id());
    }
}

/// Gives a few bytes at a time, as a slow network does.
struct Dribble(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(97);
        self.0.read(&mut buffer[..most])
    }
}

#[tokio::test]
async fn a_layer_is_known_however_few_bytes_come_at_a_time() {
    if !is_root() {
        return;
    }
    let sample = sample("sample:1");
    for archive in [sample.legacy(), sample.layout(<[u8]>::to_vec)] {
        let house = House::new();
        let source = Dribble(std::io::Cursor::new(archive));
        let (progress, _) = collected();
        let loaded = house
            .images
            .load(source, LoadOptions::default(), progress)
            .await
            .unwrap();
        assert_eq!(loaded[0].id, sample.id());
    }
}

#[tokio::test]
async fn a_driver_that_copies_parents_loads_and_saves_the_same() {
    if !is_root() {
        return;
    }
    let sample = sample("sample:1");
    let house = House::with_driver("vfs");
    house.load(sample.legacy()).await.unwrap();
    let saved = house.save(&["sample"]).await;
    let other = House::new();
    assert_eq!(other.load(saved).await.unwrap()[0].id, sample.id());
}

#[tokio::test]
async fn loading_twice_or_at_the_same_time_keeps_every_layer_once() {
    if !is_root() {
        return;
    }
    let sample = sample("sample:1");
    let house = House::new();
    let loads: Vec<_> = (0..6)
        .map(|_| {
            let (images, archive) = (Arc::clone(&house.images), sample.legacy());
            tokio::spawn(async move {
                images
                    .load(
                        std::io::Cursor::new(archive),
                        LoadOptions::default(),
                        Arc::new(|_| {}),
                    )
                    .await
            })
        })
        .collect();
    for load in loads {
        assert_eq!(load.await.unwrap().unwrap()[0].id, sample.id());
    }
    assert_eq!(house.images.usage().layers, 2);
    let (layers, records) = house.on_disk();
    assert_eq!((layers.len(), records.len()), (2, 2));
    let house = house.reopen().await;
    house.images.sweep().await.unwrap();
    assert_eq!(house.images.resolve("sample:1").unwrap().id, sample.id());
    assert_eq!(house.on_disk().0.len(), 2);
}

#[tokio::test]
async fn layers_without_names_of_their_own_are_unpacked_once_only() {
    if !is_root() {
        return;
    }
    // One that is known by its digest, and one that is compared; and others that part from it.
    let large = |byte: u8, last: &[u8]| tar(&[("large", &vec![byte; 3 << 20][..]), ("last", last)]);
    let small = tar(&[("small", b"1")]);
    let first = Archive::new("first:1", vec![small.clone(), large(7, b"end")]);
    let house = House::new();
    house.load(first.legacy()).await.unwrap();
    let unpacked = || {
        // Whatever is unpacked gets a record, if only for a time.
        std::fs::metadata(house.dir.path().join("layer-records"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = unpacked();
    let again = house.load(first.legacy()).await.unwrap();
    assert_eq!(again[0].id, first.id());
    assert_eq!(unpacked(), before, "a layer was unpacked");
    for (tag, other) in [("early:1", large(8, b"end")), ("late:1", large(7, b"END"))] {
        let archive = Archive::new(tag, vec![small.clone(), other]);
        assert_eq!(
            house.load(archive.legacy()).await.unwrap()[0].id,
            archive.id(),
            "{tag}"
        );
        let elsewhere = House::new();
        elsewhere.load(archive.legacy()).await.unwrap();
        assert!(house.save(&[tag]).await == elsewhere.save(&[tag]).await, "{tag}");
    }
    assert_eq!(house.images.usage().layers, 4);
}

#[tokio::test]
async fn a_tag_moves_to_the_newly_loaded_image_and_that_is_said() {
    if !is_root() {
        return;
    }
    let old = sample("sample:1");
    let new = Archive::new("sample:1", vec![tar(&[("new", b"")])]);
    let house = House::new();
    house.load(old.legacy()).await.unwrap();
    let (progress, lines) = collected();
    let quiet = LoadOptions {
        quiet: true,
        ..LoadOptions::default()
    };
    house
        .images
        .load(std::io::Cursor::new(new.legacy()), quiet, progress)
        .await
        .unwrap();
    let said = lines.lock().unwrap()[0].stream.clone();
    let expected = format!(
        "The image sample:1 already exists, renaming the old one with ID {} to empty string\n",
        old.id()
    );
    assert_eq!(said, expected);
    assert_eq!(house.images.resolve("sample:1").unwrap().id, new.id());
    assert!(house.images.get(&old.id()).unwrap().repo_tags.is_empty());
}

async fn refused(archive: Vec<u8>) -> (House, ImageError) {
    let house = House::new();
    let error = house.load(archive).await.unwrap_err();
    assert_eq!(house.images.count(), 0, "{error}");
    let (layers, records) = house.on_disk();
    assert!(
        layers.is_empty() && records.is_empty(),
        "{error}: {layers:?} {records:?}"
    );
    (house, error)
}

#[tokio::test]
async fn hostile_archives_are_refused_and_leave_nothing() {
    if !is_root() {
        return;
    }
    let layer = tar(&[("a", b"b")]);
    let check = async |archive: Vec<u8>, expected: &str| {
        let (_house, error) = refused(archive).await;
        assert!(
            error.to_string().contains(expected),
            "{error} instead of {expected}"
        );
        assert_eq!(
            fault::Fault::kind(&error),
            fault::Kind::InvalidParameter,
            "{error}"
        );
    };
    check(tar(&[("x", b"y")]), "does not contain a manifest.json").await;
    check(tar(&[("manifest.json", b"{}")]), "invalid archive: manifest.json").await;
    check(tar(&[("manifest.json", b"[]")]), "does not contain an image").await;
    let manifest = |config: &str, tags: &str, layers: &str| {
        format!(r#"[{{"Config":"{config}","RepoTags":{tags},"Layers":{layers}}}]"#)
    };
    for config in ["absent.json", "../../../etc/passwd", "/etc/passwd"] {
        let json = manifest(config, "[]", "[]");
        check(
            tar(&[("manifest.json", json.as_bytes())]),
            "is not in the archive",
        )
        .await;
    }
    let config = Archive::new("", vec![layer.clone()]).config.to_string();
    let with = |layers: &str, tags: &str| {
        let json = manifest("c.json", tags, layers);
        tar(&[
            ("c.json", config.as_bytes()),
            ("l.tar", &layer),
            ("manifest.json", json.as_bytes()),
        ])
    };
    check(with("[]", "[]"), "layers length mismatch: expected 1, got 0").await;
    check(with(r#"["../l.tar"]"#, "[]"), "is not in the archive").await;
    check(with(r#"["l.tar"]"#, r#"["UPPER:1"]"#), "must be lowercase").await;
    check(with(r#"["l.tar"]"#, r#"["no-tag"]"#), "invalid tag").await;
    let many: Vec<&str> = std::iter::repeat_n("l.tar", 5000).collect();
    check(
        with(&serde_json::to_string(&many).unwrap(), "[]"),
        "max depth exceeded",
    )
    .await;

    let mut forged = Archive::new("forged:1", vec![layer.clone()]);
    forged.layers = vec![tar(&[("a", b"other")])];
    check(forged.legacy(), "invalid diffID for layer 0").await;
    let mut windows = Archive::new("windows:1", vec![layer.clone()]);
    windows.config["os"] = "windows".into();
    check(windows.legacy(), "cannot load windows image on linux").await;
}

#[tokio::test]
async fn a_layer_that_breaks_out_is_refused_and_nothing_is_written_outside() {
    if !is_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("written");
    let climb = format!("{}{}", "../".repeat(40), target.display());
    let (_house, error) = refused(Archive::new("x:1", vec![tar(&[(&climb, b"x")])]).legacy()).await;
    assert!(error.to_string().contains("leads out of the root"), "{error}");
    assert!(!target.exists());
}

#[tokio::test]
async fn a_truncated_archive_is_refused_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let big = tar(&[("big", &vec![7; 3 << 20])]);
    let mut archive = Archive::new("x:1", vec![tar(&[("a", b"b")]), big]).legacy();
    archive.truncate(2 << 20);
    refused(archive).await;
}

#[tokio::test]
async fn the_last_of_duplicate_members_wins() {
    if !is_root() {
        return;
    }
    let good = sample("good:1");
    let mut archive = Vec::new();
    let first = Archive::new("bad:1", vec![tar(&[("bad", b"bad")]), tar(&[("worse", b"")])]).legacy();
    // The end-of-archive mark of the first one is cut off, so that both are one archive.
    archive.write_all(&first[..first.len() - 1024]).unwrap();
    archive.write_all(&good.legacy()).unwrap();
    let house = House::new();
    let loaded = house.load(archive).await.unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].id, good.id());
    assert_eq!(house.on_disk().0.len(), 2);
}

#[tokio::test]
async fn the_same_layer_may_be_used_twice_and_by_links() {
    if !is_root() {
        return;
    }
    let layer = tar(&[("a", b"b")]);
    let image = Archive::new("twice:1", vec![layer.clone(), layer.clone(), layer.clone()]);
    let json = r#"[{"Config":"c.json","RepoTags":["twice:1"],"Layers":["1/layer.tar","2/layer.tar","1/layer.tar"]}]"#;
    let mut writer = archive::Writer::new(Vec::new());
    let file = |path: &str, content: &[u8]| archive::Entry::file(path, 0o644, content.len() as u64);
    let config = image.config.to_string();
    let mut link = archive::Entry::new(archive::EntryKind::Symlink, "2/layer.tar", 0o777);
    link.link = b"../1/layer.tar".to_vec();
    writer.append_bytes(&file("1/layer.tar", &layer), &layer).unwrap();
    writer.append_bytes(&link, &[]).unwrap();
    writer
        .append_bytes(&file("c.json", config.as_bytes()), config.as_bytes())
        .unwrap();
    writer
        .append_bytes(&file("manifest.json", json.as_bytes()), json.as_bytes())
        .unwrap();
    let house = House::new();
    let loaded = house.load(writer.finish().unwrap()).await.unwrap();
    assert_eq!(loaded[0].id, image.id());
    assert_eq!(house.images.usage().layers, 3);
}

/// An archive without end: what is read so far fits any size, and the reading never ends by itself.
struct Endless {
    head: std::io::Cursor<Vec<u8>>,
    begun: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Endless {
    /// A tar of one file of 1 TB.
    fn new() -> (Self, tokio::sync::oneshot::Receiver<()>) {
        let mut head = tar(&[("layer.tar", b"")]);
        head.truncate(512);
        // The size in base 256, and the sum of the header.
        head[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let (begun, begins) = tokio::sync::oneshot::channel();
        let head = std::io::Cursor::new(head);
        let begun = Some(begun);
        (Self { head, begun }, begins)
    }
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = std::io::Read::read(&mut self.head, buffer)?;
        if read > 0 {
            return Ok(read);
        }
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(());
        }
        buffer.fill(0);
        // Little on the disk until somebody loses patience.
        std::thread::yield_now();
        Ok(buffer.len().min(512))
    }
}

#[tokio::test]
async fn work_that_nobody_waits_for_ends_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let (images, other) = (Arc::clone(&house.images), Arc::clone(&house.images));
    let (source, begins) = Endless::new();
    let load = tokio::spawn(async move {
        images
            .load(source, LoadOptions::default(), Arc::new(|_| {}))
            .await
    });
    begins.await.unwrap();
    load.abort();
    let (source, begins) = Endless::new();
    let options = images::ImportOptions::default();
    let import = tokio::spawn(async move { other.import(source, options, Arc::new(|_| {})).await });
    begins.await.unwrap();
    import.abort();
    // The work holds the service for as long as it goes on.
    while Arc::strong_count(&house.images) > 1 {
        tokio::task::yield_now().await;
    }
    let (layers, records) = house.on_disk();
    assert!(layers.is_empty() && records.is_empty(), "{layers:?} {records:?}");
    assert_eq!(house.images.count(), 0);
}

#[tokio::test]
async fn an_archive_since_an_image_has_only_the_layers_above_and_is_loaded_where_that_image_is() {
    if !is_root() {
        return;
    }
    let base = Archive::new("base:1", vec![tar(&[("base", b"base")])]);
    let child = Archive::new(
        "child:1",
        vec![tar(&[("base", b"base")]), tar(&[("child", b"child")])],
    );
    let house = House::new();
    house.load(base.legacy()).await.unwrap();
    house.load(child.legacy()).await.unwrap();
    let since = |image: &str| SaveOptions {
        since: Some(image.to_owned()),
        ..SaveOptions::default()
    };
    let saved = house.save_with(&["child:1"], since("base:1")).await.unwrap();
    let names: Vec<String> = members(&saved).into_iter().map(|(name, _)| name).collect();
    let blob = |layer: &[u8]| format!("blobs/sha256/{}", Digest::sha256(layer).hex());
    assert!(!names.contains(&blob(&child.layers[0])) && names.contains(&blob(&child.layers[1])));
    let missing = house.save_with(&["child:1"], since("none:1")).await.unwrap_err();
    assert!(matches!(missing, ImageError::NotFound(_)), "{missing}");

    let there = House::new();
    there.load(base.legacy()).await.unwrap();
    assert_eq!(there.load(saved.clone()).await.unwrap()[0].id, child.id());
    assert_eq!(there.save(&["child:1"]).await, house.save(&["child:1"]).await);
    let refused = House::new().load(saved).await.unwrap_err().to_string();
    assert!(
        refused.contains("is not in the archive, and not here"),
        "{refused}"
    );
}

#[tokio::test]
async fn platforms_choose_what_is_loaded_and_saved() {
    if !is_root() {
        return;
    }
    let mut other = sample("other:1");
    other.config["architecture"] = "s390x".into();
    let (own, z) = ("linux/amd64".parse().unwrap(), "linux/s390x".parse().unwrap());
    let only = |platform: &oci::platform::Platform| LoadOptions {
        platforms: vec![platform.clone()],
        ..LoadOptions::default()
    };
    let house = House::new();
    for archive in [other.legacy(), other.layout(<[u8]>::to_vec)] {
        let refused = house.load_with(archive.clone(), only(&own)).await.unwrap_err();
        assert!(refused.to_string().contains("for this platform"), "{refused}");
        let loaded = house.load_with(archive, only(&z)).await.unwrap();
        assert_eq!(loaded[0].id, other.id());
    }
    let save = |platform: &oci::platform::Platform| SaveOptions {
        platforms: vec![platform.clone()],
        ..SaveOptions::default()
    };
    let refused = house
        .save_with(&["other:1"], save(&own))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        "image with reference other:1 was found but does not provide the specified platform (linux/amd64)"
    );
    assert_eq!(
        house.save_with(&["other:1"], save(&z)).await.unwrap(),
        house.save(&["other:1"]).await
    );
    let shown = house.images.manifest_summary(&other.id()).unwrap();
    assert_eq!(shown.image_data.unwrap().platform.architecture, "s390x");
}
