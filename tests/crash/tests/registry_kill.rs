//! SIGKILL of the registry at every named point: what it has acknowledged is there afterwards, and life goes on.

use conformance::{Server, server_with, with};
use oci::digest::Digest;
use oci::image::media_type;
use serde_json::{Value, json};

/// Collects garbage all the time, also what has just become garbage.
fn eager() -> Value {
    json!({"garbage-collection": {"interval": "50ms", "grace": 0}})
}

#[test]
fn a_kill_at_any_point_of_the_registry_loses_nothing_that_was_acknowledged() {
    let points = crash::registry_points();
    assert!(points.len() >= 7, "all crash points were found: {points:?}");
    for point in points {
        kill_at(&point);
    }
}

/// What the registry has acknowledged.
#[derive(Default)]
struct Promised {
    blobs: Vec<(String, Vec<u8>)>,
    manifests: Vec<(String, Vec<u8>)>,
    gone: Vec<String>,
}

impl Promised {
    fn check(&self, server: &Server, point: &str) {
        for (path, content) in self.blobs.iter().chain(&self.manifests) {
            let reply = server.get(path).send();
            assert_eq!(reply.status, 200, "{point}: {path}: {reply:?}");
            assert!(reply.body == *content, "{point}: {path}");
        }
        for path in &self.gone {
            assert_eq!(server.get(path).send().status, 404, "{point}: {path}");
        }
    }
}

/// Push in chunks, push a manifest, leave garbage, delete; until the registry dies. Every step asserts what it was told.
fn tell(server: &Server, promised: &mut Promised) -> Option<()> {
    let pushed = |content: &[u8]| -> Option<Digest> {
        let place = server.post("/v2/app/blobs/uploads/").try_send().ok()?.location();
        let (first, second) = content.split_at(content.len() / 2);
        let chunk = server.patch(&place).body(first).try_send().ok()?;
        assert_eq!(chunk.status, 202, "{chunk:?}");
        let digest = Digest::sha256(content);
        let last = server
            .put(&with(&place, &format!("digest={digest}")))
            .body(second)
            .try_send()
            .ok()?;
        assert_eq!(last.status, 201, "{last:?}");
        Some(digest)
    };
    let image = |tag: &str| -> Option<Value> {
        // Garbage until the manifest is there: a sweep in between is answered by pushing again, as every client does.
        loop {
            let (config, layer) = (pushed(b"{}")?, pushed(b"a layer")?);
            let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                "config": {"mediaType": media_type::OCI_CONFIG, "digest": config, "size": 2},
                "layers": [{"mediaType": media_type::OCI_LAYER, "digest": layer, "size": 7}]});
            let request = server.put(&format!("/v2/app/manifests/{tag}"));
            let request = request.header("Content-Type", media_type::OCI_MANIFEST);
            let reply = request.body(manifest.to_string().as_bytes()).try_send().ok()?;
            if reply.status == 201 {
                return Some(manifest);
            }
            assert_eq!(reply.code(), "MANIFEST_BLOB_UNKNOWN", "{reply:?}");
        }
    };
    let kept = image("kept")?;
    promised
        .manifests
        .push(("/v2/app/manifests/kept".to_owned(), kept.to_string().into_bytes()));
    let layer = Digest::sha256(b"a layer");
    promised
        .blobs
        .push((format!("/v2/app/blobs/{layer}"), b"a layer".to_vec()));
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
    let request = server
        .put("/v2/app/manifests/gone")
        .header("Content-Type", media_type::OCI_INDEX);
    assert_eq!(
        request.body(index.to_string().as_bytes()).try_send().ok()?.status,
        201
    );
    let digest = Digest::sha256(index.to_string());
    let deleted = server
        .delete(&format!("/v2/app/manifests/{digest}"))
        .try_send()
        .ok()?;
    assert_eq!(deleted.status, 202, "{deleted:?}");
    promised.gone.push("/v2/app/manifests/gone".to_owned());
    pushed(b"garbage")?;
    Some(())
}

fn kill_at(point: &str) {
    let Some(mut server) = server_with(eager()) else {
        return;
    };
    server.kill();
    server.set_environment(&[("DHOW_CRASH_AT", point)]);
    server.start();
    let mut promised = Promised::default();
    // Garbage is swept after the story too: the end of the registry is awaited, not a time.
    let survived = tell(&server, &mut promised);
    assert!(
        survived.is_none() || point.starts_with("registry.sweep"),
        "{point} was never reached: add to the story what leads there"
    );
    assert!(server.wait_for_kill(), "{point}");

    server.set_environment(&[]);
    server.start();
    promised.check(&server, point);
    let mut again = Promised::default();
    tell(&server, &mut again).expect("life goes on");
    again.check(&server, point);
    server.kill();

    // No content is lost or left: what lies there is what the manifest needs, once the collector has been.
    server.start();
    let wanted = 3;
    e2e::until("the garbage is gone", || {
        let stored = std::fs::read_dir(server.root().join("blobs/sha256"))
            .expect("content")
            .count();
        assert!(stored >= wanted, "{point}: content is missing");
        let uploads = std::fs::read_dir(server.root().join("uploads"))
            .expect("uploads")
            .count();
        // What was begun and not finished when the registry died waits for its client.
        stored == wanted && uploads <= 1
    });
}
