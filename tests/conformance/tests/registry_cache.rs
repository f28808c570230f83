//! A registry that stands in for another one: everything is fetched once, and is there when the other one is away.

use conformance::{Server, server, server_with};
use oci::digest::Digest;
use serde_json::{Value, json};

fn cache_of(upstream: &Server, more: &Value) -> Option<Server> {
    let mut entry = json!({"registry": upstream.address().to_string(), "name": "lab", "fresh-for": 0});
    for (key, value) in more.as_object().into_iter().flatten() {
        entry[key] = value.clone();
    }
    server_with(json!({ "upstreams": [entry] }))
}

/// How many requests of a sort the upstream has answered with a success.
fn served(upstream: &Server, route: &str, method: &str) -> u64 {
    let text = String::from_utf8(upstream.get("/metrics").send().body).expect("text");
    let start =
        format!("dhow_registry_requests_total{{route=\"{route}\",method=\"{method}\",code=\"2xx\"}} ");
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix(&start)?.parse().ok());
    count.unwrap_or(0)
}

#[test]
fn what_is_pulled_through_is_fetched_once_and_outlives_its_source() {
    let Some(mut upstream) = server() else { return };
    let layer: Vec<u8> = (0..3_000_000u32).map(|n| (n % 249) as u8).collect();
    let (manifest, digest) = upstream.push_image("team/app", "1", &layer);
    let layer_digest = Digest::sha256(&layer);
    let Some(cache) = cache_of(&upstream, &json!({})) else {
        return;
    };
    let blob = format!("/v2/lab/team/app/blobs/{layer_digest}");
    for _ in 0..2 {
        let got = cache.get("/v2/lab/team/app/manifests/1").send();
        assert_eq!((got.status, got.body), (200, manifest.to_string().into_bytes()));
        // Several at once, whole and in parts.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(cache_get(&cache, &blob, None) == layer));
                scope.spawn(|| {
                    assert!(
                        cache_get(&cache, &blob, Some("bytes=2000000-2000099"))
                            == layer[2_000_000..2_000_100]
                    )
                });
            }
        });
        e2e::until("it is kept", || {
            let path = cache.root().join("blobs/sha256").join(layer_digest.hex());
            path.exists()
        });
    }
    assert_eq!(served(&upstream, "blob", "GET"), 1, "one fetch for all");
    let asked = cache.head(&blob).send();
    assert_eq!(
        (asked.status, asked.header("content-length")),
        (200, Some("3000000"))
    );

    upstream.kill();
    assert_eq!(
        cache.get("/v2/lab/team/app/manifests/1").send().body,
        manifest.to_string().as_bytes()
    );
    assert_eq!(
        cache
            .get(&format!("/v2/lab/team/app/manifests/{digest}"))
            .send()
            .status,
        200
    );
    assert!(cache_get(&cache, &blob, None) == layer);
    assert_eq!(
        cache.get("/v2/lab/team/app/manifests/2").send().status,
        502,
        "what was never here is not invented"
    );
}

fn cache_get(cache: &Server, path: &str, range: Option<&str>) -> Vec<u8> {
    let mut request = cache.get(path);
    if let Some(range) = range {
        request = request.header("Range", range);
    }
    let reply = request.send();
    assert!(reply.status == 200 || reply.status == 206, "{}", reply.status);
    reply.body
}

#[test]
fn a_tag_that_moves_is_followed_and_one_that_is_gone_is_gone() {
    let Some(upstream) = server() else { return };
    let (one, _) = upstream.push_image("app", "latest", b"one");
    let Some(cache) = cache_of(&upstream, &json!({})) else {
        return;
    };
    let body = || cache.get("/v2/lab/app/manifests/latest").send().body;
    assert_eq!(body(), one.to_string().as_bytes());
    let (two, _) = upstream.push_image("app", "latest", b"two");
    assert_eq!(body(), two.to_string().as_bytes());
    upstream.delete("/v2/app/manifests/latest").send();
    assert_eq!(cache.get("/v2/lab/app/manifests/latest").send().status, 404);
}

#[test]
fn a_tag_is_not_asked_for_again_while_it_is_fresh() {
    let Some(upstream) = server() else { return };
    upstream.push_image("app", "latest", b"one");
    let Some(cache) = cache_of(&upstream, &json!({"fresh-for": "1h"})) else {
        return;
    };
    for _ in 0..5 {
        assert_eq!(cache.get("/v2/lab/app/manifests/latest").send().status, 200);
    }
    assert_eq!(served(&upstream, "manifest", "GET"), 1);
}

#[test]
fn an_upstream_is_found_by_its_namespace_or_as_the_default() {
    let Some(upstream) = server() else { return };
    upstream.push_image("app", "1", b"one");
    let Some(cache) = cache_of(&upstream, &json!({})) else {
        return;
    };
    let named = cache
        .get(&format!("/v2/app/manifests/1?ns={}", upstream.address()))
        .send();
    let address = upstream.address().to_string();
    assert_eq!(
        (named.status, named.header("oci-namespace")),
        (200, Some(address.as_str()))
    );
    assert_eq!(
        cache.get("/v2/app/manifests/1").send().status,
        404,
        "without a namespace it is another repository"
    );
    assert_eq!(
        cache
            .get("/v2/app/manifests/1?ns=elsewhere.example")
            .send()
            .status,
        404
    );
    let Some(mirror) = cache_of(&upstream, &json!({"default": true})) else {
        return;
    };
    assert_eq!(mirror.get("/v2/app/manifests/1").send().status, 200);
    // Its own repositories come first.
    mirror.push_image("own", "1", b"own");
    assert_eq!(mirror.get("/v2/own/manifests/1").send().status, 200);
    let refused = mirror.post("/v2/lab/app/blobs/uploads/").send();
    assert_eq!((refused.status, refused.code().as_str()), (405, "UNSUPPORTED"));
}

#[test]
fn a_guarded_upstream_is_asked_with_its_user() {
    let folder = tempfile::tempdir().expect("folder");
    let (users, password) = (folder.path().join("users"), folder.path().join("password"));
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    std::fs::write(&users, format!("alice:{hash}\n")).expect("users");
    std::fs::write(&password, "secret\n").expect("password");
    let Some(mut upstream) = server() else { return };
    let (manifest, _) = upstream.push_image("app", "1", b"one");
    upstream.kill();
    upstream.set_config(json!({"auth": {"htpasswd": users, "tokens": {}}}));
    upstream.start();
    let Some(stranger) = cache_of(&upstream, &json!({})) else {
        return;
    };
    let refused = stranger.get("/v2/lab/app/manifests/1").send();
    assert_eq!((refused.status, refused.code().as_str()), (403, "DENIED"));
    let Some(cache) = cache_of(&upstream, &json!({"user": "alice", "password-file": password})) else {
        return;
    };
    assert_eq!(
        cache.get("/v2/lab/app/manifests/1").send().body,
        manifest.to_string().as_bytes()
    );
}
