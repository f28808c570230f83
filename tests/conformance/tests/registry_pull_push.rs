//! The distribution-spec's categories «Pull» and «Push», in the order of its text.

use conformance::{Server, server, with};
use oci::digest::Digest;
use oci::image::media_type;
use serde_json::json;

const ABSENT: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn session(server: &Server, repository: &str) -> String {
    let reply = server.post(&format!("/v2/{repository}/blobs/uploads/")).send();
    assert_eq!(reply.status, 202);
    reply.location()
}

#[test]
fn the_base_says_that_this_is_a_registry() {
    let Some(server) = server() else { return };
    for path in ["/v2/", "/v2"] {
        let reply = server.get(path).send();
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("docker-distribution-api-version"),
            Some("registry/2.0")
        );
    }
    assert_eq!(server.post("/v2/").send().status, 405);
    assert_eq!(server.get("/v1/").send().status, 404);
}

#[test]
fn a_manifest_is_pulled_by_tag_and_by_digest_as_it_was_pushed() {
    let Some(server) = server() else { return };
    let (manifest, digest) = server.push_image("team/app", "1.0", b"layer");
    for reference in ["1.0", &digest.to_string()] {
        let path = format!("/v2/team/app/manifests/{reference}");
        let got = server.get(&path).send();
        assert_eq!(got.status, 200);
        assert_eq!(got.body, manifest.to_string().as_bytes());
        let asked = server.head(&path).send();
        assert_eq!(asked.status, 200);
        for reply in [got, asked] {
            assert_eq!(
                reply.header("docker-content-digest"),
                Some(digest.to_string().as_str())
            );
            assert_eq!(reply.header("content-type"), Some(media_type::OCI_MANIFEST));
            let length = manifest.to_string().len().to_string();
            assert_eq!(reply.header("content-length"), Some(length.as_str()));
            assert_eq!(reply.header("etag"), Some(format!("\"{digest}\"").as_str()));
        }
        let known = server
            .get(&path)
            .header("If-None-Match", &format!("\"{digest}\""))
            .send();
        assert_eq!((known.status, known.body.len()), (304, 0));
    }
}

#[test]
fn what_is_not_there_is_404_with_the_code_of_its_sort() {
    let Some(server) = server() else { return };
    server.push_image("app", "1", b"layer");
    for (path, code) in [
        ("/v2/app/manifests/2".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/app/manifests/{ABSENT}"), "MANIFEST_UNKNOWN"),
        (format!("/v2/app/blobs/{ABSENT}"), "BLOB_UNKNOWN"),
        ("/v2/nobody/manifests/1".to_owned(), "NAME_UNKNOWN"),
        ("/v2/nobody/tags/list".to_owned(), "NAME_UNKNOWN"),
        (format!("/v2/nobody/blobs/{ABSENT}"), "NAME_UNKNOWN"),
    ] {
        let reply = server.get(&path).send();
        assert_eq!((reply.status, reply.code().as_str()), (404, code), "{path}");
        let wanted = if path.contains("tags") { 405 } else { 404 };
        assert_eq!(server.head(&path).send().status, wanted, "{path}");
    }
}

#[test]
fn a_blob_is_pulled_whole_in_parts_and_not_at_all_when_it_is_known() {
    let Some(server) = server() else { return };
    let content: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
    let digest = server.push_blob("app", &content);
    let path = format!("/v2/app/blobs/{digest}");
    let all = server.get(&path).send();
    assert_eq!(all.status, 200);
    assert!(all.body == content);
    assert_eq!(
        all.header("docker-content-digest"),
        Some(digest.to_string().as_str())
    );
    let asked = server.head(&path).send();
    assert_eq!(
        (asked.status, asked.header("content-length")),
        (200, Some("400000"))
    );

    let part = |range: &str| server.get(&path).header("Range", range).send();
    for (range, bytes) in [
        ("bytes=0-9", 0..10),
        ("bytes=399990-", 399_990..400_000),
        ("bytes=-1", 399_999..400_000),
        ("bytes=100000-300000", 100_000..300_001),
    ] {
        let reply = part(range);
        assert_eq!(reply.status, 206, "{range}");
        let said = format!("bytes {}-{}/400000", bytes.start, bytes.end - 1);
        assert_eq!(reply.header("content-range"), Some(said.as_str()));
        assert!(reply.body == content[bytes], "{range}");
    }
    let beyond = part("bytes=400000-");
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */400000"))
    );
    let etag = all.header("etag").expect("an entity tag").to_owned();
    assert_eq!(
        server.get(&path).header("If-None-Match", &etag).send().status,
        304
    );
    let changed = server
        .get(&path)
        .header("Range", "bytes=0-9")
        .header("If-Range", "\"x\"")
        .send();
    assert_eq!(changed.status, 200);
}

#[test]
fn a_blob_is_pushed_by_one_post() {
    let Some(server) = server() else { return };
    let digest = Digest::sha256(b"content");
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    let reply = server.post(&path).body(b"content").send();
    assert_eq!(reply.status, 201);
    assert_eq!(server.get(&reply.location()).send().body, b"content");
}

#[test]
fn a_blob_is_pushed_in_chunks_and_the_session_says_how_far_it_is() {
    let Some(server) = server() else { return };
    let mut place = session(&server, "app");
    let id = place.rsplit('/').next().expect("an id").to_owned();
    for (chunk, range, end) in [
        ("hello", "0-4", "0-4"),
        (" ", "5-5", "0-5"),
        ("world", "6-10", "0-10"),
    ] {
        let reply = server
            .patch(&place)
            .header("Content-Range", range)
            .body(chunk.as_bytes())
            .send();
        assert_eq!((reply.status, reply.header("range")), (202, Some(end)));
        assert_eq!(reply.header("docker-upload-uuid"), Some(id.as_str()));
        place = reply.location();
        let status = server.get(&place).send();
        assert_eq!((status.status, status.header("range")), (204, Some(end)));
        assert!(status.header("location").is_some());
    }
    let digest = Digest::sha256(b"hello world!");
    let last = server
        .put(&with(&place, &format!("digest={digest}")))
        .header("Content-Range", "11-11");
    let reply = last.body(b"!").send();
    assert_eq!(reply.status, 201);
    assert_eq!(
        reply.header("docker-content-digest"),
        Some(digest.to_string().as_str())
    );
    assert_eq!(server.get(&reply.location()).send().body, b"hello world!");
    assert_eq!(server.get(&place).send().status, 404, "the session is over");
}

#[test]
fn a_chunk_out_of_order_is_416_and_harms_nothing() {
    let Some(server) = server() else { return };
    let place = session(&server, "app");
    let chunk = |range: &str, body: &[u8]| {
        server
            .patch(&place)
            .header("Content-Range", range)
            .body(body)
            .send()
    };
    assert_eq!(chunk("0-2", b"abc").status, 202);
    for range in ["0-2", "2-4", "4-6"] {
        let reply = chunk(range, b"xyz");
        assert_eq!(
            (reply.status, reply.header("range")),
            (416, Some("0-2")),
            "{range}"
        );
        assert_eq!(reply.header("location"), Some(place.as_str()));
    }
    assert_eq!(chunk("3-9", b"xyz").status, 400, "the range is not the length");
    assert_eq!(chunk("nonsense", b"xyz").status, 400);
    let digest = Digest::sha256(b"abcd");
    let late = server.put(&with(&place, &format!("digest={digest}")));
    assert_eq!(
        late.clone()
            .header("Content-Range", "9-9")
            .body(b"d")
            .send()
            .status,
        416
    );
    assert_eq!(late.header("Content-Range", "3-3").body(b"d").send().status, 201);
}

#[test]
fn a_push_with_another_digest_or_a_nonsensical_one_is_refused() {
    let Some(server) = server() else { return };
    let place = session(&server, "app");
    for (query, code) in [
        ("digest=sha256:abc", "DIGEST_INVALID"),
        ("digest=md5:d41d8cd98f00b204e9800998ecf8427e", "DIGEST_INVALID"),
        ("digest=../../../etc/passwd", "DIGEST_INVALID"),
        ("", "DIGEST_INVALID"),
        (&format!("digest={ABSENT}"), "DIGEST_INVALID"),
    ] {
        let reply = server.put(&with(&place, query)).body(b"content").send();
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{query}");
    }
    assert_eq!(server.get(&format!("/v2/app/blobs/{ABSENT}")).send().status, 404);
    assert_eq!(
        server.get(&place).send().status,
        404,
        "wrong content ends the session"
    );
    let other = server
        .post("/v2/app/blobs/uploads/?digest-algorithm=sha512")
        .send();
    assert_eq!(other.status, 400);
}

#[test]
fn a_session_belongs_to_its_repository_and_can_be_cancelled() {
    let Some(server) = server() else { return };
    let place = session(&server, "app");
    let stolen = place.replace("/app/", "/other/");
    assert_eq!(server.get(&stolen).send().code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.patch(&stolen).body(b"x").send().status, 404);
    assert_eq!(server.delete(&place).send().status, 204);
    assert_eq!(server.get(&place).send().status, 404);
    assert_eq!(server.delete(&place).send().status, 404);
    for trick in [
        "..",
        "..%2f..%2fregistry.redb",
        "00000000-0000-4000-8000-000000000000",
        "%00",
    ] {
        let reply = server.get(&format!("/v2/app/blobs/uploads/{trick}")).send();
        assert_eq!(reply.status, 404, "{trick}");
    }
}

#[test]
fn a_blob_is_mounted_from_a_repository_that_has_it() {
    let Some(server) = server() else { return };
    let digest = server.push_blob("one", b"content");
    let mount = |from: &str, digest: &str| {
        server
            .post(&format!("/v2/two/blobs/uploads/?mount={digest}&from={from}"))
            .send()
    };
    assert_eq!(server.get(&format!("/v2/two/blobs/{digest}")).send().status, 404);
    let reply = mount("one", &digest.to_string());
    assert_eq!(
        (reply.status, reply.location()),
        (201, format!("/v2/two/blobs/{digest}"))
    );
    assert_eq!(server.get(&reply.location()).send().body, b"content");
    for from in ["three", "two"] {
        let reply = mount(from, ABSENT);
        assert_eq!(reply.status, 202, "an upload begins instead");
        assert!(reply.location().contains("/v2/two/blobs/uploads/"));
    }
    assert_eq!(mount("../one", &digest.to_string()).status, 400);
    assert_eq!(mount("one", "nonsense").status, 400);
}

#[test]
fn a_manifest_must_have_its_parts_here_except_its_subject() {
    let Some(server) = server() else { return };
    let mut manifest = server.image("app", b"layer");
    manifest["layers"][0]["digest"] = json!(ABSENT);
    let push = |manifest: &serde_json::Value, reference: &str| {
        let media_type = manifest["mediaType"].as_str().unwrap_or_default().to_owned();
        let request = server.put(&format!("/v2/app/manifests/{reference}"));
        request
            .header("Content-Type", &media_type)
            .body(manifest.to_string().as_bytes())
            .send()
    };
    let reply = push(&manifest, "1");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (404, "MANIFEST_BLOB_UNKNOWN")
    );
    assert_eq!(reply.json()["errors"][0]["detail"], ABSENT);
    manifest["layers"] = json!([]);
    manifest["subject"] = json!({"mediaType": media_type::OCI_MANIFEST, "digest": ABSENT, "size": 1});
    let reply = push(&manifest, "1");
    assert_eq!((reply.status, reply.header("oci-subject")), (201, Some(ABSENT)));
    let index = |digest: &str, size: u64| {
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
            {"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": size}]})
    };
    assert_eq!(push(&index(ABSENT, 1), "all").code(), "MANIFEST_BLOB_UNKNOWN");
    let (digest, size) = (
        Digest::sha256(manifest.to_string()).to_string(),
        manifest.to_string().len() as u64,
    );
    assert_eq!(push(&index(&digest, size), "all").status, 201);
    assert_eq!(push(&index(&digest, size + 1), "all").code(), "MANIFEST_INVALID");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    manifest["layers"] = json!([{"mediaType": foreign, "digest": ABSENT, "size": 1, "urls": ["http://x/"]}]);
    assert_eq!(push(&manifest, "foreign").status, 201, "its owner serves it");
}

#[test]
fn a_manifest_that_is_none_or_too_large_or_of_another_digest_is_refused() {
    let Some(server) = server() else { return };
    let manifest = server.image("app", b"layer").to_string();
    let push = |reference: &str, media_type: &str, body: &[u8]| {
        let request = server.put(&format!("/v2/app/manifests/{reference}"));
        request.header("Content-Type", media_type).body(body).send()
    };
    for (media_type, body) in [
        (media_type::OCI_MANIFEST, &b"not JSON"[..]),
        (media_type::OCI_MANIFEST, b""),
        (media_type::OCI_INDEX, manifest.as_bytes()),
        ("text/plain", manifest.as_bytes()),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            b"{\"schemaVersion\": 1}",
        ),
    ] {
        let reply = push("1", media_type, body);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "MANIFEST_INVALID"),
            "{media_type}"
        );
    }
    let reply = push(ABSENT, media_type::OCI_MANIFEST, manifest.as_bytes());
    assert_eq!((reply.status, reply.code().as_str()), (400, "DIGEST_INVALID"));

    let padded = |length: usize| manifest.clone() + &" ".repeat(length - manifest.len());
    let largest = padded(4 << 20);
    assert_eq!(
        push("largest", media_type::OCI_MANIFEST, largest.as_bytes()).status,
        201
    );
    assert!(server.get("/v2/app/manifests/largest").send().body == largest.as_bytes());
    assert_eq!(
        push(
            "larger",
            media_type::OCI_MANIFEST,
            padded((4 << 20) + 1).as_bytes()
        )
        .status,
        413
    );
    // Also one that does not say how long it is.
    let endless = server
        .put("/v2/app/manifests/endless")
        .header("Content-Type", media_type::OCI_MANIFEST)
        .header("Transfer-Encoding", "chunked");
    let piece = format!("100000\r\n{}\r\n", " ".repeat(1 << 20)).repeat(5);
    assert_eq!(endless.body(piece.as_bytes()).send().status, 413);
    for tag in [".x", &"a".repeat(129), "-x"] {
        assert_eq!(
            push(tag, media_type::OCI_MANIFEST, manifest.as_bytes()).status,
            400,
            "{tag}"
        );
    }
}

#[test]
fn a_push_by_digest_may_set_tags() {
    let Some(server) = server() else { return };
    let manifest = server.image("app", b"layer").to_string();
    let digest = Digest::sha256(&manifest);
    let request = server.put(&format!(
        "/v2/app/manifests/{digest}?tag=1.2.3&tag=1.2&tag=latest"
    ));
    let reply = request
        .header("Content-Type", media_type::OCI_MANIFEST)
        .body(manifest.as_bytes())
        .send();
    assert_eq!(
        (reply.status, reply.header("oci-tag")),
        (201, Some("1.2.3, 1.2, latest"))
    );
    for tag in ["1.2.3", "1.2", "latest"] {
        assert_eq!(server.get(&format!("/v2/app/manifests/{tag}")).send().status, 200);
    }
}

#[test]
fn a_push_under_a_condition_does_not_overwrite_what_has_changed() {
    let Some(server) = server() else { return };
    let one = server.image("app", b"one").to_string();
    let two = server.image("app", b"two").to_string();
    let push = |manifest: &str, name: &str, value: &str| {
        let request = server
            .put("/v2/app/manifests/latest")
            .header("Content-Type", media_type::OCI_MANIFEST);
        request
            .header(name, value)
            .body(manifest.as_bytes())
            .send()
            .status
    };
    let etag = |manifest: &str| format!("\"{}\"", Digest::sha256(manifest));
    assert_eq!(push(&one, "If-Match", "*"), 412);
    assert_eq!(push(&one, "If-None-Match", "*"), 201);
    assert_eq!(push(&two, "If-None-Match", "*"), 412);
    assert_eq!(push(&two, "If-Match", &etag(&two)), 412);
    assert_eq!(push(&two, "If-Match", &etag(&one)), 201);
}
