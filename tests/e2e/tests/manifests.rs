//! `manifest`: lists put together from images of a registry, with every command, and what refers to an image.

use e2e::daemon;
use e2e::image::busybox_at;
use fake_registry::{Registry, digest};
use serde_json::{Value, json};

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An image for another platform: the same layers, another configuration.
fn for_arm(registry: &Registry, repository: &str) {
    let (kind, manifest) = registry.manifest("app", "latest").expect("manifest");
    let mut manifest: Value = serde_json::from_slice(&manifest).expect("manifest");
    let part = |part: &Value| part["digest"].as_str().expect("digest").to_owned();
    let config = registry.blob("app", &part(&manifest["config"])).expect("config");
    let mut config: Value = serde_json::from_slice(&config).expect("config");
    config["architecture"] = "arm64".into();
    let config = config.to_string();
    manifest["config"]["digest"] = registry.put_blob(repository, config.as_bytes()).into();
    manifest["config"]["size"] = config.len().into();
    for layer in manifest["layers"].as_array().expect("layers") {
        let bytes = registry.blob("app", &part(layer)).expect("layer");
        registry.put_blob(repository, &bytes);
    }
    registry.put_manifest(repository, "latest", &kind, manifest.to_string().as_bytes());
}

#[test]
fn a_list_is_put_together_annotated_and_pushed() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "app");
    for_arm(&registry, "app-arm");
    let at = |path: &str| format!("{}/{path}", registry.address());
    let (list, app, arm) = (at("multi:1"), at("app:latest"), at("app-arm:latest"));
    let mut pushed = Vec::new();
    for docker in e2e::clients(&daemon) {
        let error = docker.fails(1, ["manifest", "create", "--insecure", &list, &at("none:1")]);
        assert!(
            error.contains(&format!("no such manifest: {}", at("none:1")))
                // docker 20.10
                || error.contains("manifest unknown"),
            "{error}"
        );
        let text = docker.ok(["manifest", "create", "--insecure", &list, &app, &arm]);
        assert_eq!(text, format!("Created manifest list {list}"));
        let error = docker.fails(1, ["manifest", "create", "--insecure", &list, &app]);
        assert!(
            error.contains("refusing to amend an existing manifest list with no --amend flag"),
            "{error}"
        );
        docker.ok(["manifest", "create", "--insecure", "--amend", &list, &app]);
        let error = docker.fails(1, ["manifest", "annotate", &list, &arm, "--arch", "abacus"]);
        assert!(
            error.contains("unsupported os/arch combination: linux/abacus")
                || error.contains("unsupported os/arch combination: /abacus"),
            "{error}"
        );
        let error = docker.fails(1, ["manifest", "annotate", &list, &at("none:1"), "--os", "linux"]);
        assert!(error.contains("does not exist in"), "{error}");
        docker.ok(["manifest", "annotate", &list, &arm, "--variant", "v8"]);

        let local = docker.ok(["manifest", "inspect", &list]);
        let parsed: Value = serde_json::from_str(&local).expect("list");
        assert_eq!(parsed["mediaType"], LIST);
        let platforms: Vec<&Value> = (0..2).map(|n| &parsed["manifests"][n]["platform"]).collect();
        let arm_first = platforms[0]["architecture"] == "arm64";
        let (arm_there, other) = match arm_first {
            true => (platforms[0], platforms[1]),
            false => (platforms[1], platforms[0]),
        };
        assert_eq!(
            *arm_there,
            json!({"architecture": "arm64", "os": "linux", "variant": "v8"})
        );
        assert_eq!(other["os"], "linux");

        let text = docker.ok(["manifest", "push", "--insecure", "--purge", &list]);
        assert_eq!(text.matches("Pushed ref").count(), 2, "{text}");
        let (kind, bytes) = registry.manifest("multi", "1").expect("pushed");
        assert_eq!(kind, LIST);
        assert_eq!(String::from_utf8_lossy(&bytes).trim(), local.trim());
        assert!(text.ends_with(&digest(&bytes)), "{text}");
        pushed.push(bytes);
        let error = docker.fails(1, ["manifest", "rm", &list]);
        assert!(error.contains("No such manifest"), "{error}");
        assert_eq!(docker.ok(["manifest", "inspect", "--insecure", &list]), local);
        let verbose = docker.ok(["manifest", "inspect", "--insecure", "--verbose", &list]);
        assert!(verbose.contains("\"SchemaV2Manifest\""), "{verbose}");
        docker.ok(["pull", "--quiet", &list]);
        docker.ok(["rmi", &list]);
    }
    assert!(
        pushed.windows(2).all(|pair| pair[0] == pair[1]),
        "all write the same list"
    );
}

#[test]
fn one_command_goes_on_where_another_one_stopped() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "app");
    let app = format!("{}/app:latest", registry.address());
    let list = format!("{}/multi:2", registry.address());
    let all = e2e::clients(&daemon);
    for (first, second) in all.iter().zip(all.iter().cycle().skip(1)) {
        first.ok(["manifest", "create", "--insecure", &list, &app]);
        let one = first.ok(["manifest", "inspect", &list, &app]);
        assert_eq!(one, second.ok(["manifest", "inspect", &list, &app]));
        second.ok(["manifest", "push", "--insecure", "--purge", &list]);
    }
}

#[test]
fn what_refers_to_an_image_is_listed() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "app");
    let (kind, bytes) = registry.manifest("app", "latest").expect("manifest");
    let subject = digest(&bytes);
    let empty = registry.put_blob("app", b"{}");
    let note = registry.put_blob("app", b"a note");
    let artifact = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "text/x-note",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": note, "size": 6}],
        "subject": {"mediaType": kind, "digest": subject, "size": bytes.len()}});
    let artifact_kind = "application/vnd.oci.image.manifest.v1+json";
    let artifact = artifact.to_string();
    let own = registry.put_manifest("app", "note", artifact_kind, artifact.as_bytes());
    let listed = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": artifact_kind, "digest": own, "size": artifact.len(), "artifactType": "text/x-note"}]});
    let tag = subject.replace(':', "-");
    let index = "application/vnd.oci.image.index.v1+json";
    registry.put_manifest("app", &tag, index, listed.to_string().as_bytes());

    let name = format!("{}/app", registry.address());
    let all = e2e::clients(&daemon);
    let dhow = all.iter().find(|c| c.is_dhow()).expect("dhow");
    let found: Value =
        serde_json::from_str(&dhow.ok(["manifest", "inspect", "--referrers", &name])).expect("index");
    assert_eq!(found["manifests"][0]["artifactType"], "text/x-note", "{found}");
    // What is no image cannot become one.
    let error = dhow.fails(1, ["pull", &format!("{name}:note")]);
    assert!(error.contains("is no image of a container"), "{error}");
}
