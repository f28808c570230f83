//! The distribution-spec's categories «Content Discovery» and «Content Management».
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::time::Instant;

use conformance::{Server, server};
use oci::digest::Digest;
use oci::image::media_type;
use serde_json::{Value, json};

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().expect("a list").iter();
    items
        .map(|item| item.as_str().expect("a text").to_owned())
        .collect()
}

/// Follows the links from page to page; the pages.
fn pages(server: &Server, first: &str, key: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next.take() {
        let reply = server.get(&path).send();
        assert_eq!(reply.status, 200);
        pages.push(strings(&reply.json()[key]));
        next = reply.header("link").map(|link| {
            let (path, rest) = link
                .strip_prefix('<')
                .and_then(|l| l.split_once('>'))
                .expect("a link");
            assert_eq!(rest, "; rel=\"next\"");
            path.to_owned()
        });
    }
    pages
}

#[test]
fn tags_are_listed_in_order_and_page_by_page() {
    let Some(server) = server() else { return };
    let manifest = server.image("app", b"layer");
    for tag in ["b", "a", "C", "10", "9", "_x"] {
        server.push_manifest("app", tag, &manifest);
    }
    let list = |query: &str| strings(&server.get(&format!("/v2/app/tags/list{query}")).send().json()["tags"]);
    let all = ["10", "9", "C", "_x", "a", "b"];
    assert_eq!(list(""), all);
    assert_eq!(list("?n=100"), all);
    assert_eq!(list("?n=2"), all[..2]);
    assert_eq!(list("?n=2&last=C"), all[3..5]);
    assert_eq!(list("?last=_x"), all[4..]);
    assert_eq!(list("?last=~"), [""; 0]);
    let none = server.get("/v2/app/tags/list?n=0").send();
    assert_eq!(
        (strings(&none.json()["tags"]).len(), none.header("link")),
        (0, None)
    );
    assert_eq!(none.json()["name"], "app");
    assert_eq!(server.get("/v2/app/tags/list?n=x").send().status, 400);
    assert_eq!(
        pages(&server, "/v2/app/tags/list?n=4", "tags"),
        [&all[..4], &all[4..]]
    );
    assert_eq!(
        pages(&server, "/v2/app/tags/list?n=6", "tags").len(),
        1,
        "no link to an empty page"
    );
}

#[test]
fn repositories_are_listed_page_by_page() {
    let Some(server) = server() else { return };
    for name in ["b", "a/b", "a", "a-b"] {
        server.push_image(name, "1", b"layer");
    }
    let names = ["a", "a-b", "a/b", "b"];
    assert_eq!(pages(&server, "/v2/_catalog", "repositories"), [names]);
    assert_eq!(
        pages(&server, "/v2/_catalog?n=3", "repositories"),
        [&names[..3], &names[3..]]
    );
}

#[test]
fn ten_thousand_tags_are_listed_at_once() {
    let Some(server) = server() else { return };
    let manifest = server.image("app", b"layer").to_string();
    let digest = Digest::sha256(&manifest);
    let tags: Vec<String> = (0..10_000).map(|n| format!("v{n:05}")).collect();
    for tags in tags.chunks(100) {
        let path = format!("/v2/app/manifests/{digest}?tag={}", tags.join("&tag="));
        let request = server.put(&path).header("Content-Type", media_type::OCI_MANIFEST);
        assert_eq!(request.body(manifest.as_bytes()).send().status, 201);
    }
    let times: Vec<_> = (0..5)
        .map(|_| {
            let start = Instant::now();
            let listed = strings(&server.get("/v2/app/tags/list").send().json()["tags"]);
            assert!(listed == tags);
            start.elapsed()
        })
        .collect();
    println!("10,000 tags, with the client's part: {times:?}");
}

#[test]
fn referrers_are_found_filtered_and_forgotten() {
    let Some(server) = server() else { return };
    let (subject, digest) = server.push_image("app", "1", b"layer");
    let subject =
        json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": subject.to_string().len()});
    let none = server.get(&format!("/v2/app/referrers/{digest}")).send();
    assert_eq!(
        (none.status, none.header("content-type")),
        (200, Some(media_type::OCI_INDEX))
    );
    assert_eq!(none.json()["manifests"], json!([]));

    let mut signature = server.image("app", b"signature");
    signature["subject"] = subject.clone();
    signature["artifactType"] = json!("application/x.signature");
    signature["annotations"] = json!({"who": "me"});
    let signature_digest = server.push_manifest(
        "app",
        &Digest::sha256(signature.to_string()).to_string(),
        &signature,
    );
    let mut plain = server.image("app", b"plain");
    plain["subject"] = subject.clone();
    server.push_manifest("app", "plain", &plain);
    let index =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [], "subject": subject});
    server.push_manifest("app", "index", &index);

    let list = |query: &str| server.get(&format!("/v2/app/referrers/{digest}{query}")).send();
    let all = list("").json()["manifests"].as_array().cloned().expect("a list");
    assert_eq!(all.len(), 3);
    let of = |kind: &str| all.iter().find(|item| item["artifactType"] == kind).cloned();
    assert!(
        of(media_type::OCI_CONFIG).is_some(),
        "the type of the configuration stands in"
    );
    assert!(
        all.iter().any(|item| item.get("artifactType").is_none()),
        "an index has none"
    );
    let signed = of("application/x.signature").expect("the signature");
    assert_eq!(signed["annotations"], json!({"who": "me"}));
    assert_eq!(signed["digest"], json!(signature_digest));
    assert_eq!(signed["size"], json!(signature.to_string().len()));

    let filtered = list("?artifactType=application/x.signature");
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(filtered.json()["manifests"], json!([signed]));
    assert_eq!(list("?artifactType=none").json()["manifests"], json!([]));
    assert_eq!(server.get("/v2/app/referrers/nonsense").send().status, 400);
    assert_eq!(
        server
            .get(&format!("/v2/nobody/referrers/{digest}"))
            .send()
            .status,
        200
    );

    server
        .delete(&format!("/v2/app/manifests/{signature_digest}"))
        .send();
    assert_eq!(list("").json()["manifests"].as_array().map(Vec::len), Some(2));
}

#[test]
fn many_referrers_come_page_by_page() {
    let Some(server) = server() else { return };
    let subject = json!({"mediaType": media_type::OCI_MANIFEST, "digest": Digest::sha256("x"), "size": 1});
    let mut manifest = server.image("app", b"layer");
    manifest["subject"] = subject;
    manifest["annotations"] = json!({"long": "x".repeat(1 << 20)});
    for number in 0..5 {
        manifest["annotations"]["number"] = json!(number.to_string());
        server.push_manifest("app", &format!("{number}"), &manifest);
    }
    let mut found = 0;
    let mut next = Some(format!("/v2/app/referrers/{}", Digest::sha256("x")));
    while let Some(path) = next.take() {
        let reply = server.get(&path).send();
        assert!(
            reply.body.len() < 4 << 20,
            "a page is no larger than a manifest may be"
        );
        found += reply.json()["manifests"].as_array().map_or(0, Vec::len);
        next = reply
            .header("link")
            .map(|link| link[1..link.find('>').expect("a link")].to_owned());
    }
    assert_eq!(found, 5);
}

#[test]
fn tags_manifests_and_blobs_are_deleted() {
    let Some(server) = server() else { return };
    let (manifest, digest) = server.push_image("app", "1", b"layer");
    server.push_manifest("app", "2", &manifest);
    let status = |reference: &str| {
        server
            .get(&format!("/v2/app/manifests/{reference}"))
            .send()
            .status
    };
    let delete = |path: &str| server.delete(path).send().status;
    assert_eq!(delete("/v2/app/manifests/1"), 202);
    assert_eq!(
        (status("1"), status("2"), status(&digest.to_string())),
        (404, 200, 200)
    );
    assert_eq!(delete("/v2/app/manifests/1"), 404);
    assert_eq!(delete(&format!("/v2/app/manifests/{digest}")), 202);
    assert_eq!((status("2"), status(&digest.to_string())), (404, 404));
    assert_eq!(server.get("/v2/app/tags/list").send().json()["tags"], json!([]));
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let blob = format!("/v2/app/blobs/{layer}");
    assert_eq!((delete(&blob), delete(&blob)), (202, 404));
    assert_eq!(server.get(&blob).send().status, 404);
    assert_eq!(delete("/v2/nobody/manifests/1"), 404);
    // And everything can be pushed again.
    server.push_image("app", "1", b"layer");
    assert_eq!(status("1"), 200);
}
