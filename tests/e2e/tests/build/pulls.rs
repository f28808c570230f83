//! Bases that are not here: pulled, told, refused, given up.

use std::fs;
use std::path::Path;

use e2e::image::busybox_at;
use e2e::{Client, Output, daemon, for_each_client, until};
use fake_registry::{Fault, Layer, Registry};
use serde_json::{Value, json};

use super::build;

/// Builds this Dockerfile as `made`.
fn made(client: &Client, text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    let arguments: Vec<&str> = ["-t", "made"].iter().chain(arguments).copied().collect();
    build(client, folder.path(), &arguments, None)
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// The manifest of `busybox:latest`.
fn manifest(registry: &Registry) -> Value {
    parsed(&registry.manifest("busybox", "latest").expect("manifest").1)
}

/// Puts `busybox:latest` under another tag with something changed in its configuration; the manifest's digest.
fn put_changed(registry: &Registry, tag: &str, change: impl FnOnce(&mut Value)) -> String {
    let manifest = manifest(registry);
    let blob = |of: &Value| {
        let digest = of["digest"].as_str().expect("digest");
        registry.blob("busybox", digest).expect("blob")
    };
    let mut config = parsed(&blob(&manifest["config"]));
    let layer = &manifest["layers"][0];
    let layer = Layer {
        media_type: layer["mediaType"].as_str().expect("type").to_owned(),
        bytes: blob(layer),
        diff_id: config["rootfs"]["diff_ids"][0]
            .as_str()
            .expect("digest")
            .to_owned(),
    };
    change(&mut config);
    registry.put_image("busybox", tag, &config, &[layer])
}

#[test]
fn a_base_that_is_missing_is_pulled_once_and_told_in_its_place() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let name = format!("{}/busybox", registry.address());
    let text = format!("FROM {name} AS one\nFROM {name}\nCOPY --from=one /bin/busybox /one\n");
    let from = format!("FROM {name}\nCOPY --from={name}:other /bin/busybox /other\n");
    put_changed(&registry, "other", |config| {
        config["config"]["Env"] = json!(["A=b"])
    });
    for_each_client(&daemon, |docker| {
        let built = made(docker, &text, &[]);
        assert_eq!(built.code, 0, "{built:?}");
        let told = format!("Status: Downloaded newer image for {name}:latest");
        assert_eq!(built.stdout.matches(&told).count(), 1, "{built:?}");
        docker.ok(["rmi", "made", &name]);

        let built = made(docker, &from, &[]);
        assert_eq!(built.code, 0, "{built:?}");
        let place = |what: &str| {
            built
                .stdout
                .find(what)
                .unwrap_or_else(|| panic!("{what}: {built:?}"))
        };
        let other = format!("Status: Downloaded newer image for {name}:other");
        let places = [
            "Step 1/2",
            "latest: Pulling from busybox",
            &told,
            "Step 2/2",
            &other,
        ]
        .map(place);
        assert!(places.is_sorted(), "{built:?}");
        docker.ok(["rmi", "made", &name, &format!("{name}:other")]);

        let built = made(docker, &from, &["--quiet"]);
        assert_eq!(built.code, 0, "{built:?}");
        assert!(
            built.stdout.starts_with("sha256:") && built.stdout.lines().count() == 1,
            "{built:?}"
        );
        docker.ok(["rmi", "made", &name, &format!("{name}:other")]);
    });
}

#[test]
fn pull_gets_what_a_tag_means_now() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let name = format!("{}/busybox", registry.address());
    let text = format!("FROM {name}:moved\nLABEL own=1\n");
    let is = |docker: &Client| docker.ok(["image", "inspect", "--format", "{{.Config.Labels.is}}", "made"]);
    for_each_client(&daemon, |docker| {
        let label = |value: &str| {
            put_changed(&registry, "moved", |config| {
                config["config"]["Labels"] = json!({"is": value})
            });
        };
        label("old");
        assert_eq!(made(docker, &text, &[]).code, 0);
        label("new");
        assert_eq!(made(docker, &text, &[]).code, 0);
        assert_eq!(is(docker), "old", "what is here will do");
        let built = made(docker, &text, &["--pull"]);
        assert_eq!((built.code, is(docker).as_str()), (0, "new"), "{built:?}");
        let built = made(docker, &text, &["--pull"]);
        assert!(built.stdout.contains("Status: Image is up to date"), "{built:?}");
        docker.ok(["rmi", "made", &format!("{name}:moved")]);
        docker.ok(["image", "prune", "--force"]);
    });
}

#[test]
fn the_platform_of_from_is_pulled() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let entry = |architecture: &str| {
        let digest = put_changed(&registry, architecture, |config| {
            config["architecture"] = json!(architecture)
        });
        let size = registry
            .manifest("busybox", architecture)
            .expect("manifest")
            .1
            .len();
        let platform = json!({"os": "linux", "architecture": architecture});
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        json!({"mediaType": media_type, "digest": digest, "size": size, "platform": platform})
    };
    let media_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    let index =
        json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry("amd64"), entry("arm64")]});
    registry.put_manifest("busybox", "both", media_type, index.to_string().as_bytes());
    let name = format!("{}/busybox:both", registry.address());
    for_each_client(&daemon, |docker| {
        for architecture in ["arm64", "amd64", "arm64"] {
            let text = format!("FROM --platform=linux/{architecture} {name}\nLABEL a=b\n");
            let built = made(docker, &text, &[]);
            assert_eq!(built.code, 0, "{built:?}");
            let is = docker.ok(["image", "inspect", "--format", "{{.Architecture}}", "made"]);
            assert_eq!(is, architecture);
        }
        docker.ok(["rmi", "made", &name]);
        docker.ok(["image", "prune", "--force"]);
    });
}

#[test]
fn a_base_that_cannot_be_had_is_refused_in_dockers_words_and_a_login_helps() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let server = registry.address().to_string();
    let name = format!("{server}/busybox");
    for_each_client(&daemon, |docker| {
        let fails = |text: &str, says: &str| {
            let built = made(docker, text, &[]);
            assert!(
                built.code == 1 && built.stderr.contains(says),
                "{says}: {built:?}"
            );
        };
        let unknown = format!("manifest for {name}:none not found: manifest unknown");
        fails(&format!("FROM {name}:none\n"), &unknown);
        let from = format!("invalid from flag value {name}:none: {unknown}");
        fails(&format!("FROM scratch\nCOPY --from={name}:none / /\n"), &from);
        fails("FROM Upper\n", "must be lowercase");

        registry.require_token("user", "secret", 50);
        let text = format!("FROM {name}\nLABEL a=b\n");
        let denied = format!(
            "pull access denied for {name}, repository does not exist or may require 'docker login': "
        );
        fails(&text, &denied);
        let login = ["login", "--username", "user", "--password-stdin", &server];
        let output = docker.run_with(login, b"secret\n");
        assert_eq!(output.code, 0, "{output:?}");
        let built = made(docker, &text, &[]);
        assert_eq!(built.code, 0, "{built:?}");
        docker.ok(["logout", &server]);
        docker.ok(["rmi", "made", &name]);
        fails(&text, &denied);
        registry.require_nothing();
    });
}

#[test]
fn a_client_that_goes_away_ends_the_pull_of_its_build() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let layer = manifest(&registry)["layers"][0]["digest"]
        .as_str()
        .expect("digest")
        .to_owned();
    let name = format!("{}/busybox", registry.address());
    let folder = tempfile::tempdir().expect("folder");
    fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {name}\nLABEL a=b\n"),
    )
    .expect("file");
    let path: &Path = folder.path();
    for_each_client(&daemon, |docker| {
        registry.clear_log();
        registry.fail(&format!("GET {layer}"), Fault::Stall(300_000), usize::MAX);
        let mut child = docker.spawn(["build", path.to_str().expect("path")]);
        until("the layer is asked for", || {
            registry.count(&format!("GET {layer}")) > 0
        });
        child.kill().expect("kill");
        child.wait().expect("wait");
        let running = daemon.data_root().join("builds/running");
        until("the end of the build's directory", || {
            fs::read_dir(&running).expect("folder").next().is_none()
        });
        registry.behave();
        let built = build(docker, path, &["-t", "made"], None);
        assert_eq!(built.code, 0, "{built:?}");
        docker.ok(["rmi", "made", &name]);
    });
}
