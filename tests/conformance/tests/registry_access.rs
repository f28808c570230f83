//! Who may come in and what they may do: Basic authentication, tokens, rules; immutable tags, quotas, retention; what is
//! told about it all.

use std::io::{Read, Write};
use std::net::TcpListener;

use conformance::{Reply, Server, server_with};
use oci::digest::Digest;
use oci::image::media_type;
use serde_json::{Value, json};

/// `base64("alice:secret")` and so on.
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";
const BOB: &str = "Basic Ym9iOnNlY3JldA==";
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";

/// A file of users whose password is «secret», with the lowest cost that bcrypt has.
fn users() -> String {
    let line = |user: &str| format!("{user}:{}\n", bcrypt::hash("secret", 4).expect("a hash"));
    line("alice") + &line("bob")
}

fn guarded(mut config: Value) -> Option<(Server, tempfile::TempDir)> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, users()).expect("users");
    config["auth"]["htpasswd"] = json!(path);
    Some((server_with(config)?, folder))
}

fn rules() -> Value {
    json!([
        {"repositories": "public/**", "users": ["anonymous"], "actions": ["pull"]},
        {"repositories": "**", "users": ["alice"], "actions": ["pull", "push", "delete"]},
        {"repositories": "team/*", "users": ["*"], "actions": ["pull", "push"]},
    ])
}

fn push_as(server: &Server, repository: &str, who: &str) -> Reply {
    let digest = Digest::sha256(b"x");
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let reply = server.post(&path).header("Authorization", who).body(b"x").send();
    if reply.status != 201 {
        return reply;
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
        "config": {"mediaType": media_type::OCI_CONFIG, "digest": digest, "size": 1}});
    let request = server
        .put(&format!("/v2/{repository}/manifests/1"))
        .header("Authorization", who);
    request
        .header("Content-Type", media_type::OCI_MANIFEST)
        .body(manifest.to_string().as_bytes())
        .send()
}

#[test]
fn without_a_password_nobody_comes_in_and_with_one_everybody() {
    let Some((server, _folder)) = guarded(json!({"auth": {"realm": "the lab"}})) else {
        return;
    };
    for path in ["/v2/", "/v2/_catalog", "/v2/app/tags/list", "/metrics"] {
        let reply = server.get(path).send();
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, "UNAUTHORIZED"),
            "{path}"
        );
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"the lab\""));
        for bad in [WRONG, "Basic", "Basic ???", "Bearer x", "Basic OnNlY3JldA=="] {
            assert_eq!(
                server.get(path).header("Authorization", bad).send().status,
                401,
                "{bad}"
            );
        }
    }
    assert_eq!(server.get("/health").send().status, 200);
    assert_eq!(
        server.get("/v2/").header("Authorization", ALICE).send().status,
        200
    );
    assert_eq!(push_as(&server, "app", BOB).status, 201);
}

#[test]
fn rules_decide_who_may_pull_push_and_delete() {
    let Some((server, _folder)) = guarded(json!({"rules": rules()})) else {
        return;
    };
    assert_eq!(push_as(&server, "team/app", BOB).status, 201);
    assert_eq!(push_as(&server, "public/app", ALICE).status, 201);
    let refused = push_as(&server, "public/app", BOB);
    assert_eq!((refused.status, refused.code().as_str()), (403, "DENIED"));
    assert_eq!(push_as(&server, "team/sub/app", BOB).status, 403);
    let ask = |method: &str, path: &str, who: &str| {
        let request = server.request(method, path);
        match who {
            "" => request.send().status,
            who => request.header("Authorization", who).send().status,
        }
    };
    assert_eq!(ask("GET", "/v2/public/app/manifests/1", ""), 200);
    assert_eq!(ask("GET", "/v2/team/app/manifests/1", ""), 401);
    assert_eq!(ask("DELETE", "/v2/team/app/manifests/1", BOB), 403);
    // Mounting reads the other repository.
    push_as(&server, "secret", ALICE);
    let mount = format!(
        "/v2/team/app/blobs/uploads/?mount={}&from=secret",
        Digest::sha256(b"x")
    );
    assert_eq!(ask("POST", &mount, BOB), 403);
    let names = |who: &str| {
        server
            .get("/v2/_catalog")
            .header("Authorization", who)
            .send()
            .json()["repositories"]
            .clone()
    };
    assert_eq!(names(BOB), json!(["public/app", "team/app"]));
    assert_eq!(names(ALICE), json!(["public/app", "secret", "team/app"]));
    assert_eq!(ask("DELETE", "/v2/team/app/manifests/1", ALICE), 202);
}

/// Fetches a token; nothing for a wrong password.
fn token(server: &Server, who: &str, scope: &str) -> Option<Value> {
    let request = server.get(&format!(
        "/token?service=dhow-registry&offline_token=true&scope={scope}"
    ));
    let reply = match who {
        "" => request.send(),
        who => request.header("Authorization", who).send(),
    };
    (reply.status == 200).then(|| reply.json())
}

#[test]
fn tokens_let_in_for_what_they_were_asked_and_no_more() {
    let config = json!({"auth": {"tokens": {}}, "rules": rules()});
    let Some((server, _folder)) = guarded(config) else {
        return;
    };
    push_as(&server, "public/app", ALICE);
    let refused = server.get("/v2/public/app/manifests/1").send();
    assert_eq!(refused.status, 200, "anybody may pull it");
    let challenge = server.post("/v2/team/app/blobs/uploads/").send();
    assert_eq!(challenge.status, 401);
    let expected = format!(
        "Bearer realm=\"http://{}/token\",service=\"dhow-registry\",scope=\"repository:team/app:pull,push\"",
        server.address()
    );
    assert_eq!(challenge.header("www-authenticate"), Some(expected.as_str()));
    assert!(token(&server, WRONG, "").is_none());

    let bearer = |value: &Value| format!("Bearer {}", value["token"].as_str().expect("a token"));
    let bob = token(&server, BOB, "repository:team/app:pull,push,delete").expect("a token");
    assert_eq!(bob["scope"], "repository:team/app:pull,push");
    assert_eq!(bob["expires_in"], 300);
    assert_eq!(push_as(&server, "team/app", &bearer(&bob)).status, 201);
    let other = push_as(&server, "team/other", &bearer(&bob));
    assert_eq!(other.status, 401);
    assert!(
        other
            .header("www-authenticate")
            .expect("a challenge")
            .ends_with("error=\"insufficient_scope\"")
    );
    let nobody = token(&server, "", "repository:public/app:pull,push").expect("a token for nobody");
    assert_eq!(nobody["scope"], "repository:public/app:pull");
    assert!(nobody.get("refresh_token").is_none());
    let with = |who: &str, path: &str| server.get(path).header("Authorization", who).send().status;
    assert_eq!(with(&bearer(&nobody), "/v2/"), 200);
    assert_eq!(with(&bearer(&nobody), "/v2/public/app/manifests/1"), 200);
    let forged = format!("{}x", bearer(&bob));
    assert_eq!(with(&forged, "/v2/"), 401);

    let form = |body: &str| server.post("/token").body(body.as_bytes()).send();
    let refresh = bob["refresh_token"].as_str().expect("a refresh token");
    assert_eq!(
        with(&format!("Bearer {refresh}"), "/v2/"),
        401,
        "a refresh token lets nobody in"
    );
    let again = form(&format!(
        "grant_type=refresh_token&refresh_token={refresh}&scope=repository:team/app:push"
    ));
    assert_eq!(
        (again.status, &again.json()["scope"]),
        (200, &json!("repository:team/app:push"))
    );
    let password = form("grant_type=password&username=bob&password=secret&scope=repository:team/app:pull");
    assert_eq!(password.status, 200);
    assert_eq!(
        form("grant_type=password&username=bob&password=wrong").status,
        401
    );
    assert_eq!(form("grant_type=refresh_token&refresh_token=x").status, 401);
    assert_eq!(form("grant_type=magic").status, 400);
    assert_eq!(form(&"x".repeat(100_000)).status, 400);
}

#[test]
fn immutable_tags_stay_where_they_are() {
    let config = json!({"immutable-tags": [{"repositories": "**", "tags": "v*"}]});
    let Some(server) = server_with(config) else { return };
    let (one, digest) = server.push_image("app", "v1", b"one");
    server.push_manifest("app", "v1", &one);
    let two = server.image("app", b"two");
    let request = server
        .put("/v2/app/manifests/v1")
        .header("Content-Type", media_type::OCI_MANIFEST);
    let reply = request.body(two.to_string().as_bytes()).send();
    assert_eq!((reply.status, reply.code().as_str()), (409, "DENIED"));
    for reference in ["v1", &digest.to_string()] {
        let reply = server.delete(&format!("/v2/app/manifests/{reference}")).send();
        assert_eq!((reply.status, reply.code().as_str()), (405, "UNSUPPORTED"));
    }
    server.push_manifest("app", "latest", &one);
    server.push_manifest("app", "latest", &two);
}

#[test]
fn a_repository_holds_no_more_than_its_quota() {
    let config = json!({"quotas": [{"repositories": "small", "bytes": "100KB"}]});
    let Some(server) = server_with(config) else { return };
    server.push_blob("small", &[1; 60_000]);
    let large = vec![2; 60_000];
    let place = server.post("/v2/small/blobs/uploads/").send().location();
    let path = conformance::with(&place, &format!("digest={}", Digest::sha256(&large)));
    let reply = server.put(&path).body(&large).send();
    assert_eq!((reply.status, reply.code().as_str()), (403, "DENIED"));
    let other = server.push_blob("other", &large);
    let mount = server
        .post(&format!("/v2/small/blobs/uploads/?mount={other}&from=other"))
        .send();
    assert_eq!(mount.status, 403);
    server.push_blob("small", &[1; 60_000]);
    server.push_image("small", "1", b"little");
}

#[test]
fn retention_keeps_the_newest_tags_and_what_they_lead_to() {
    let mut config = json!({"garbage-collection": {"interval": 0}});
    let Some(mut server) = server_with(config.clone()) else {
        return;
    };
    let mut digests = Vec::new();
    for tag in ["r1", "r2", "r3", "r4"] {
        digests.push(server.push_image("app", tag, tag.as_bytes()).1.to_string());
    }
    let (child, child_digest) = server.push_image("app", "child", b"child");
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        {"mediaType": media_type::OCI_MANIFEST, "digest": child_digest, "size": child.to_string().len()}]});
    let index_digest = server.push_manifest("app", "index", &index);
    server.delete("/v2/app/manifests/child").send();
    let mut signature = server.image("app", b"signature");
    signature["subject"] = json!({"mediaType": media_type::OCI_INDEX, "digest": index_digest, "size": 1});
    let signature_digest = Digest::sha256(signature.to_string()).to_string();
    server.push_manifest("app", &signature_digest, &signature);

    config["garbage-collection"] = json!({"interval": "20ms", "grace": 0});
    config["retention"] = json!([{"repositories": "app", "tags": "r*", "keep-last": 2, "untagged-for": 0}]);
    server.stop();
    server.set_config(config);
    server.start();
    let status = |reference: &str| {
        server
            .get(&format!("/v2/app/manifests/{reference}"))
            .send()
            .status
    };
    e2e::until("old releases are gone", || {
        status(&digests[0]) == 404 && status(&digests[1]) == 404
    });
    assert_eq!(
        server.get("/v2/app/tags/list").send().json()["tags"],
        json!(["index", "r3", "r4"])
    );
    for kept in [
        &digests[2],
        &digests[3],
        &child_digest.to_string(),
        &signature_digest,
    ] {
        assert_eq!(status(kept), 200);
    }
}

#[test]
fn a_webhook_is_told_in_order_and_again_until_it_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let notification = json!({"url": url, "headers": {"X-Key": "k"}, "actions": ["push", "delete"]});
    let Some(server) = server_with(json!({"notifications": [notification]})) else {
        return;
    };
    let (_, digest) = server.push_image("app", "1", b"layer");
    server.get("/v2/app/manifests/1").send();
    server.delete(&format!("/v2/app/manifests/{digest}")).send();
    let mut events: Vec<Value> = Vec::new();
    let mut refuse = true;
    while events.len() < 4 {
        let (mut socket, _) = listener.accept().expect("a request");
        let mut text = Vec::new();
        let body = loop {
            let mut piece = [0; 4096];
            let read = socket.read(&mut piece).expect("bytes");
            text.extend_from_slice(&piece[..read]);
            let whole = String::from_utf8_lossy(&text).into_owned();
            let Some((head, body)) = whole.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.expect("a length") {
                assert!(head.contains("post /hook") && head.contains("x-key: k"), "{head}");
                assert!(head.contains("application/vnd.docker.distribution.events.v1+json"));
                break body.to_owned();
            }
        };
        let status = if refuse { "503 Busy" } else { "200 OK" };
        let _ = socket.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        if !std::mem::take(&mut refuse) {
            let told: Value = serde_json::from_str(&body).expect("JSON");
            events.extend(told["events"].as_array().cloned().expect("events"));
        }
    }
    let actions: Vec<&str> = events
        .iter()
        .filter_map(|event| event["action"].as_str())
        .collect();
    assert_eq!(
        actions,
        ["push", "push", "push", "delete"],
        "two blobs, a manifest, and its end; no pull"
    );
    assert_eq!(events[2]["target"]["tag"], "1");
    assert_eq!(events[2]["target"]["mediaType"], media_type::OCI_MANIFEST);
    assert_eq!(events[2]["target"]["digest"], json!(digest));
    assert_eq!(events[3]["target"]["repository"], "app");
}

#[test]
fn requests_are_counted_and_written_down() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("access.log");
    let Some(mut server) = server_with(json!({"access-log": log})) else {
        return;
    };
    server.push_image("app", "1", b"layer");
    server
        .get("/v2/app/manifests/1")
        .header("User-Agent", "a \"test\"")
        .send();
    server.get("/v2/app/manifests/2").send();
    let metrics = String::from_utf8(server.get("/metrics").send().body).expect("text");
    for line in [
        "dhow_registry_requests_total{route=\"manifest\",method=\"GET\",code=\"2xx\"} 1",
        "dhow_registry_requests_total{route=\"manifest\",method=\"GET\",code=\"4xx\"} 1",
        "dhow_registry_tags 1",
        "dhow_registry_received_bytes_total 7",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line}\n{metrics}");
    }
    let health = server.get("/health").send();
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
    e2e::until("the log is written", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("GET /health"))
    });
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(
        text.contains("\"GET /v2/app/manifests/1 HTTP/1.1\" 200 "),
        "{text}"
    );
    assert!(text.contains("\"a \\\"test\\\"\""), "{text}");
    assert!(server.stop());
}
