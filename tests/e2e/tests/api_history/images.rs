//! Images: lists, platforms, imports, and the room that all takes.

use std::io::Write;

use e2e::http::escaped;
use e2e::{http, shared_daemon};
use serde_json::{Value, json};

use crate::{create, get, post, remove, rest, send};

#[test]
fn lists_of_images_hear_and_tell_more_with_each_version() {
    let Some(daemon) = shared_daemon() else { return };
    create(&daemon, "v1.56", "base", json!({}));
    send(
        &daemon,
        "POST",
        "/commit?container=base&repo=history/list&tag=1",
        None,
        201,
    );
    remove(&daemon, "base");
    let list = |query: &str| {
        let list = get(&daemon, query);
        let is_ours = |image: &&Value| image["RepoTags"] == json!(["history/list:1"]);
        list.as_array().expect("a list").iter().find(is_ours).cloned()
    };
    assert!(list("/v1.40/images/json?filter=nosuch").is_none());
    assert!(list("/v1.41/images/json?filter=nosuch").is_some());
    let ours = |query: &str| list(query).expect("our image");
    let shared =
        |version: &str| ours(&format!("/{version}/images/json?shared-size=1"))["SharedSize"].as_i64();
    assert_eq!(shared("v1.41"), Some(-1));
    assert!(shared("v1.42") > Some(0));
    for (version, parameter, are_there) in [
        ("v1.46", "manifests", false),
        ("v1.47", "manifests", true),
        ("v1.53", "identity", false),
        ("v1.54", "identity", true),
    ] {
        let shown = ours(&format!("/{version}/images/json?{parameter}=1"));
        assert_eq!(shown["Manifests"].is_array(), are_there, "{version} {parameter}");
    }
    send(&daemon, "DELETE", "/images/history/list:1", None, 200);
}

#[test]
fn an_image_is_asked_for_by_platform_since_the_version_of_each_endpoint() {
    let Some(daemon) = shared_daemon() else { return };
    create(&daemon, "v1.56", "based", json!({}));
    send(
        &daemon,
        "POST",
        "/commit?container=based&repo=history/one&tag=1",
        None,
        201,
    );
    remove(&daemon, "based");
    let other = escaped(&json!({ "os": "linux", "architecture": "s390x" }));
    let status = |method: &str, path: &str| http::request(&daemon, method, path, None).status;
    for (path, since) in [("json", 49), ("history", 48), ("get", 48)] {
        let ask = |minor: u32| {
            status(
                "GET",
                &format!("/v1.{minor}/images/history/one:1/{path}?platform={other}"),
            )
        };
        assert_eq!((ask(since - 1), ask(since)), (200, 404), "{path}");
    }
    let inspect = |minor: u32| {
        get(
            &daemon,
            &format!("/v1.{minor}/images/history/one:1/json?manifests=1"),
        )
    };
    assert!(inspect(47).get("Manifests").is_none());
    assert_eq!(inspect(48)["Manifests"].as_array().map(Vec::len), Some(1));
    let both = format!("/v1.49/images/history/one:1/json?manifests=1&platform={other}");
    assert_eq!(status("GET", &both), 400);
    let push = |minor: u32| {
        let path = format!("/v1.{minor}/images/history/none:1/push?platform={other}");
        http::request(&daemon, "POST", &path, None).text()
    };
    let refused = "doesn't support multiple platforms";
    assert!(
        !push(45).contains(refused) && push(46).contains(refused),
        "{} {}",
        push(45),
        push(46)
    );
    let body = json!({ "Image": "history/one:1", "Cmd": ["true"] });
    for (minor, expected) in [(41, 404), (40, 201)] {
        let path = format!("/v1.{minor}/containers/create?name=foreign&platform=linux/s390x");
        assert_eq!(
            http::request(&daemon, "POST", &path, Some(&body)).status,
            expected,
            "{minor}"
        );
    }
    remove(&daemon, "foreign");
    let delete = |minor: u32| {
        status(
            "DELETE",
            &format!("/v1.{minor}/images/history/one:1?platforms={other}"),
        )
    };
    assert_eq!((delete(50), delete(49)), (404, 200));
}

#[test]
fn an_import_has_the_platform_that_is_named() {
    let Some(daemon) = shared_daemon() else { return };
    let archive = tar::Builder::new(Vec::new()).into_inner().expect("an archive");
    let mut stream = http::connect(&daemon);
    let head = format!(
        "POST /v1.42/images/create?fromSrc=-&repo=history/foreign&tag=1&platform=linux/s390x HTTP/1.1\r\nHost: h\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        archive.len()
    );
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(&archive).expect("send");
    assert_eq!(http::parse(&rest(stream)).status, 200);
    let shown = get(&daemon, "/images/history/foreign:1/json");
    assert_eq!(
        (&shown["Os"], &shown["Architecture"]),
        (&json!("linux"), &json!("s390x"))
    );
    // Of an image for another machine a container is made, and that is said.
    let body = json!({ "Image": "history/foreign:1", "Cmd": ["true"] });
    let made = post(&daemon, "/v1.41/containers/create?name=imported", body, 201);
    let warnings = made["Warnings"].to_string();
    assert!(
        warnings.contains("linux/s390x") && warnings.contains("no specific platform"),
        "{warnings}"
    );
    remove(&daemon, "imported");
    send(&daemon, "DELETE", "/images/history/foreign:1", None, 200);
}

#[test]
fn disk_usage_is_of_what_is_asked_for_since_1_42_and_for_many_at_once() {
    let Some(daemon) = shared_daemon() else { return };
    let usage = |version: &str| get(&daemon, &format!("/{version}/system/df?type=image&type=volume"));
    let told = |usage: &Value| ["Images", "Containers", "Volumes"].map(|kind| usage[kind].is_array());
    assert_eq!(told(&usage("v1.41")), [true, true, true]);
    assert_eq!(told(&usage("v1.42")), [true, false, true]);
    send(&daemon, "GET", "/v1.42/system/df?type=planet", None, 400);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| get(&daemon, "/v1.41/system/df"));
        }
    });
}
