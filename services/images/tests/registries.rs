//! Pull and push against a registry of the test's own, which behaves, breaks off, or lies.

mod support;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::{Fault, Layer, Registry, digest};
use images::{ImageError, Images, PullOptions, PushOptions, RegistryOptions};
use oci::image::media_type;
use support::{House, collected, is_root, tar};

fn house() -> House {
    let house = House::new();
    set(&house.images);
    house
}

fn set(images: &Arc<Images>) {
    let mut settings = distribution::Settings::new("dhow/test");
    settings.certificates.clear();
    settings.limits.backoff = Duration::from_millis(1);
    images.set_registries(RegistryOptions {
        settings,
        downloads: 0,
        uploads: 0,
    });
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(plain).unwrap();
    out.finish().unwrap()
}

fn layer(plain: &[u8]) -> Layer {
    Layer {
        media_type: media_type::DOCKER_LAYER_GZIP.to_owned(),
        bytes: gzip(plain),
        diff_id: digest(plain),
    }
}

/// Bytes that do not compress, so that layers are large on the wire.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

fn sample() -> Vec<Layer> {
    vec![
        layer(&tar(&[("bin/", b""), ("bin/big", &noise(600_000, 1))])),
        layer(&tar(&[("etc/", b""), ("etc/name", b"second")])),
        layer(&tar(&[("bin/", b""), ("bin/other", &noise(600_000, 2))])),
    ]
}

fn config() -> serde_json::Value {
    serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "kept": true})
}

/// An image for two platforms under `tag`; the digest of the list.
fn index_of_two(registry: &Registry, repository: &str, tag: &str) -> String {
    let images = ["amd64", "arm64"].map(|architecture| {
        let config = serde_json::json!({"architecture": architecture, "os": "linux"});
        let digest = registry.put_image(repository, architecture, &config, &sample()[..2]);
        let (kind, bytes) = registry.manifest(repository, architecture).unwrap();
        serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len(),
            "platform": {"os": "linux", "architecture": architecture}})
    });
    let kind = media_type::OCI_INDEX;
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": images});
    registry.put_manifest(repository, tag, kind, index.to_string().as_bytes())
}

async fn pull(images: &Arc<Images>, name: &str) -> (Result<(), ImageError>, Vec<String>) {
    let (progress, lines) = collected();
    let done = images.pull(PullOptions::new(name, "").unwrap(), progress).await;
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    let said = lines.into_iter().filter(|l| l.progress.is_empty());
    (
        done,
        said.map(|l| [l.id, l.status].join(" ").trim().to_owned())
            .collect(),
    )
}

/// The threads that unpack see a moment later that nothing more comes.
async fn until_nothing_is_left(house: &House) {
    while house.on_disk() != (vec![], vec![]) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn push(images: &Arc<Images>, name: &str) -> (Result<(), ImageError>, Vec<String>) {
    let (progress, lines) = collected();
    let done = images.push(PushOptions::new(name, "").unwrap(), progress).await;
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    (done, lines.into_iter().map(|l| l.status).collect())
}

#[tokio::test]
async fn an_image_is_pulled_once_and_then_up_to_date() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let layers = sample();
    let top = registry.put_image("team/app", "v1", &config(), &layers);
    let name = format!("{}/team/app:v1", registry.address());
    let (done, said) = pull(&house.images, &name).await;
    done.unwrap();
    assert_eq!(said.first().unwrap(), "v1 Pulling from team/app");
    assert_eq!(said.iter().filter(|l| l.ends_with("Pull complete")).count(), 3);
    let end = [
        format!("Digest: {top}"),
        format!("Status: Downloaded newer image for {name}"),
    ];
    assert_eq!(said[said.len() - 2..], end);
    let image = house.images.resolve(&name).unwrap();
    assert_eq!(
        image.repo_digests,
        [format!("{}/team/app@{top}", registry.address())]
    );
    assert!(
        image.config_json.contains("\"kept\":true"),
        "the configuration is kept as it came"
    );
    assert!(
        std::fs::read_dir(house.dir.path().join("downloads"))
            .unwrap()
            .next()
            .is_none()
    );

    registry.clear_log();
    let (done, said) = pull(&house.images, &name).await;
    done.unwrap();
    assert_eq!(
        said.last().unwrap(),
        &format!("Status: Image is up to date for {name}")
    );
    assert_eq!(registry.count("blobs"), 0, "{:?}", registry.log());
    // By digest, and all tags.
    registry.put_image("team/app", "v2", &config(), &layers[..1]);
    let repository = format!("{}/team/app", registry.address());
    pull(&house.images, &format!("{repository}@{top}"))
        .await
        .0
        .unwrap();
    let (done, said) = pull(&house.images, &repository).await;
    done.unwrap();
    assert!(
        said.contains(&"v1 Pulling from team/app".to_owned())
            && said.contains(&"v2 Pulling from team/app".to_owned())
    );
    assert!(house.images.resolve(&format!("{repository}:v2")).is_ok());
    assert_eq!(
        registry.count("GET /blobs/"),
        1,
        "only v2's configuration: {:?}",
        registry.log()
    );
}

#[tokio::test]
async fn the_platform_chooses_from_an_index() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let arm = serde_json::json!({"architecture": "arm64", "os": "linux"});
    let entry = |platform: &str, digest: &str| {
        let (os, architecture) = platform.split_once('/').unwrap();
        serde_json::json!({"mediaType": media_type::DOCKER_MANIFEST, "digest": digest, "size": 2,
            "platform": {"os": os, "architecture": architecture}})
    };
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        entry("linux/arm64", &registry.put_image("a", "arm", &arm, &sample()[1..2])),
        entry("linux/amd64", &registry.put_image("a", "amd", &config(), &sample()[1..2])),
        entry("unknown/unknown", &digest(b"attestation")),
    ]});
    let top = registry.put_manifest("a", "latest", media_type::OCI_INDEX, index.to_string().as_bytes());
    let name = format!("{}/a", registry.address());
    let mut options = PullOptions::new(&name, "latest").unwrap();
    options.platform = Some("linux/arm64".parse().unwrap());
    house
        .images
        .pull(options.clone(), Arc::new(|_| ()))
        .await
        .unwrap();
    let image = house.images.resolve(&name).unwrap();
    assert_eq!(image.config.architecture, "arm64");
    assert_eq!(
        image.repo_digests,
        [format!("{name}@{top}")],
        "the digest is the index's"
    );
    options.platform = Some("linux/s390x".parse().unwrap());
    let error = house.images.pull(options, Arc::new(|_| ())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no matching manifest for linux/s390x in the manifest list entries"
    );
    let remote = house
        .images
        .inspect_remote(
            &oci::reference::Reference::parse_docker(&name).unwrap(),
            &distribution::Credentials::Anonymous,
        )
        .await
        .unwrap();
    assert_eq!(
        remote
            .platforms
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["linux/arm64", "linux/amd64"]
    );
}

#[tokio::test]
async fn a_broken_pull_goes_on_where_it_was_also_after_a_restart() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let layers = sample();
    registry.put_image("a", "v1", &config(), &layers);
    let name = format!("{}/a:v1", registry.address());
    let first = digest(&layers[0].bytes);
    // The first half comes; then the layer cannot be had for as often as it is asked for.
    registry.fail(&format!("GET {first}"), Fault::Cut(300_000), 1);
    registry.fail(
        &format!("GET {first}"),
        Fault::Status(500, Vec::new()),
        usize::MAX,
    );
    let (done, _) = pull(&house.images, &name).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("500 Internal Server Error"), "{error}");
    until_nothing_is_left(&house).await;
    registry.behave();
    registry.clear_log();
    let house = house.reopen().await;
    set(&house.images);
    house.images.sweep().await.unwrap();
    pull(&house.images, &name).await.0.unwrap();
    let range = registry
        .log()
        .iter()
        .any(|line| line.contains(&first) && line.contains("bytes="));
    assert!(range, "{:?}", registry.log());
}

#[tokio::test]
async fn what_is_kept_of_another_content_is_fetched_anew() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let layers = sample();
    registry.put_image("a", "v1", &config(), &layers);
    let first = digest(&layers[0].bytes).replace(':', "-");
    // As a power loss may leave it.
    std::fs::write(house.dir.path().join("downloads").join(first), vec![0; 5000]).unwrap();
    let name = format!("{}/a:v1", registry.address());
    pull(&house.images, &name).await.0.unwrap();
    house.images.resolve(&name).unwrap();
}

#[tokio::test]
async fn a_lying_registry_gets_nothing_in() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let layers = sample();
    registry.put_image("a", "v1", &config(), &layers);
    let name = format!("{}/a:v1", registry.address());
    registry.fail(
        &format!("GET {}", digest(&layers[0].bytes)),
        Fault::Lie,
        usize::MAX,
    );
    let error = pull(&house.images, &name).await.0.unwrap_err().to_string();
    assert!(error.contains("content has digest"), "{error}");
    // A layer whose content is not what the configuration says.
    let mut wrong = sample();
    wrong[1].diff_id = digest(b"something else");
    registry.put_image("a", "v2", &config(), &wrong);
    let name = format!("{}/a:v2", registry.address());
    registry.behave();
    let error = pull(&house.images, &name).await.0.unwrap_err().to_string();
    assert!(error.contains("layer verification failed"), "{error}");
    let mut foreign = sample();
    foreign[0].media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".to_owned();
    registry.put_image("a", "v3", &config(), &foreign);
    let error = pull(&house.images, &format!("{}/a:v3", registry.address()))
        .await
        .0
        .unwrap_err();
    assert!(
        error.to_string().contains("foreign layers are not fetched"),
        "{error}"
    );
    let error = pull(&house.images, &format!("{}/a:v9", registry.address()))
        .await
        .0
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("a:v9 not found: manifest unknown: manifest unknown"),
        "{error}"
    );
    until_nothing_is_left(&house).await;
    assert_eq!(house.images.count(), 0);
}

#[tokio::test]
async fn a_pull_that_is_given_up_leaves_nothing_half_done() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let layers = sample();
    registry.put_image("a", "v1", &config(), &layers);
    registry.fail(
        &format!("GET {}", digest(&layers[2].bytes)),
        Fault::Stall(400_000),
        1,
    );
    let (begun, seen) = tokio::sync::oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let last = digest(&layers[2].bytes)[7..19].to_owned();
    let progress = move |line: api_types::progress::Message| {
        let far = line.id == last && line.progress_detail.is_some_and(|d| d.current > 0);
        if let Some(begun) = begun.lock().unwrap().take_if(|_| far) {
            begun.send(()).unwrap();
        }
    };
    let options = PullOptions::new(&format!("{}/a:v1", registry.address()), "").unwrap();
    tokio::select! {
        done = house.images.pull(options, Arc::new(progress)) => panic!("it stalls: {done:?}"),
        seen = seen => seen.unwrap(),
    }
    until_nothing_is_left(&house).await;
    assert_eq!(house.images.count(), 0);
}

#[tokio::test]
async fn a_pulled_image_is_pushed_byte_for_byte_and_mounted() {
    if !is_root() {
        return;
    }
    let (house, registry) = (house(), Registry::start());
    let top = registry.put_image("a", "v1", &config(), &sample());
    let from = format!("{}/a:v1", registry.address());
    pull(&house.images, &from).await.0.unwrap();
    house
        .images
        .tag(&from, &format!("{}/b", registry.address()), "v2")
        .await
        .unwrap();
    let to = format!("{}/b:v2", registry.address());
    let (done, said) = push(&house.images, &to).await;
    done.unwrap();
    assert_eq!(
        said.iter().filter(|l| *l == "Mounted from a").count(),
        3,
        "{said:?}"
    );
    assert_eq!(
        registry.manifest("b", "v2"),
        registry.manifest("a", "v1"),
        "the very bytes"
    );
    let size = registry.manifest("b", "v2").unwrap().1.len();
    assert!(
        said.contains(&format!("v2: digest: {top} size: {size}")),
        "{said:?}"
    );
    let (_, said) = push(&house.images, &to).await;
    assert_eq!(
        said.iter().filter(|l| *l == "Layer already exists").count(),
        3,
        "{said:?}"
    );
}

#[tokio::test]
async fn a_pulled_image_is_the_same_at_another_registry_as_long_as_it_can_be_had_from_its_own() {
    if !is_root() {
        return;
    }
    let (house, origin, other) = (house(), Registry::start(), Registry::start());
    origin.put_image("a", "v1", &config(), &sample());
    let from = format!("{}/a:v1", origin.address());
    pull(&house.images, &from).await.0.unwrap();
    let to = |path: &str| format!("{}/{path}", other.address());
    house.images.tag(&from, &to("b"), "v1").await.unwrap();
    // It breaks off here and there, and is taken up again.
    origin.fail("GET /blobs/", Fault::Cut(50_000), 2);
    other.fail("PATCH", Fault::Break(100_000), 2);
    push(&house.images, &to("b:v1")).await.0.unwrap();
    assert_eq!(other.manifest("b", "v1"), origin.manifest("a", "v1"));
    for layer in sample() {
        let digest = digest(&layer.bytes);
        assert_eq!(other.blob("b", &digest), Some(layer.bytes), "the very bytes");
    }
    let third = Registry::start();
    drop(origin);
    // Who is not there cannot be asked, and who wants a password is not told that of another registry: the image arrives.
    let name = format!("{}/d", third.address());
    other.require_password("somebody", "else");
    house.images.tag(&from, &name, "v1").await.unwrap();
    push(&house.images, &format!("{name}:v1")).await.0.unwrap();
    assert_ne!(third.manifest("d", "v1"), other.manifest("b", "v1"));
    let target = self::house();
    pull(&target.images, &format!("{name}:v1")).await.0.unwrap();
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_was() {
    if !is_root() {
        return;
    }
    let (source, registry) = (house(), Registry::start());
    let archive = support::Archive::new("app:1", vec![tar(&[("big", &noise(3_000_000, 3))])]);
    source.load(archive.legacy()).await.unwrap();
    let name = format!("{}/app", registry.address());
    source.images.tag("app:1", &name, "1").await.unwrap();
    registry.fail("PATCH", Fault::Break(1_000_000), 1);
    registry.fail("PATCH", Fault::Break(500_000), 1);
    push(&source.images, &format!("{name}:1")).await.0.unwrap();
    let places: Vec<String> = registry
        .log()
        .into_iter()
        .filter(|l| l.contains("uploads/"))
        .collect();
    let begun = |what: &str| places.iter().filter(|line| line.starts_with(what)).count();
    // The layer and the configuration are begun once each; twice it is asked how far the layer has come.
    assert_eq!(
        (begun("POST"), begun("GET"), begun("PATCH")),
        (2, 2, 3),
        "{places:?}"
    );
    let target = house();
    pull(&target.images, &format!("{name}:1")).await.0.unwrap();
    assert_eq!(
        target.images.resolve(&format!("{name}:1")).unwrap().id,
        archive.id()
    );
    // A registry that has forgotten what it got, or kept something else, gets all of it again.
    for (tag, status) in [("2", 404), ("3", 416)] {
        let archive = support::Archive::new("app:2", vec![tar(&[("big", &noise(3_000_000, status.into()))])]);
        source.load(archive.legacy()).await.unwrap();
        source.images.tag("app:2", &name, tag).await.unwrap();
        registry.clear_log();
        registry.fail("PATCH", Fault::Break(1_000_000), 1);
        registry.fail("PATCH", Fault::Status(status, Vec::new()), 1);
        push(&source.images, &format!("{name}:{tag}")).await.0.unwrap();
        assert_eq!(registry.count("PATCH"), 3, "{:?}", registry.log());
        pull(&target.images, &format!("{name}:{tag}")).await.0.unwrap();
    }
}

#[tokio::test]
async fn an_image_of_our_own_is_sent_and_comes_back_whole() {
    if !is_root() {
        return;
    }
    let (source, registry) = (house(), Registry::start());
    let archive = support::Archive::new(
        "app:1",
        vec![tar(&[("big", &noise(700_000, 3))]), tar(&[("small", b"x")])],
    );
    source.load(archive.legacy()).await.unwrap();
    let name = format!("{}/app", registry.address());
    let (done, _) = push(&source.images, &name).await;
    assert_eq!(
        done.unwrap_err().to_string(),
        format!("An image does not exist locally with the tag: {name}")
    );
    source.images.tag("app:1", &name, "1").await.unwrap();
    // The registry cannot take a layer now: it is sent again.
    registry.fail("PATCH", Fault::Status(503, Vec::new()), 1);
    push(&source.images, &format!("{name}:1")).await.0.unwrap();
    let (done, _) = push(&source.images, &format!("{name}:2")).await;
    assert_eq!(
        done.unwrap_err().to_string(),
        format!("tag does not exist: {name}:2")
    );
    let target = house();
    pull(&target.images, &format!("{name}:1")).await.0.unwrap();
    assert_eq!(
        target.images.resolve(&name.replace("app", "app:1")).unwrap().id,
        archive.id()
    );
    let again = push(&source.images, &name).await;
    again.0.unwrap();
    assert_eq!(registry.count("PATCH"), 3, "two layers, one of them twice");
}

#[tokio::test]
async fn an_archive_is_imported_from_a_url() {
    if !is_root() {
        return;
    }
    let (house, server) = (house(), Registry::start());
    let archive = gzip(&tar(&[("etc/", b""), ("etc/name", &noise(300_000, 4))]));
    server.fail("GET /rootfs.tar.gz", Fault::Body(archive), 1);
    let url = format!("http://{}/rootfs.tar.gz", server.address());
    let options = |name: &str| images::ImportOptions {
        reference: name.to_owned(),
        ..images::ImportOptions::default()
    };
    let (progress, lines) = collected();
    let image = house
        .images
        .import_url(&url, options("flat:1"), progress)
        .await
        .unwrap();
    assert_eq!(image.config.comment, format!("Imported from {url}"));
    let first = lines.lock().unwrap().first().unwrap().status.clone();
    assert_eq!(first, format!("Downloading from {url}"));
    // What breaks off is no image.
    server.fail("GET /rootfs.tar.gz", Fault::Cut(0), usize::MAX);
    server.fail("GET /half", Fault::Cut(10), usize::MAX);
    for bad in [
        url.clone(),
        format!("http://{}/half", server.address()),
        format!("http://{}/missing", server.address()),
    ] {
        assert!(
            house
                .images
                .import_url(&bad, options("flat:2"), Arc::new(|_| ()))
                .await
                .is_err(),
            "{bad}"
        );
    }
    assert_eq!(house.images.count(), 1);
}

#[tokio::test]
async fn an_image_of_several_platforms_is_copied_whole_from_registry_to_registry_and_nothing_is_kept() {
    if !is_root() {
        return;
    }
    let (house, from, to) = (house(), Registry::start(), Registry::start());
    let index = index_of_two(&from, "a", "v1");
    // It is signed in both ways: under a tag of the digest, and by an artifact in a list under such a tag.
    let hex = index.trim_start_matches("sha256:").to_owned();
    let signature = |of: &str| {
        let blob = from.put_blob("a", of.as_bytes());
        let descriptor =
            |kind: &str| serde_json::json!({"mediaType": kind, "digest": blob, "size": of.len()});
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.empty.v1+json"), "layers": [descriptor("text/plain")]});
        manifest.to_string().into_bytes()
    };
    from.put_manifest(
        "a",
        &format!("sha256-{hex}.sig"),
        media_type::OCI_MANIFEST,
        &signature("by tag"),
    );
    let artifact = signature("by list");
    let digest = from.put_manifest("a", "artifact", media_type::OCI_MANIFEST, &artifact);
    let list = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests":
        [{"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": artifact.len()}]});
    from.put_manifest(
        "a",
        &format!("sha256-{hex}"),
        media_type::OCI_INDEX,
        list.to_string().as_bytes(),
    );

    let copy = async |from: String, to: String, platform: Option<&str>, referrers| {
        let asked = |name: String| images::Asked {
            reference: oci::reference::Reference::parse_docker(&name).unwrap(),
            credentials: distribution::Credentials::Anonymous,
            insecure: false,
        };
        let options = images::CopyOptions {
            from: asked(from),
            to: asked(to),
            platform: platform.map(|text| text.parse().unwrap()),
            referrers,
        };
        let (progress, lines) = collected();
        let done = house.images.copy_remote(options, progress).await;
        let said: Vec<String> = std::mem::take(&mut *lines.lock().unwrap())
            .into_iter()
            .map(|l| l.status)
            .collect();
        done.map(|()| said)
    };
    let source = format!("{}/a:v1", from.address());
    let target = |name: &str| format!("{}/{name}", to.address());
    from.fail("GET /blobs/", Fault::Cut(50_000), 1);
    to.fail("PATCH", Fault::Break(50_000), 1);
    let said = copy(source.clone(), target("b:v2"), None, false).await.unwrap();
    assert!(
        said.iter()
            .any(|line| line.starts_with(&format!("v2: digest: {index}"))),
        "{said:?}"
    );
    assert_eq!(to.manifest("b", "v2"), from.manifest("a", "v1"));
    let last = to
        .log()
        .into_iter()
        .rfind(|line| line.starts_with("PUT /v2/b/manifests/"));
    assert_eq!(
        last.as_deref(),
        Some("PUT /v2/b/manifests/v2"),
        "the tag is set when all is there"
    );
    assert!(
        to.manifest("b", &format!("sha256-{hex}.sig")).is_none(),
        "not asked for"
    );
    // What can be pulled from there is whole, for each platform.
    for platform in ["linux/amd64", "linux/arm64"] {
        let mut options = PullOptions::new(&target("b:v2"), "").unwrap();
        options.platform = Some(platform.parse().unwrap());
        let there = self::house();
        there.images.pull(options, collected().0).await.unwrap();
    }
    // Again, with what refers to it: of the image nothing is sent.
    to.clear_log();
    let said = copy(source.clone(), target("b:v2"), None, true).await.unwrap();
    assert!(said.iter().any(|line| line == "Already exists"), "{said:?}");
    for tag in [
        format!("sha256-{hex}.sig"),
        format!("sha256-{hex}"),
        digest.clone(),
    ] {
        assert_eq!(
            to.manifest("b", &tag)
                .map(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()),
            from.manifest("a", &tag)
                .map(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()),
            "{tag}"
        );
    }
    assert_eq!(to.count("PATCH"), 2, "the two signatures: {:?}", to.log());
    // Within a registry it is mounted; of one platform, its manifest alone gets the name.
    let said = copy(target("b:v2"), target("c"), Some("linux/arm64"), false)
        .await
        .unwrap();
    assert!(said.iter().any(|line| line == "Mounted from b"), "{said:?}");
    let (kind, _) = to.manifest("c", "latest").unwrap();
    assert_eq!(kind, media_type::DOCKER_MANIFEST);
    // Where it must have another digest, nothing is named.
    let other = format!("sha256:{}", "0".repeat(64));
    let error = copy(source.clone(), target(&format!("d@{other}")), None, false)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("has digest {index}, not that of")),
        "{error}"
    );
    let error = copy(source.replace("v1", "none"), target("d"), None, false)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("manifest unknown"), "{error}");
    assert_eq!(house.images.count(), 0);
    assert_eq!(house.on_disk(), (vec![], vec![]));
}
